"""What an operator may set at a bot, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.admin.bot_form import InputsField, known_sources
from conversations.models import Bot
from conversations.models.bot import default_inputs
from conversations.tests.factories import make_account, make_app, make_bot

pytestmark = pytest.mark.django_db


def form_of(account: ChatwootAccount, **overrides: Any) -> dict[str, Any]:
    return {
        "name": "Nordbot",
        "enabled": "on",
        "account": account.pk,
        "dify_app": make_app().pk,
        "reply_as": "message",
        "speak_in_statuses": ["pending"],
        "inputs": '{"language": "contact.language"}',
        "debounce_s": 0,
        "on_new_message": "queue",
        "max_turn_minutes": 10,
        "max_message_age_s": 3600,
        "unknown_names": "accept",
        "idle_hours": 0,
        "idle_action": "open",
        "dify_delete_policy": "never",
        "dify_delete_after_days": 30,
        "failure_public_text": "Sorry.",
        "failure_private_text": "",
        **overrides,
    }


def add(client: Client, form: dict[str, Any]) -> HttpResponse:
    response: HttpResponse = client.post(  # type: ignore[assignment]
        reverse("admin:conversations_bot_add"), form
    )
    return response


def warnings_of(response: HttpResponse) -> list[str]:
    request = response.wsgi_request  # type: ignore[attr-defined]
    return [str(m) for m in get_messages(request) if m.level_tag == "warning"]


def test_a_bot_is_made_with_its_inboxes_and_statuses(admin_client: Client) -> None:
    account = make_account()
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=11)

    response = add(
        admin_client,
        form_of(account, inboxes=[inbox.pk], speak_in_statuses=["pending", "open"]),
    )

    assert response.status_code == 302
    bot = Bot.objects.get()
    assert bot.speak_in_statuses == ["pending", "open"]
    assert bot.inputs == {"language": "contact.language"}
    assert list(bot.inboxes.all()) == [inbox]
    assert warnings_of(response) == []


def test_what_its_flows_may_do_is_set_with_the_rest(admin_client: Client) -> None:
    form = form_of(make_account(), unknown_names="refuse", strict_statuses="on")

    add(admin_client, form)

    bot = Bot.objects.get()
    assert (bot.unknown_names, bot.strict_statuses) == ("refuse", True)


def test_an_inbox_of_another_account_is_refused(admin_client: Client) -> None:
    other = make_account(name="Lab", account_id=3)
    inbox = Inbox.objects.create(account=other, chatwoot_inbox_id=11, name="Test")

    response = add(admin_client, form_of(make_account(), inboxes=[inbox.pk]))

    assert response.status_code == 200
    assert (
        "Not an inbox of “Nordlicht Outdoor”: Lab · Test." in response.content.decode()
    )
    assert not Bot.objects.exists()


def test_a_bot_without_a_status_is_refused(admin_client: Client) -> None:
    response = add(admin_client, form_of(make_account(), speak_in_statuses=[]))

    assert "Choose at least one status" in response.content.decode()
    assert not Bot.objects.exists()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("{", "This is no JSON."),
        ('["language"]', "Enter an object in curly brackets"),
        ('{"language": 1}', "The source of “language” must be a text"),
        ('{" ": "contact.language"}', "An input without a name"),
        ('{"language": "contact.tongue"}', "“contact.tongue”, the source of"),
        ('{"region": "contact.custom_attributes."}', None),
    ],
)
def test_inputs_say_what_is_wrong(
    admin_client: Client, inputs: str, words: str | None
) -> None:
    response = add(admin_client, form_of(make_account(), inputs=inputs))

    assert Bot.objects.exists() is (words is None)
    assert words is None or words in response.content.decode()


def test_the_default_inputs_and_free_attributes_are_valid() -> None:
    field = InputsField()
    free = {"region": "conversation.custom_attributes.region"}

    assert field.clean(json.dumps(default_inputs())) == default_inputs()
    assert field.clean(json.dumps(free)) == free
    assert field.clean("{}") == {}
    assert "bridge.api_url" in known_sources()


def test_another_bot_on_the_same_inbox_brings_a_warning(admin_client: Client) -> None:
    account = make_account()
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=11)
    make_bot(account, name="Elder").inboxes.add(inbox)

    response = add(admin_client, form_of(account, inboxes=[inbox.pk]))

    assert Bot.objects.count() == 2
    (warning,) = warnings_of(response)
    assert "“Elder” is switched on for some of the same inboxes." in warning


@pytest.mark.parametrize("enabled", ["", "on"])
def test_no_warning_for_bots_that_do_not_meet(
    admin_client: Client, enabled: str
) -> None:
    account = make_account()
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=11)
    make_bot(account, name="Takes all the rest")
    make_bot(account, name="Off", enabled=False).inboxes.add(inbox)
    make_bot(make_account(account_id=9), name="Elsewhere")

    response = add(admin_client, form_of(account, inboxes=[inbox.pk], enabled=enabled))

    assert response.status_code == 302
    assert warnings_of(response) == []


@pytest.mark.parametrize(
    ("action", "before", "after", "words"),
    [
        ("switch_on", False, True, "1 bot was switched on."),
        ("switch_off", True, False, "1 bot was switched off."),
        ("switch_off", False, False, "0 bots were switched off."),
    ],
)
def test_bots_are_switched_from_the_list(
    admin_client: Client, action: str, before: bool, after: bool, words: str
) -> None:
    bot = make_bot(enabled=before)

    response = admin_client.post(
        reverse("admin:conversations_bot_changelist"),
        {"action": action, "_selected_action": bot.pk},
        follow=True,
    )

    bot.refresh_from_db()
    assert bot.enabled is after
    assert words in response.content.decode()
