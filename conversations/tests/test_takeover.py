"""A human wins, at any moment of a run; and the way back to the bot."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing
from conversations.leases import keeper
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    OutgoingMessage,
    Turn,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import app_of, make_event, message_payload
from conversations.tests.test_pipeline import ended, run_until_done
from dify_api.models import DifyApp
from dify_api.tests.scripted import PING, Exchange, ScriptedServer, chunk
from dify_api.tests.scripted import answer as scripted_answer

pytestmark = pytest.mark.django_db

Hears = Callable[..., None]
STILL_OURS = {"id": 9050, "conversation": {"status": "pending"}}


@pytest.fixture
def hears(bot: Bot, payload: Callable[[str], JsonObject]) -> Hears:
    """Process a webhook made from a sample."""

    def hear(name: str, **changes: Any) -> None:
        sample = payload(name)
        if "conversation" in sample:
            event = message_payload(sample, **changes)
        else:
            event = {**sample, **changes}
        row = make_event(bot.account, event)
        processing.process(row.pk, now=timezone.now())

    return hear


@pytest.fixture
def running(turn: Turn) -> Turn:
    """The turn while a worker runs it."""
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None
    return turn


@pytest.mark.parametrize(
    ("name", "changes", "cause"),
    [
        ("message_created_outgoing_user", STILL_OURS, "human_has_taken_over"),
        (
            "message_created_outgoing_user",
            {**STILL_OURS, "sender": None},
            "human_has_taken_over",
        ),
        ("conversation_status_changed_open", {"id": 133}, "status_not_allowed"),
        (
            "conversation_updated_labels",
            {"id": 133, "status": "pending", "labels": ["bot-paused"]},
            "paused",
        ),
        (
            "conversation_updated_custom_attributes",
            {
                "id": 133,
                "status": "pending",
                "custom_attributes": {"bot_paused": True},
            },
            "paused",
        ),
        ("message_created_private_note", STILL_OURS, ""),
    ],
)
def test_a_run_is_interrupted_by_what_makes_its_answer_unwanted(
    running: Turn, hears: Hears, name: str, changes: dict[str, Any], cause: str
) -> None:
    hears(name, **changes)

    running.refresh_from_db()
    assert running.interrupt == cause


def test_a_run_is_interrupted_by_an_assigned_human_if_the_bot_yields(
    running: Turn, hears: Hears
) -> None:
    assigned = {"id": 133, "status": "pending"}
    hears("conversation_updated_assignee", **assigned)
    running.refresh_from_db()
    assert running.interrupt == ""
    Bot.objects.update(yields_to_assignee=True)

    hears("conversation_updated_assignee", **assigned)

    running.refresh_from_db()
    assert running.interrupt == "human_is_assigned"


def test_a_human_who_answers_stops_the_run_in_dify(
    turn: Turn, platforms: Platforms
) -> None:
    def interrupt() -> None:
        """Tell what the keeper's thread would see, if it saw the rows of this test."""
        for watch in keeper._watches.values():
            watch.cause = "human_has_taken_over"

    def script(exchange: Exchange) -> None:
        if exchange.request.path.endswith("/stop"):
            exchange.send(scripted_answer("200 OK", b'{"result": "success"}'))
            return
        event = answer_events("Half an ans")[0]
        exchange.send_stream(f"data: {json.dumps(event)}\n\n".encode())
        # Once the event is read.
        threading.Timer(0.5, interrupt).start()
        exchange.repeat(chunk(PING))

    server = ScriptedServer(script)
    platforms.wire.add_passthru(server.url)
    DifyApp.objects.update(base_url=server.url)

    result = pipeline.run(turn.pk)
    server.close()

    assert [r.path for r in server.requests] == [
        "/v1/chat-messages",
        "/v1/chat-messages/task-1/stop",
    ]
    assert result.delay_s == 0
    assert platforms.posted == []


@pytest.mark.parametrize("yields", [True, False])
def test_looks_for_an_assigned_human_before_posting(
    turn: Turn, platforms: Platforms, yields: bool
) -> None:
    Bot.objects.update(yields_to_assignee=yields)
    shown: JsonObject = {
        "id": 133,
        "status": "pending",
        "meta": {"assignee": {"id": 2, "name": "Marta", "role": "agent"}},
        "last_non_activity_message": {"id": 9001, "message_type": 0},
    }
    platforms.dify_answers(
        *answer_events("Hello"),
        meanwhile=lambda: platforms.chatwoot_answers_reads(json=shown),
    )

    end = run_until_done(turn, most=2)

    if yields:
        # Only the bot sees a pending conversation, so somebody has to be told.
        assert end == ("handed_over", "human_is_assigned")
        assert [post["private"] for post in platforms.posted] == [True]
    else:
        assert end == ("answered", "answered")


def test_a_label_in_chatwoot_pauses_the_bot_before_it_posts(
    turn: Turn, platforms: Platforms
) -> None:
    shown: JsonObject = {
        "id": 133,
        "status": "pending",
        "labels": ["bot-paused"],
        "last_non_activity_message": {"id": 9001, "message_type": 0},
    }
    platforms.dify_answers(
        *answer_events("Hello"),
        meanwhile=lambda: platforms.chatwoot_answers_reads(json=shown),
    )

    assert run_until_done(turn, most=2) == ("handed_over", "paused")
    assert "Hello" not in [post["content"] for post in platforms.posted]


def test_the_bot_answers_again_with_its_memory_once_it_has_the_conversation_back(
    bot: Bot,
    turn: Turn,
    conversation: Conversation,
    platforms: Platforms,
    hears: Hears,
) -> None:
    DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="dify-conversation-1",
        dify_user="chatwoot-me",
    )
    platforms.chatwoot_shows(status="open")
    pipeline.run(turn.pk)
    assert ended(turn) == ("skipped", "status_not_allowed")
    hears("message_created_outgoing_user", id=9050)
    given_back = {"status": "pending", "updated_at": time.time()}
    hears("message_created_incoming_text", id=9060, conversation=given_back)
    platforms.chatwoot_shows(last={"id": 9060, "message_type": 0})
    platforms.dify_answers(*answer_events("Back again"))
    back = Turn.objects.latest("pk")

    assert run_until_done(back, most=1) == ("answered", "answered")
    assert platforms.asked[0]["conversation_id"] == "dify-conversation-1"


# --- Given back with something still unanswered ---------------------------------------


def given_back(hears: Hears) -> None:
    pending = {"id": 133, "status": "pending", "updated_at": time.time() + 1}
    hears("conversation_updated_status", **pending)


@pytest.fixture
def taken(turn: Turn, hears: Hears, platforms: Platforms) -> Turn:
    """A human opened the conversation before the bot had answered."""
    hears("conversation_status_changed_open", id=133, updated_at=time.time())
    platforms.chatwoot_shows(status="open")
    pipeline.run(turn.pk)
    platforms.chatwoot_shows()
    assert ended(turn) == ("skipped", "status_not_allowed")
    return turn


@pytest.mark.usefixtures("taken")
def test_answers_what_is_unanswered_when_it_has_the_conversation_back(
    platforms: Platforms, hears: Hears
) -> None:
    platforms.dify_answers(*answer_events("Back again"))

    given_back(hears)

    assert run_until_done(Turn.objects.latest("pk"), most=1)[0] == "answered"
    assert [post["content"] for post in platforms.posted] == ["Back again"]


@pytest.mark.usefixtures("taken")
def test_answers_also_what_was_said_while_the_humans_had_it(
    conversation: Conversation, hears: Hears
) -> None:
    hears("message_created_incoming_text", id=9002, conversation={"status": "open"})

    given_back(hears)

    back = Turn.objects.latest("pk")
    numbers = back.events.values_list("chatwoot_message_id", flat=True)
    assert sorted(number or 0 for number in numbers) == [9001, 9002]
    assert back.last_message_id == 9002


@pytest.mark.usefixtures("taken")
def test_leaves_alone_what_a_human_has_answered(hears: Hears) -> None:
    hears("message_created_outgoing_user", id=9050, conversation={"status": "open"})

    given_back(hears)

    assert Turn.objects.count() == 1


def test_answers_nothing_twice_when_it_has_the_conversation_back(
    turn: Turn, hears: Hears, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events("Hello"))
    pipeline.run(turn.pk)
    hears("conversation_status_changed_open", id=133, updated_at=time.time())

    given_back(hears)

    assert Turn.objects.count() == 1


@pytest.mark.usefixtures("taken")
def test_answers_once_it_is_given_back_and_unassigned_in_any_order(
    hears: Hears, conversation: Conversation
) -> None:
    Bot.objects.update(yields_to_assignee=True)
    conversation.refresh_from_db()
    Conversation.objects.update(assignee_kind="user", chatwoot_assignee_id=2)

    hears(
        "conversation_updated_assignee",
        id=133,
        status="pending",
        updated_at=time.time() + 1,
    )
    assert Turn.objects.count() == 1
    given_back(hears)

    assert Turn.objects.count() == 2
    assert Turn.objects.latest("pk").handover_reason == ""


@pytest.mark.usefixtures("taken")
def test_does_not_hand_over_again_what_was_just_given_back(
    hears: Hears,
) -> None:
    Bot.objects.update(max_message_age_s=0)

    given_back(hears)

    assert Turn.objects.count() == 1


@pytest.mark.usefixtures("taken")
def test_answers_the_older_message_too_when_the_newer_one_brings_the_news(
    hears: Hears,
) -> None:
    back = {"status": "pending", "updated_at": time.time() + 1}
    hears("message_created_incoming_text", id=9002, conversation=back)

    numbers = Turn.objects.latest("pk").events.values_list(
        "chatwoot_message_id", flat=True
    )
    assert sorted(number or 0 for number in numbers) == [9001, 9002]


@pytest.mark.usefixtures("taken")
def test_leaves_alone_what_was_settled_by_a_resolve(hears: Hears) -> None:
    hears("conversation_status_changed_resolved", id=133, updated_at=time.time() + 0.5)

    given_back(hears)

    assert Turn.objects.count() == 1


@pytest.mark.usefixtures("taken")
def test_finds_the_message_below_many_notes(hears: Hears) -> None:
    for number in range(9100, 9125):
        hears(
            "message_created_private_note", id=number, conversation={"status": "open"}
        )

    given_back(hears)

    assert Turn.objects.count() == 2


def test_does_not_answer_again_what_it_may_have_answered(
    turn: Turn, hears: Hears
) -> None:
    OutgoingMessage.objects.create(
        turn=turn, part="answer", content="Hello", attempted_at=timezone.now()
    )
    Turn.objects.update(status="handed_over", reason="outcome_unknown")
    hears("conversation_status_changed_open", id=133, updated_at=time.time())

    given_back(hears)

    assert Turn.objects.count() == 1


@pytest.mark.parametrize(("in_vain", "is_tried"), [(1, True), (2, False)])
def test_does_not_try_for_ever_what_fails_each_time_it_is_given_back(
    turn: Turn, hears: Hears, in_vain: int, is_tried: bool
) -> None:
    Turn.objects.update(status="handed_over", reason="dify_failed")
    for _ in range(in_vain - 1):
        Turn.objects.create(
            conversation=turn.conversation,
            bot=turn.bot,
            last_message_id=9001,
            status="handed_over",
        )
    hears("conversation_status_changed_open", id=133, updated_at=time.time())

    given_back(hears)

    assert (Turn.objects.count() > in_vain) is is_tried
