"""A bot's further settings: stored, refused with words, and seen where they matter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import responses
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from bridge_project.lib.admin_base import admin_url
from conversations.admin.bot_tabs import FIELDS
from conversations.configuration.history import TRACKED
from conversations.models import Bot, OpenAIServer
from conversations.tests.factories import (
    DIFY,
    make_account,
    make_app,
    make_bot,
    make_conversation,
)
from conversations.tests.test_admin_bot import add, form_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _dify(wire: responses.RequestsMock) -> None:
    wire.get(f"{DIFY}/v1/info", json={"name": "Support", "mode": "chat"})
    wire.get(f"{DIFY}/v1/parameters", json={"user_input_form": []})


def make_server(**overrides: str) -> OpenAIServer:
    values = {"name": "Ollama", "base_url": "http://ollama.test/v1", "chat_model": "m"}
    return OpenAIServer.objects.create(**{**values, **overrides})


def test_the_page_has_every_setting() -> None:
    tracked = TRACKED[Bot]

    assert set(FIELDS) == {*tracked.fields, *tracked.many}


def test_settings_that_a_form_does_not_bring_are_those_of_a_new_bot(
    admin_client: Client,
) -> None:
    add(admin_client, form_of(make_account()))

    bot, new = Bot.objects.get(), Bot()
    left_out = (
        "provider",
        "support_mode_bot_values",
        "command_word",
        "form_minutes",
        "greets",
        "reset_words",
        "context_template",
        "max_cost_per_day",
        "ceiling_text",
        "conversation_variables",
    )
    for name in left_out:
        assert getattr(bot, name) == getattr(new, name), name


def test_all_of_it_is_stored_as_typed(admin_client: Client) -> None:
    server, helper = make_server(), make_app(name="Helper")
    form = form_of(
        make_account(),
        reply_as="by_support_mode",
        support_mode_attribute="preferred_channel",
        support_mode_bot_values="bot\r\n\r\n  AI агент ",
        support_mode_human_values="",
        shadow="on",
        draft_notes="on",
        command_word="/hilf",
        command_app=helper.pk,
        transcriber=server.pk,
        forms_go_to="customer",
        form_minutes="45",
        form_reminder_minutes="",
        outside_hours="say",
        outside_hours_text="We are closed.",
        reset_words="/new\r\n\r\n",
        max_cost_per_day="1.50",
        max_tokens_per_day="",
        test_only="on",
        test_rules="email:*@example.com",
        **{
            "conversation_variables-0-name": "tier",
            "conversation_variables-0-source": "contact.custom_attributes.tier",
        },
    )

    add(admin_client, form)

    bot = Bot.objects.get()
    assert bot.support_mode_bot_values == "bot\nAI агент"
    assert bot.support_mode_human_values == ""
    assert (bot.shadow, bot.draft_notes, bot.dify_feedback) == (True, True, False)
    assert (bot.command_word, bot.command_app) == ("/hilf", helper)
    assert (bot.transcriber, bot.forms_go_to, bot.form_minutes) == (
        server,
        "customer",
        45,
    )
    # Emptied numbers are those of a new bot.
    assert (bot.form_reminder_minutes, bot.max_tokens_per_day) == (10, 0)
    assert (bot.outside_hours, bot.outside_hours_text) == ("say", "We are closed.")
    assert (bot.reset_words, bot.max_cost_per_day) == ("/new", Decimal("1.5"))
    assert bot.test_rules == "email:*@example.com"
    assert bot.conversation_variables == {"tier": "contact.custom_attributes.tier"}


VARIABLE = "conversation_variables-0-"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"provider": "openai"}, "No OpenAI-compatible server is chosen."),
        ({"provider": "nobody"}, "Select a valid choice. nobody is not one of"),
        (
            {"support_mode_bot_values": "Bot", "support_mode_human_values": "x\n b OT"},
            "In both lists: ",
        ),
        (
            {"reply_as": "by_support_mode", "support_mode_bot_values": "\n"},
            "it would never answer a customer",
        ),
        (
            {"reply_as": "by_support_mode", "support_mode_attribute": ""},
            "so name the attribute",
        ),
        ({"ignore_rules": "label:vip\nplanet:mars"}, "Line 2, “planet:mars”"),
        ({"allow_rules": "vip"}, "a rule begins with"),
        ({"test_only": "on"}, "“Test only” needs a tester"),
        (
            {"outside_hours": "say", "outside_hours_text": " "},
            "Enter what the bot says",
        ),
        ({"context_template": "It has changed."}, "Put {value} where"),
        (
            {"forms_go_to": "agent", "form_minutes": 5, "form_reminder_minutes": 5},
            "The time for a form is over by then.",
        ),
        ({"max_cost_per_day": "-1"}, "greater than or equal to 0"),
        (
            {f"{VARIABLE}name": "tier", f"{VARIABLE}source": "contact.tier"},
            "“contact.tier”, the source of “tier”",
        ),
        (
            {f"{VARIABLE}name": "", f"{VARIABLE}source": "inbox.id"},
            "has no variable",
        ),
        (
            {
                f"{VARIABLE}name": "key",
                f"{VARIABLE}source": "bridge.conversation_token",
            },
            "a conversation token is sent as an input only",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    admin_client: Client, typed: dict[str, Any], words: str
) -> None:
    response = add(admin_client, form_of(make_account(), **typed))

    assert words in response.content.decode()
    assert not Bot.objects.exists()


def test_a_server_without_a_model_cannot_answer(admin_client: Client) -> None:
    server = make_server(chat_model="")
    form = form_of(make_account(), provider="openai", openai_server=server.pk)

    page = add(admin_client, form).content.decode()

    assert "names no model" in page
    assert not Bot.objects.exists()


def test_a_bot_of_another_provider_needs_no_dify_app(
    admin_client: Client, wire: responses.RequestsMock
) -> None:
    form = form_of(
        make_account(), provider="openai", openai_server=make_server().pk, dify_app=""
    )

    response = add(admin_client, form)

    assert response.status_code == 302
    assert len(wire.calls) == 0
    page = admin_client.get(reverse("admin:conversations_bot_changelist"))
    assert "Ollama" in page.content.decode()
    assert "no Dify app" not in page.content.decode()


def test_a_provider_that_went_away_stays_in_sight(
    admin_client: Client, settings: Settings
) -> None:
    settings.REPLY_PROVIDERS = {}
    bot = make_bot(provider="rag")

    page = admin_client.get(admin_url(bot)).content.decode()

    assert "rag (not registered)" in page
    saved = admin_client.post(
        admin_url(bot), form_of(bot.account, provider="rag")
    ).content.decode()
    assert "REPLY_PROVIDERS does not name “rag”" in saved


@pytest.mark.parametrize(
    ("setting", "badge", "banner"),
    [
        ({"shadow": True}, "trial run: notes only", "Trial run: notes only."),
        ({"test_only": True}, "test only", "Test only."),
    ],
)
def test_a_bot_that_does_not_answer_everybody_says_so(
    admin_client: Client, setting: dict[str, Any], badge: str, banner: str
) -> None:
    bot = make_bot(**setting)
    make_bot(bot.account, name="Plain")

    rows = admin_client.get(reverse("admin:conversations_bot_changelist"))
    page = admin_client.get(admin_url(bot)).content.decode()

    assert rows.content.decode().count(f">{badge}</span>") == 1
    assert f"<strong>{banner}</strong>" in page
    plain = admin_client.get(admin_url(Bot.objects.get(name="Plain")))
    assert f"<strong>{banner}</strong>" not in plain.content.decode()


@pytest.mark.parametrize(
    ("typed", "attributes", "words"),
    [
        ({}, {}, "The answer would be a message to the customer."),
        ({"reply_as": "private_note"}, {}, "The answer would be a note for the"),
        ({"shadow": True}, {"support_mode": "bot"}, "On this trial run"),
        (
            {"reply_as": "by_support_mode"},
            {"support_mode": "Bot"},
            "The customer chose the bot: the answer would be a message",
        ),
        (
            {"reply_as": "by_support_mode"},
            {},
            "The customer chose a human, or nothing: the answer would be a note",
        ),
    ],
)
def test_the_preview_says_in_which_form_an_answer_would_come(
    admin_client: Client,
    typed: dict[str, Any],
    attributes: dict[str, str],
    words: str,
) -> None:
    bot = make_bot(
        conversation_variables={"tier": "contact.custom_attributes.tier"}, **typed
    )
    make_conversation(
        bot,
        custom_attributes=attributes,
        contact_custom_attributes={"tier": "gold-9"},
    )

    url = reverse("admin:conversations_bot_preview", args=[bot.pk])
    page = admin_client.post(url).content.decode()

    assert words in page
    assert "gold-9" in page
