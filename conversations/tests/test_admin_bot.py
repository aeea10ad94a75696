"""What an operator may set at a bot, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import responses
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.contrib.messages.storage.base import Message
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access.roles import AUDITOR, OPERATOR
from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations import callback_tokens
from conversations.models import AuditEntry, Bot, Turn
from conversations.tests.admin_rows import make_turns_with_everything
from conversations.tests.factories import DIFY, make_account, make_app, make_bot

pytestmark = pytest.mark.django_db


def rows(**mapping: str) -> dict[str, str]:
    """Return what the form sends of a map of inputs."""
    found = {}
    for number, (name, source) in enumerate(mapping.items()):
        found[f"inputs-{number}-name"] = name
        found[f"inputs-{number}-source"] = source
    return found


@pytest.fixture(autouse=True)
def dify(wire: responses.RequestsMock) -> responses.RequestsMock:
    """A Dify that says of each app that it is a chat without inputs."""
    wire.get(f"{DIFY}/v1/info", json={"name": "Support", "mode": "chat"})
    wire.get(f"{DIFY}/v1/parameters", json={"user_input_form": []})
    return wire


def form_of(account: ChatwootAccount, **overrides: Any) -> dict[str, Any]:
    return {
        "name": "Nordbot",
        "enabled": "on",
        "account": account.pk,
        "dify_app": make_app().pk,
        "reply_as": "message",
        "speak_in_statuses": ["pending"],
        **rows(language="contact.language"),
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


def messages_of(response: HttpResponse) -> list[Message]:
    request = response.wsgi_request  # type: ignore[attr-defined]
    return list(get_messages(request))


def warnings_of(response: HttpResponse) -> list[str]:
    return [str(m) for m in messages_of(response) if m.level_tag == "warning"]


def client_as(role: str) -> Client:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


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


def test_what_the_add_page_shows_can_be_saved(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:conversations_bot_add"))
    fields = page.context["adminform"].form
    shown = {field.html_name: field.value() for field in fields}
    # Nothing, and a mark that is not set, browsers do not send.
    given = {
        name: value
        for name, value in shown.items()
        if value is not None and value is not False
    }
    chosen = {
        "name": "Nordbot",
        "account": make_account().pk,
        "dify_app": make_app().pk,
    }

    response = add(admin_client, {**given, **rows(), **chosen})

    assert response.status_code == 302
    assert Bot.objects.get().speak_in_statuses == ["pending"]


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


def act(client: Client, action: str, bot: Bot, **more: str) -> HttpResponse:
    response: HttpResponse = client.post(  # type: ignore[assignment]
        reverse("admin:conversations_bot_changelist"),
        {"action": action, "_selected_action": bot.pk, **more},
        follow=True,
    )
    return response


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

    response = act(admin_client, action, bot, confirmed="yes")

    bot.refresh_from_db()
    assert bot.enabled is after
    assert words in response.content.decode()
    recorded = AuditEntry.objects.filter(verb="switched_bot")
    details = [(entry.actor, entry.details) for entry in recorded]
    expected = [("admin", {"bot": bot.pk, "enabled": after})]
    assert details == (expected if before is not after else [])
    kept = LogEntry.objects.get_for_object(bot).filter(action=LogEntry.Action.UPDATE)
    assert [e.changes for e in kept] == (
        [{"enabled": [before, after]}] if before is not after else []
    )


def test_before_a_bot_is_switched_off_it_says_what_becomes_of_customers(
    admin_client: Client,
) -> None:
    bot = make_bot()

    response = act(admin_client, "switch_off", bot)

    assert "are opened for the humans" in response.content.decode()
    bot.refresh_from_db()
    assert bot.enabled is True


def test_switching_on_warns_of_a_rival(admin_client: Client) -> None:
    account = make_account()
    make_bot(account, name="Elder")
    bot = make_bot(account, enabled=False)

    response = act(admin_client, "switch_on", bot)

    assert "“Elder” is switched on for some" in response.content.decode()


def test_a_switch_on_the_page_is_recorded_as_well(admin_client: Client) -> None:
    bot = make_bot()
    form = form_of(bot.account, enabled="", dify_app=bot.dify_app_id)

    admin_client.post(reverse("admin:conversations_bot_change", args=[bot.pk]), form)

    assert AuditEntry.objects.get().details == {"bot": bot.pk, "enabled": False}


def test_a_copy_is_switched_off_and_has_the_same_settings(admin_client: Client) -> None:
    bot = make_bot(debounce_s=7, inputs={"x": "contact.name"})
    inbox = Inbox.objects.create(account=bot.account, chatwoot_inbox_id=11)
    bot.inboxes.add(inbox)
    callback_tokens.make(bot, by="anna")

    url = reverse("admin:conversations_bot_duplicate", args=[bot.pk])
    assert admin_client.get(url).status_code == 405
    response = admin_client.post(url)

    made = Bot.objects.exclude(pk=bot.pk).get()
    assert response.headers["Location"] == admin_url(made)
    assert (made.name, made.enabled) == ("Copy of Nordbot", False)
    assert (made.debounce_s, made.inputs) == (7, {"x": "contact.name"})
    assert (made.account, made.dify_app) == (bot.account, bot.dify_app)
    assert list(made.inboxes.all()) == [inbox]
    assert not made.callback_tokens.exists()
    entry = AuditEntry.objects.get(verb="copied_bot")
    assert (entry.actor, entry.details) == ("admin", {"bot": bot.pk, "copy": made.pk})


def test_the_list_copies_too_and_long_names_fit(admin_client: Client) -> None:
    act(admin_client, "duplicate", make_bot(name="N" * 100))

    assert Bot.objects.order_by("pk").last().name == f"Copy of {'N' * 92}"  # type: ignore[union-attr]


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_only_administrators_copy_and_switch(role: str) -> None:
    bot, client = make_bot(), client_as(role)

    copied = client.post(reverse("admin:conversations_bot_duplicate", args=[bot.pk]))
    act(client, "switch_off", bot, confirmed="yes")

    assert copied.status_code == 403
    assert Bot.objects.get().enabled is True
    page = client.get(admin_url(bot)).content.decode()
    assert "Duplicate" not in page
    assert "Its turns" in page


def test_the_list_tells_how_the_last_day_went(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text_bot_owned")
    bot = make_bot()
    turns = make_turns_with_everything(bot, sample, count=4)
    Turn.objects.filter(pk=turns[0].pk).update(status="failed")
    # Only what is owed to customers counts.
    Turn.objects.filter(pk=turns[3].pk).update(kind="greeting")
    Turn.objects.filter(pk=turns[1].pk).update(
        finished_at=timezone.now() - timedelta(hours=25)
    )

    page = admin_client.get(reverse("admin:conversations_bot_changelist"))

    assert "1 of 2" in page.content.decode()


@pytest.mark.parametrize(
    ("dify_app", "words"),
    [
        (None, "The bot has no Dify app"),
        ({"health": "refused"}, "Dify refuses the key of “Support flow”"),
    ],
)
def test_saving_says_what_is_in_the_way_without_asking(
    admin_client: Client,
    dify: responses.RequestsMock,
    dify_app: dict[str, str] | None,
    words: str,
) -> None:
    app = "" if dify_app is None else make_app(**dify_app).pk

    response = add(admin_client, form_of(make_account(), dify_app=app))

    (warning,) = warnings_of(response)
    assert words in warning
    assert len(dify.calls) == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "Dify refuses the key"), (503, "could not be asked whether the inputs fit")],
)
def test_a_bot_is_saved_though_dify_does_not_answer(
    admin_client: Client, dify: responses.RequestsMock, status: int, words: str
) -> None:
    body = {"code": "unauthorized", "message": "Access token is invalid"}
    dify.replace(responses.GET, f"{DIFY}/v1/info", json=body, status=status)

    response = add(admin_client, form_of(make_account()))

    (warning,) = warnings_of(response)
    assert words in warning
    assert Bot.objects.count() == 1


def test_saving_reads_the_app_and_says_what_does_not_fit(
    admin_client: Client, dify: responses.RequestsMock
) -> None:
    app = make_app()
    declared = [
        {"text-input": {"variable": "order", "label": "Order", "required": True}},
        {"text-input": {"variable": "with_default", "required": True, "default": "x"}},
        {"file": {"variable": "photo", "label": "Photo", "required": True}},
        {"text-input": {"variable": "token", "label": "T", "max_length": 48}},
    ]
    dify.replace(
        responses.GET, f"{DIFY}/v1/info", json={"name": "S", "mode": "workflow"}
    )
    dify.replace(
        responses.GET, f"{DIFY}/v1/parameters", json={"user_input_form": declared}
    )
    mapping = rows(
        token="bridge.conversation_token", language="contact.language", mine="inbox.id"
    )

    response = add(admin_client, form_of(make_account(), dify_app=app.pk, **mapping))

    warnings = warnings_of(response)
    assert [words.partition(".")[0] for words in warnings] == [
        "“Support flow” has become another kind of app in Dify: workflow",
        "“Support flow” declares no input “query”, so it would never see the "
        "customer's text",
        "The app requires the input “order”, but nothing is mapped to it",
        "The app requires the input “photo”, a file, which the bridge cannot fill in: "
        "all customers go to the humans",
        "The input “token” is too short for a conversation token, so none is sent",
    ]
    infos = [str(m) for m in messages_of(response) if m.level_tag == "info"]
    assert infos == [
        "“Support flow” does not declare mine, so nothing is sent there. Declare it in "
        "Dify and publish the app, if the flow is to know it."
    ]
    app.refresh_from_db()
    assert app.mode == "workflow"


def test_tabs_are_buttons_and_the_one_with_an_error_is_opened(
    admin_client: Client,
) -> None:
    form = form_of(make_account(), debounce_s=99)

    page = add(admin_client, form).content.decode()

    assert page.count('role="tab"') == 10
    assert "activeFieldsetTab: 'when'" in page
    assert page.count('data-testid="error-count"') == 1
