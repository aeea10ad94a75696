"""Answers that turn out to have arrived, and turns that were left for a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing
from conversations.models import Bot, OutgoingMessage, Turn, WebhookEvent
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import make_event, message_payload
from conversations.tests.test_pipeline import HELLO, ended, run_until_done
from conversations.tests.test_races_posting import (  # noqa: F401 a fixture
    Says,
    chatwoot_holds,
    run_now,
    says,
    stored_answer,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def arrived(
    turn: Turn,
    platforms: Platforms,
    says: Says,  # noqa: F811 the fixture
) -> JsonObject:
    """The answer is in Chatwoot, which said that it is not; a message has joined."""
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=429, json={})
    run_now(turn)
    says(9005)
    stored = stored_answer()
    chatwoot_holds(platforms, stored)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_shows(last={"id": 9005, "message_type": 0})
    return stored


@pytest.mark.usefixtures("arrived")
def test_a_message_gets_its_own_turn_when_it_joined_an_answer_that_had_arrived(
    turn: Turn, platforms: Platforms
) -> None:
    assert run_until_done(turn, most=1) == ("answered", "answered")

    joined = WebhookEvent.objects.get(chatwoot_message_id=9005)
    assert joined.turn is not None
    assert joined.turn != turn
    assert joined.turn.status == "collecting"


def test_nothing_is_posted_twice_when_the_first_message_is_deleted_meanwhile(
    turn: Turn,
    bot: Bot,
    platforms: Platforms,
    arrived: JsonObject,
    payload: Callable[[str], JsonObject],
) -> None:
    sample = message_payload(payload("message_updated_deleted"), id=9001)
    nested = payload("message_created_incoming_text")["conversation"]
    deleted = make_event(bot.account, {**sample, "conversation": nested})
    processing.process(deleted.pk, now=timezone.now())

    run_until_done(turn, most=1)

    assert arrived["source_id"] not in [post["source_id"] for post in platforms.posted]


def test_a_message_gets_its_own_turn_when_it_comes_after_the_worker_died_having_posted(
    turn: Turn,
    platforms: Platforms,
    says: Says,  # noqa: F811 the fixture
) -> None:
    now = timezone.now()
    Bot.objects.update(on_new_message="restart")
    OutgoingMessage.objects.create(
        turn=turn,
        part="answer",
        content=HELLO,
        attempted_at=now,
        posted_at=now,
        chatwoot_message_id=9003,
    )
    in_time = now + timedelta(seconds=9)
    Turn.objects.update(status="running", attempts=1, lease_expires_at=in_time)

    says(9005)
    Turn.objects.update(lease_expires_at=now - timedelta(seconds=1))
    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    joined = WebhookEvent.objects.get(chatwoot_message_id=9005)
    assert joined.turn != turn


def test_a_handover_is_tried_when_the_workers_were_away_for_a_day(
    turn: Turn, platforms: Platforms
) -> None:
    long_ago = timezone.now() - timedelta(hours=25)
    Turn.objects.update(created_at=long_ago, next_attempt_at=long_ago)

    assert run_until_done(turn) == ("handed_over", "too_old")
    assert platforms.calls("POST", "/toggle_status") == 1


def test_a_handover_is_tried_again_when_the_workers_were_away_after_its_first_attempt(
    turn: Turn, platforms: Platforms
) -> None:
    long_ago = timezone.now() - timedelta(hours=25)
    Turn.objects.update(
        created_at=long_ago,
        started_at=long_ago,
        attempts=1,
        status="retrying",
        handover_reason="dify_failed",
    )

    assert run_until_done(turn) == ("handed_over", "dify_failed")
    assert platforms.calls("POST", "/toggle_status") == 1


def test_an_answer_that_arrived_is_one_when_it_is_found_a_day_later(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=503, body="x")
    run_now(turn)
    chatwoot_holds(platforms, stored_answer())
    long_ago = timezone.now() - timedelta(hours=25)
    Turn.objects.update(
        created_at=long_ago, started_at=long_ago, handover_reason="chatwoot_failed"
    )

    assert run_until_done(turn) == ("answered", "answered")


def test_a_handover_works_whatever_the_message_looks_like(
    turn: Turn, platforms: Platforms
) -> None:
    WebhookEvent.objects.update(payload={"event": "message_created"})
    Turn.objects.update(handover_reason="internal_error")

    assert run_until_done(turn) == ("handed_over", "internal_error")
