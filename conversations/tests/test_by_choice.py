"""The customer chose bot or human before the chat: message, or note for the agents."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing
from conversations.models import Bot, Conversation, Turn, WebhookEvent
from conversations.tests.conftest import CONVERSATION_URL, Platforms, answer_events
from conversations.tests.factories import make_bot, make_event, message_payload

pytestmark = pytest.mark.django_db

HELLO = "Hello! The tent can be sent back."
CHOSE_BOT: JsonObject = {"support_mode": "AI агент"}
CHOSE_HUMAN: JsonObject = {"support_mode": "Человек"}


@pytest.fixture
def bot() -> Bot:
    return make_bot(reply_as="by_support_mode", speak_in_statuses=["pending", "open"])


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def shows(platforms: Platforms, *, status: str = "pending", **values: Any) -> None:
    """Let Chatwoot show the conversation; `contact` and `contact_info` are nested."""
    contact = {
        "id": 640,
        "custom_attributes": values.pop("contact", {}),
        "additional_attributes": values.pop("contact_info", {}),
    }
    body = {
        "id": 133,
        "status": status,
        "meta": {"sender": contact, "channel": "Channel::WebWidget"},
        "last_non_activity_message": {"id": 9001, "message_type": 0},
        **values,
    }
    platforms.chatwoot_answers_reads(json=body)


def arrives(bot: Bot, incoming: JsonObject, **conversation: Any) -> Turn:
    """Process the customer's message, and let its turn be due at once."""
    body = message_payload(incoming, conversation=conversation)
    turn = processing.process(make_event(bot.account, body).pk, now=timezone.now())
    assert turn is not None
    return turn


def due(turn: Turn) -> int:
    now = timezone.now()
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=now - timedelta(seconds=1))
    return turn.pk


def ended(turn: Turn) -> tuple[str, str, str]:
    turn.refresh_from_db()
    return turn.status, turn.reason, turn.replied_as


def said(platforms: Platforms) -> list[tuple[Any, Any]]:
    """What was posted; above a note's text stands that it is a draft."""
    return [
        (post["private"], str(post["content"]).split("\n\n")[-1])
        for post in platforms.posted
    ]


def opened(platforms: Platforms) -> list[Any]:
    url = f"{CONVERSATION_URL}/toggle_status"
    calls = [call for call in platforms.wire.calls if call.request.url == url]
    return [json.loads(call.request.body or b"") for call in calls]


@pytest.mark.parametrize("status", ["pending", "open"])
def test_who_chose_the_bot_gets_a_message(
    bot: Bot, incoming: JsonObject, platforms: Platforms, status: str
) -> None:
    shows(platforms, status=status, custom_attributes=CHOSE_BOT)
    platforms.dify_answers(*answer_events(HELLO))

    turn = arrives(bot, incoming, status=status, custom_attributes=CHOSE_BOT)
    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered", "message")
    assert said(platforms) == [(False, HELLO)]
    assert opened(platforms) == []
    # The customer sees that somebody is at it.
    assert platforms.calls("POST", "/toggle_typing_status") == 2


@pytest.mark.parametrize("chosen", [CHOSE_HUMAN, {"support_mode": "?"}, {}])
def test_everybody_else_gets_a_human_and_the_human_a_note(
    bot: Bot, incoming: JsonObject, platforms: Platforms, chosen: JsonObject
) -> None:
    shows(platforms, custom_attributes=chosen)
    platforms.dify_answers(*answer_events(HELLO))

    turn = arrives(bot, incoming, custom_attributes=chosen)
    pipeline.run(due(turn))

    assert ended(turn) == ("answered", "suggested", "private_note")
    assert said(platforms) == [(True, HELLO)]
    # Only the bot sees a pending conversation: the humans get it.
    assert opened(platforms) == [{"status": "open"}]
    assert platforms.calls("POST", "/toggle_typing_status") == 0
    # The customer still waits for an answer.
    assert Conversation.objects.get().waiting_since is not None


def test_an_open_conversation_stays_as_it_is_beside_a_note(
    bot: Bot, incoming: JsonObject, platforms: Platforms
) -> None:
    shows(platforms, status="open", custom_attributes=CHOSE_HUMAN)
    platforms.dify_answers(*answer_events(HELLO))

    turn = arrives(bot, incoming, status="open", custom_attributes=CHOSE_HUMAN)
    pipeline.run(turn.pk)

    assert said(platforms) == [(True, HELLO)]
    assert opened(platforms) == []


@pytest.mark.parametrize(
    "place",
    ["custom_attributes", "additional_attributes", "contact", "contact_info"],
)
def test_the_choice_is_found_in_each_of_the_four_places(
    bot: Bot, incoming: JsonObject, platforms: Platforms, place: str
) -> None:
    chosen: dict[str, Any] = {place: CHOSE_BOT}
    shows(platforms, **chosen)
    platforms.dify_answers(*answer_events(HELLO))

    turn = arrives(bot, incoming)
    pipeline.run(due(turn))

    assert said(platforms) == [(False, HELLO)]


@pytest.mark.parametrize(
    ("before", "after", "private"),
    [(CHOSE_BOT, CHOSE_HUMAN, True), (CHOSE_HUMAN, CHOSE_BOT, False)],
)
def test_what_counts_is_the_choice_right_before_the_post(
    bot: Bot,
    incoming: JsonObject,
    platforms: Platforms,
    before: JsonObject,
    after: JsonObject,
    private: bool,
) -> None:
    shows(platforms, status="open", custom_attributes=before)
    platforms.dify_answers(
        *answer_events(HELLO),
        meanwhile=lambda: shows(platforms, status="open", custom_attributes=after),
    )

    turn = arrives(bot, incoming, status="open", custom_attributes=before)
    pipeline.run(turn.pk)

    assert said(platforms) == [(private, HELLO)]


def test_a_failure_speaks_to_the_customer_only_if_the_bot_was_chosen(
    bot: Bot, incoming: JsonObject, platforms: Platforms
) -> None:
    platforms.dify_answers(
        json={"code": "unauthorized", "message": "no", "status": 401}, status=401
    )
    shows(platforms, custom_attributes=CHOSE_HUMAN)

    turn = arrives(bot, incoming, custom_attributes=CHOSE_HUMAN)
    for _attempt in range(2):
        pipeline.run(due(turn))

    assert ended(turn)[:2] == ("handed_over", "dify_failed")
    assert [private for private, _text in said(platforms)] == [True]
    assert opened(platforms) == [{"status": "open"}]


# --- A choice that comes late ---------------------------------------------------------


def pause_s(turn: Turn) -> float:
    assert turn.next_attempt_at is not None
    return (turn.next_attempt_at - turn.created_at).total_seconds()


def test_a_first_message_without_choice_waits_for_the_form(
    bot: Bot, incoming: JsonObject, platforms: Platforms
) -> None:
    turn = arrives(bot, incoming)
    assert pause_s(turn) == 3.0

    # The form's second request has reached Chatwoot meanwhile, and no webhook told.
    shows(platforms, contact=CHOSE_BOT)
    platforms.dify_answers(*answer_events(HELLO))
    pipeline.run(due(turn))

    assert said(platforms) == [(False, HELLO)]


def test_a_choice_that_is_there_is_not_waited_for(
    bot: Bot, incoming: JsonObject
) -> None:
    assert pause_s(arrives(bot, incoming, custom_attributes=CHOSE_HUMAN)) == 0.0


def test_only_the_first_message_waits(
    bot: Bot, incoming: JsonObject, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    shows(platforms, status="open")
    pipeline.run(due(arrives(bot, incoming, status="open")))

    assert pause_s(arrives(bot, {**incoming, "id": 9002}, status="open")) == 0.0


def test_other_bots_never_wait(bot: Bot, incoming: JsonObject) -> None:
    Bot.objects.update(reply_as="message")

    assert pause_s(arrives(bot, incoming)) == 0.0


def test_a_second_message_does_not_cut_the_wait_short(
    bot: Bot, incoming: JsonObject
) -> None:
    Bot.objects.update(debounce_s=1)
    first = arrives(bot, incoming)

    second = arrives(bot, {**incoming, "id": 9002})

    assert second == first
    assert pause_s(second) == 3.0


def test_without_a_token_that_may_read_the_mirror_decides(
    bot: Bot, incoming: JsonObject, platforms: Platforms
) -> None:
    # As a bot's read is answered before Chatwoot 4.14.2, and nobody else may read.
    bot.account.admin_token = ""
    bot.account.save()
    platforms.chatwoot_answers_reads(
        status=401, json={"error": "Access to this endpoint is not authorized for bots"}
    )
    platforms.dify_answers(*answer_events(HELLO))

    turn = arrives(bot, incoming, status="open", custom_attributes=CHOSE_BOT)
    pipeline.run(turn.pk)

    assert said(platforms) == [(False, HELLO)]


# --- An account webhook alone ---------------------------------------------------------


def test_works_on_an_account_webhook_without_an_agent_bot(
    bot: Bot, incoming: JsonObject, platforms: Platforms, client: Client
) -> None:
    bot.account.webhook_token, bot.account.bot_token = "in-the-address", "a-persons"
    bot.account.save()
    body = message_payload(
        incoming, conversation={"status": "open", "custom_attributes": CHOSE_BOT}
    )
    shows(platforms, status="open", custom_attributes=CHOSE_BOT)
    platforms.dify_answers(*answer_events(HELLO))

    answer = client.post(
        "/chatwoot/webhook?token=in-the-address", body, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    turn = processing.process(WebhookEvent.objects.get().pk, now=timezone.now())
    assert turn is not None
    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered", "message")
    assert said(platforms) == [(False, HELLO)]


def test_an_answer_posted_with_a_persons_token_is_no_humans_reply(
    bot: Bot, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    """Chatwoot shows it as that person's; the mark in it tells that it is ours."""
    arrives(bot, incoming, status="open", custom_attributes=CHOSE_BOT)
    echo = message_payload(
        payload("message_created_outgoing_user"),
        id=9003,
        content_attributes={
            "bridge_message_id": "0b0c8f6c-0000-4000-8000-000000000000"
        },
    )
    echo["conversation"] = message_payload(incoming)["conversation"]
    event = make_event(bot.account, echo)

    processing.process(event.pk, now=timezone.now())

    event.refresh_from_db()
    assert event.reason == "own_message"
    assert Conversation.objects.get().last_human_message_id == 0
