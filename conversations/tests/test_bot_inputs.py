"""A bot's inputs as rows: what is offered, refused, stored; and the preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from access.roles import AUDITOR, OPERATOR
from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import AttributeDefinition
from conversations.models import Bot
from conversations.models.bot import default_inputs
from conversations.tests.factories import (
    DIFY,
    make_account,
    make_app,
    make_bot,
    make_conversation,
    make_event,
    message_payload,
)
from conversations.tests.test_admin_bot import form_of, rows
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

DECLARED: JsonObject = {
    "user_input_form": [
        {"text-input": {"variable": "language", "label": "Language", "required": True}},
        {"text-input": {"variable": "order", "label": "Order", "required": True}},
        {"select": {"variable": "tier", "label": "Tier", "options": ["Gold"]}},
    ]
}


def post(client: Client, **mapping: str) -> str:
    form = form_of(make_account())
    without = {k: v for k, v in form.items() if not k.startswith("inputs-")}
    url = reverse("admin:conversations_bot_add")
    return client.post(url, {**without, **mapping}).content.decode()


@pytest.fixture(autouse=True)
def _dify(wire: responses.RequestsMock) -> None:
    wire.get(f"{DIFY}/v1/info", json={"name": "Support", "mode": "chat"})
    wire.get(f"{DIFY}/v1/parameters", json=DECLARED)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (rows(language="contact.tongue"), "“contact.tongue”, the source of “language”"),
        ({"inputs-0-name": "", "inputs-0-source": "inbox.id"}, "has no input"),
        (
            {
                "inputs-3-name": "x",
                "inputs-3-source": "inbox.id",
                "inputs-7-name": " x ",
                "inputs-7-source": "inbox.name",
            },
            "The input “x” stands there twice.",
        ),
    ],
)
def test_rows_say_what_is_wrong(
    admin_client: Client, mapping: dict[str, str], words: str
) -> None:
    text = post(admin_client, **mapping)

    assert words in text
    assert not Bot.objects.exists()
    # What was typed is still there, to be mended.
    for source in ("contact.tongue", "inbox.id"):
        if source in mapping.values():
            assert f'value="{source}" placeholder' in text


@pytest.mark.parametrize(
    ("mapping", "stored"),
    [
        ({}, {}),
        (rows(region="contact.custom_attributes."), None),
        (rows(x="", y="inbox.id"), {"y": "inbox.id"}),
        ({**rows(x="inbox.id"), "inputs-0-remove": "on"}, {}),
        ({**rows(x="nonsense"), "inputs-0-remove": "on"}, {}),
        (default_inputs(), None),
    ],
)
def test_rows_become_a_map(
    admin_client: Client, mapping: dict[str, str], stored: dict[str, str] | None
) -> None:
    if mapping == default_inputs():
        mapping, stored = rows(**mapping), mapping
    elif stored is None:
        stored = {"region": "contact.custom_attributes."}

    post(admin_client, **mapping)

    assert Bot.objects.get().inputs == stored


def bot_page(client: Client, bot: Bot) -> str:
    return client.get(admin_url(bot)).content.decode()


def test_what_the_app_declares_is_offered_with_a_warning_where_it_is_required(
    admin_client: Client,
) -> None:
    bot = make_bot(dify_app=make_app(parameters=DECLARED), inputs={"x": "inbox.id"})
    AttributeDefinition.objects.create(
        account=bot.account,
        chatwoot_definition_id=1,
        key="order_no",
        display_name="Order number",
        model="conversation_attribute",
        display_type="text",
    )

    text = bot_page(admin_client, bot)

    assert text.count("Required, but nothing is mapped. Choose") == 2
    for number, name in enumerate(("language", "order", "tier")):
        assert f'name="inputs-{number}-name" value="{name}"' in text
    assert 'name="inputs-3-name" id="id_inputs-3-name" value="x"' in text
    assert "1 more name that the app does not declare" in text
    assert text.count('name="inputs-') == 3 * 2 + 3 + 3 * 2
    option = "conversation.custom_attributes.order_no"
    assert f'<option value="{option}">Order number</option>' in text
    assert '<option value="inbox.name">' in text


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"default": "ru"}, "nothing is mapped: the app&#x27;s default is sent"),
        ({"default": ""}, "Required, but nothing is mapped. Choose"),
    ],
)
def test_a_default_of_the_app_stands_in(
    admin_client: Client, declared: dict[str, str], words: str
) -> None:
    field = {"variable": "language", "required": True, **declared}
    app = make_app(parameters={"user_input_form": [{"text-input": field}]})

    text = bot_page(admin_client, make_bot(dify_app=app, inputs={}))

    assert words.replace("&#x27;", "'") in text


def test_the_question_of_a_workflow_and_files_cannot_be_mapped(
    admin_client: Client,
) -> None:
    form = [
        {"paragraph": {"variable": "query", "required": True}},
        {"file": {"variable": "photo", "required": False}},
    ]
    app = make_app(mode="workflow", parameters={"user_input_form": form})

    text = bot_page(admin_client, make_bot(dify_app=app, inputs={}))

    assert "Takes the customer's text, whatever is mapped." in text
    assert "cannot fill in inputs of this kind; nothing is sent" in text
    assert 'id="id_inputs-0-source"' not in text
    assert "Required, but nothing is mapped" not in text


def test_another_app_brings_its_own_rows_and_keeps_what_was_typed(
    admin_client: Client,
) -> None:
    app = make_app(parameters=DECLARED)
    typed = rows(order="conversation.id", y="inbox.id")

    answer = admin_client.post(
        reverse("admin:conversations_bot_inputs"), {"dify_app": app.pk, **typed}
    )

    text = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="bridge-inputs"' in text
    assert 'id="id_inputs-1-source" value="conversation.id"' in text
    assert 'id="id_inputs-3-source" value="inbox.id"' in text
    assert not Bot.objects.exists()


def preview(client: Client, bot: Bot, number: object = "", **more: Any) -> str:
    url = reverse("admin:conversations_bot_preview", args=[bot.pk])
    answer = client.post(url, {"preview_of": number, **more})
    assert answer.status_code == 200
    return answer.content.decode()


def make_talk(payload: Callable[[str], JsonObject]) -> Bot:
    app = make_app(parameters=DECLARED)
    bot = make_bot(
        dify_app=app,
        inputs={
            "language": "contact.language",
            "order": "conversation.custom_attributes.order",
            "tier": "contact.custom_attributes.tier",
            "tok": "bridge.conversation_token",
        },
    )
    make_conversation(
        bot,
        additional_attributes={"browser_language": "de"},
        contact_custom_attributes={"tier": "silver"},
    )
    message = message_payload(payload("message_created_incoming_text"), id=9001)
    make_event(bot.account, message)
    return bot


def test_the_preview_shows_values_what_is_sent_and_what_is_missing(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    bot = make_talk(payload)

    text = preview(admin_client, bot, "#133")

    assert "Conversation #133" in text
    assert "Where is my order" in text or "The question:" in text
    assert "input `order` is required by the app but has no value" in text
    assert "`tier` was left out: its value is not one of the app" in text
    assert '<div class="bridge-text">de</div>' in text
    assert "silver" in text
    assert "not declared, not sent" in text
    assert "(made anew for each run)" in text
    assert "bridge-conv-" not in text
    assert preview(admin_client, bot) == text


def test_a_required_file_is_missing_and_stops_the_run(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    bot = make_talk(payload)
    file: JsonObject = {"file": {"variable": "photo", "required": True}}
    DifyApp.objects.update(parameters={"user_input_form": [file]})

    text = preview(admin_client, bot)

    assert "Dify would refuse the run: photo is required" in text


def test_the_preview_takes_rows_that_are_not_saved(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    bot = make_talk(payload)

    text = preview(admin_client, bot, 133, **rows(order="conversation.id"))
    bad = preview(admin_client, bot, 133, **rows(order="nonsense"))

    assert '<div class="bridge-text">133</div>' in text
    assert "“nonsense”, the source of “order”, does not exist" in bad
    bot.refresh_from_db()
    assert "language" in bot.inputs


@pytest.mark.parametrize("number", ["134", "x", "9" * 30])
def test_a_conversation_of_another_account_is_not_known(
    admin_client: Client, payload: Callable[[str], JsonObject], number: str
) -> None:
    bot = make_talk(payload)
    make_conversation(
        make_bot(make_account(account_id=9)), chatwoot_conversation_id=134
    )

    assert "knows no conversation" in preview(admin_client, bot, number)


def test_no_conversation_and_no_app_are_said(admin_client: Client) -> None:
    bot = make_bot(dify_app=None)
    assert "no conversation yet" in preview(admin_client, bot)
    make_conversation(bot)
    assert "has no Dify app" in preview(admin_client, bot)


def test_who_may_look_previews_the_stored_map_and_changes_nothing(
    payload: Callable[[str], JsonObject],
) -> None:
    bot = make_talk(payload)
    for role in (AUDITOR, OPERATOR):
        user = User.objects.create(username=role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

        text = preview(client, bot, 133, **rows(order="conversation.id"))
        fragment = client.post(reverse("admin:conversations_bot_inputs"), {})

        assert "conversation.custom_attributes.order" in text
        assert fragment.status_code == 403
        assert "preview_of" in bot_page(client, bot)


def test_the_preview_needs_the_right_to_read_conversations() -> None:
    bot = make_bot()
    user = User.objects.create(username="half", is_staff=True)
    user.user_permissions.add(*_permissions("view_bot"))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    url = reverse("admin:conversations_bot_preview", args=[bot.pk])

    assert client.post(url).status_code == 403
    assert client.get(url).status_code == 405


def _permissions(*names: str) -> list[Any]:
    from django.contrib.auth.models import Permission  # noqa: PLC0415

    return list(Permission.objects.filter(codename__in=names))
