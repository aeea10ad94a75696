"""Help on demand: an agent's private note “/ai …”, answered by a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    Draft,
    OutgoingMessage,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    app_of,
    make_app,
    make_event,
    make_memory,
    message_payload,
)
from conversations.tests.test_pipeline import ended, run_until_done
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

MARK = "🤖 Answer by the bot – only agents see it\n\n"
SUMMARY = "A torn seam; she wants a new tent."
Asks = Callable[..., Turn | None]


@pytest.fixture
def bot(bot: Bot) -> Bot:
    Bot.objects.update(language="en")
    bot.refresh_from_db()
    return bot


@pytest.fixture
def asks(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> Asks:
    """An agent writes a note."""

    def ask(content: str, **changes: Any) -> Turn | None:
        changes.setdefault("conversation", {"status": "open"})
        sample = payload("message_created_private_note")
        event = message_payload(sample, content=content, **changes)
        row = make_event(bot.account, event)
        return processing.process(row.pk, now=timezone.now())

    return ask


def said(number: int, content: str, **others: Any) -> JsonObject:
    """A message of Chatwoot's history."""
    return {"id": number, "content": content, "message_type": 0, **others}


AGENT: JsonObject = {"type": "user", "id": 21, "name": "Marta"}
BOT: JsonObject = {"type": "agent_bot", "id": 3, "name": "Nordbot"}
HISTORY = (
    said(9001, "The tent has a torn seam."),
    said(9002, "It is covered.", message_type=1, sender=BOT),
    said(9003, "Assigned to Marta", message_type=2),
    said(9004, "Gold member!", message_type=1, private=True, sender=AGENT),
    said(9005, "/ai who is it", message_type=1, private=True, sender=AGENT),
    said(
        9006,
        "🤖 Answer by the bot",
        message_type=1,
        private=True,
        sender=BOT,
        content_attributes={"bridge_message_id": "0b6f"},
    ),
    said(9007, "I send a new one.", message_type=1, sender=AGENT),
    said(9021, "/ai summarise", message_type=1, private=True, sender=AGENT),
)
TALK = (
    "Customer: The tent has a torn seam.\n"
    "Bot: It is covered.\n"
    "Note between agents (Marta): Gold member!\n"
    "Agent (Marta): I send a new one."
)


def run(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    pipeline.run(turn.pk)
    return ended(turn)


@pytest.mark.parametrize("status", ["open", "pending", "resolved", "snoozed"])
def test_answers_an_agents_note_by_a_note_in_every_status(
    asks: Asks, platforms: Platforms, status: str
) -> None:
    platforms.chatwoot_shows(status=status)
    platforms.chatwoot_has_history(*HISTORY)
    platforms.dify_answers(*answer_events(SUMMARY))

    turn = asks("/ai summarise", conversation={"status": status})

    assert run(turn) == ("answered", "suggested")
    [note] = platforms.posted
    assert (note["content"], note["private"]) == (f"{MARK}{SUMMARY}", True)
    assert platforms.calls("POST", "/toggle_status") == 0
    assert platforms.calls("POST", "/toggle_typing_status") == 0
    assert Draft.objects.count() == 0
    assert Turn.objects.count() == 1


def test_tells_the_app_the_conversation_but_nothing_of_the_customers_memory(
    asks: Asks, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    memory = make_memory(conversation, app_of(bot))
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history(*HISTORY)
    platforms.dify_answers(*answer_events(SUMMARY, conversation_id="apart"))

    run(asks("/ai summarise"))

    [asked] = platforms.asked
    assert asked["query"] == (
        "A conversation between a customer and our support:\n\n"
        f"{TALK}\n\n"
        "A support agent, not the customer, now asks you:\n\nsummarise"
    )
    assert "conversation_id" not in asked
    assert asked["user"] != bot.dify_user(conversation)
    assert str(asked["user"]).startswith("copilot-")
    assert "133" not in str(asked["user"])
    # It is not gone on with, but can be deleted in Dify as the others can.
    current = DifyConversation.objects.get(ended_at=None)
    assert current.pk == memory.pk
    apart = DifyConversation.objects.exclude(pk=memory.pk).get()
    assert (apart.dify_conversation_id, apart.dify_user) == ("apart", asked["user"])


def test_an_app_that_declares_them_gets_history_and_instruction_as_inputs(
    asks: Asks, bot: Bot, platforms: Platforms
) -> None:
    form: Any = [
        {"paragraph": {"variable": "history", "label": "h", "max_length": 60}},
        {"text-input": {"variable": "instruction", "label": "i"}},
    ]
    other = make_app(
        name="Copilot", parameters={"user_input_form": form, "file_upload": {}}
    )
    Bot.objects.update(command_app=other)
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history(*HISTORY)
    platforms.dify_answers(*answer_events(SUMMARY))

    assert run(asks("/ai summarise")) == ("answered", "suggested")

    [asked] = platforms.asked
    assert asked["query"] == "summarise"
    # The newest is kept.
    assert asked["inputs"] == {
        "history": "…\nAgent (Marta): I send a new one.",
        "instruction": "summarise",
    }
    assert Turn.objects.get().runs.get().dify_app == other


def test_the_command_alone_asks_for_a_summary(asks: Asks, platforms: Platforms) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history()
    platforms.dify_answers(*answer_events(SUMMARY))

    run(asks("/ai"))

    assert str(platforms.asked[0]["query"]).startswith("Summarise the conversation")


def test_without_an_administrators_token_the_webhooks_tell_the_history(
    asks: Asks, bot: Bot, platforms: Platforms, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text")
    make_event(bot.account, message_payload(sample), status="processed")
    bot.account.admin_token = ""
    bot.account.save()
    platforms.dify_answers(*answer_events(SUMMARY))

    assert run(asks("/ai what does she want?")) == ("answered", "suggested")

    tent = "Customer: Hi, the tent I ordered arrived with a torn seam."
    assert tent in str(platforms.asked[0]["query"])
    assert platforms.calls("GET", "/messages") == 0


def test_a_failure_is_told_by_a_note_and_changes_nothing(
    asks: Asks, platforms: Platforms
) -> None:
    Bot.objects.update(failure_private_text="")
    platforms.chatwoot_has_history()
    platforms.dify_answers(
        status=400, json={"code": "app_unavailable", "message": "App unavailable"}
    )
    turn = asks("/ai summarise", conversation={"status": "pending"})
    assert turn is not None

    assert run_until_done(turn) == ("handed_over", "dify_failed")

    [note] = platforms.posted
    assert note["private"] is True
    assert "The Dify app is not available" in str(note["content"])
    assert platforms.calls("POST", "/toggle_status") == 0


def test_an_agent_hears_of_a_dify_that_is_away_after_three_attempts(
    asks: Asks, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history()
    platforms.dify_answers(status=503, json={"code": "x", "message": "away"})
    turn = asks("/ai summarise")
    assert turn is not None

    assert run_until_done(turn) == ("handed_over", "dify_failed")

    assert platforms.calls("POST", "/chat-messages") == 3
    assert OutgoingMessage.objects.get().part == "failure_note"


def test_a_crash_after_the_answer_asks_nobody_again(
    asks: Asks, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history(*HISTORY)
    platforms.dify_answers(*answer_events(SUMMARY))
    platforms.chatwoot_takes_messages(status=429, json={})
    turn = asks("/ai summarise")
    assert run(turn)[0] == "retrying"
    platforms.chatwoot_takes_messages()

    assert turn is not None
    assert run_until_done(turn) == ("answered", "suggested")
    assert len(platforms.asked) == 1
    assert len(platforms.posted) == 1


def test_a_customer_does_not_wait_for_what_an_agent_asked(
    asks: Asks, bot: Bot, payload: Callable[[str], JsonObject], platforms: Platforms
) -> None:
    help_turn = asks("/ai summarise", conversation={"status": "pending"})
    Turn.objects.update(
        status="retrying", next_attempt_at=timezone.now() + timedelta(minutes=3)
    )
    sample = payload("message_created_incoming_text")
    event = message_payload(sample, id=9030, conversation={"status": "pending"})
    row = make_event(bot.account, event)
    answer = processing.process(row.pk, now=timezone.now())
    assert help_turn is not None
    assert ended(help_turn) == ("skipped", "customer_message")
    assert answer is not None
    assert answer.kind == Turn.Kind.ANSWER
    platforms.chatwoot_shows(last={"id": 9030, "message_type": 0})
    platforms.dify_answers(*answer_events("It is covered."))

    assert run(answer) == ("answered", "answered")

    again = Turn.objects.unfinished().get()
    assert (again.kind, again.last_message_id) == (Turn.Kind.HELP, 9021)


@pytest.mark.parametrize(
    "values",
    [
        {"enabled": False},
        {"command_word": ""},
        {"command_word": "/bot"},
    ],
)
def test_a_bot_that_is_off_or_called_otherwise_is_not_asked(
    asks: Asks, values: dict[str, Any]
) -> None:
    Bot.objects.update(**values)

    assert asks("/ai summarise") is None
    assert WebhookEvent.objects.get().reason == "private_note"


def test_the_same_note_by_two_webhooks_is_answered_once(asks: Asks) -> None:
    assert asks("/ai summarise") is not None
    assert asks("/ai summarise") is None
    assert Turn.objects.count() == 1


def test_a_refused_key_of_the_bots_app_does_not_stop_another_one(
    asks: Asks, bot: Bot, platforms: Platforms
) -> None:
    other = make_app(name="Copilot")
    Bot.objects.update(command_app=other)
    DifyApp.objects.exclude(pk=other.pk).update(health="refused")
    platforms.chatwoot_shows(status="open")
    platforms.chatwoot_has_history()
    platforms.dify_answers(*answer_events(SUMMARY))

    assert run(asks("/ai summarise")) == ("answered", "suggested")
