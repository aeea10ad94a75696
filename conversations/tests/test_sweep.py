"""What nobody is doing is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import sweep, tasks
from conversations.models import Bot, Conversation, Turn, WebhookEvent
from conversations.tests.conftest import Queue
from conversations.tests.factories import make_event, make_turn, message_payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def an_event(bot: Bot, payload: Callable[[str], JsonObject], **fields: object) -> int:
    sample = message_payload(payload("message_created_incoming_text"))
    return make_event(bot.account, sample, **fields).pk


@pytest.mark.parametrize(
    ("age_s", "status", "is_found"),
    [
        (30, "received", True),
        (4, "received", False),
        (30, "processed", False),
        (30, "failed", False),
    ],
)
def test_finds_events_that_redis_forgot(
    bot: Bot,
    payload: Callable[[str], JsonObject],
    now: datetime,
    age_s: int,
    status: str,
    is_found: bool,
) -> None:
    event_id = an_event(
        bot, payload, received_at=now - timedelta(seconds=age_s), status=status
    )

    assert sweep.find(now=now).event_ids == ([event_id] if is_found else [])


@pytest.mark.parametrize("status", ["collecting", "retrying", "unknown"])
@pytest.mark.parametrize(("late_s", "is_found"), [(30, True), (4, False), (-30, False)])
def test_finds_turns_that_are_overdue(
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    status: str,
    late_s: int,
    is_found: bool,
) -> None:
    turn = make_turn(
        conversation,
        bot,
        status=status,
        next_attempt_at=now - timedelta(seconds=late_s),
    )

    assert sweep.find(now=now).turn_ids == ([turn.pk] if is_found else [])


@pytest.mark.parametrize(("expired_s", "is_found"), [(30, True), (-30, False)])
def test_finds_turns_of_dead_workers(
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    expired_s: int,
    is_found: bool,
) -> None:
    turn = make_turn(
        conversation,
        bot,
        status="running",
        lease=uuid4(),
        lease_expires_at=now - timedelta(seconds=expired_s),
    )

    assert sweep.find(now=now).turn_ids == ([turn.pk] if is_found else [])


@pytest.mark.parametrize("status", ["answered", "skipped", "handed_over", "failed"])
def test_leaves_ended_turns_alone(
    bot: Bot, conversation: Conversation, now: datetime, status: str
) -> None:
    make_turn(
        conversation, bot, status=status, next_attempt_at=now - timedelta(hours=1)
    )

    assert sweep.find(now=now).turn_ids == []


def test_starts_the_turn_of_a_message_that_was_left_waiting(
    bot: Bot,
    conversation: Conversation,
    payload: Callable[[str], JsonObject],
    now: datetime,
) -> None:
    event_id = an_event(
        bot,
        payload,
        conversation=conversation,
        status="processed",
        action="answer",
        processed_at=now - timedelta(minutes=1),
    )

    found = sweep.find(now=now)

    turn = Turn.objects.get()
    assert found.turn_ids == [turn.pk]
    assert WebhookEvent.objects.get(pk=event_id).turn == turn
    assert turn.last_message_id == 9001


def test_leaves_a_message_waiting_while_a_run_is_under_way(
    bot: Bot,
    conversation: Conversation,
    payload: Callable[[str], JsonObject],
    now: datetime,
) -> None:
    make_turn(
        conversation,
        bot,
        status="running",
        lease_expires_at=now + timedelta(minutes=1),
    )
    an_event(
        bot,
        payload,
        conversation=conversation,
        status="processed",
        action="answer",
        processed_at=now - timedelta(minutes=1),
    )

    assert sweep.find(now=now).turn_ids == []


@pytest.mark.parametrize(("minutes", "is_late"), [(9, False), (11, True)])
@pytest.mark.parametrize("status", ["collecting", "retrying", "unknown"])
def test_what_takes_too_long_is_due_for_the_humans(
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    status: str,
    minutes: int,
    is_late: bool,
) -> None:
    later = now + timedelta(minutes=3)
    turn = make_turn(
        conversation,
        bot,
        status=status,
        attempts=4,
        started_at=now - timedelta(minutes=minutes),
        next_attempt_at=later,
    )

    sweep.find(now=now)

    turn.refresh_from_db()
    assert turn.handover_reason == ("took_too_long" if is_late else "")
    assert turn.next_attempt_at == (now if is_late else later)
    assert turn.attempts == (0 if is_late else 4)


def test_a_run_that_takes_too_long_is_interrupted(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    turn = make_turn(
        conversation,
        bot,
        status="running",
        started_at=now - timedelta(minutes=11),
        lease_expires_at=now + timedelta(seconds=20),
    )

    sweep.find(now=now)

    turn.refresh_from_db()
    assert turn.interrupt == "took_too_long"
    assert turn.handover_reason == ""


def test_a_turn_that_nobody_could_begin_is_not_late(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    turn = make_turn(conversation, bot, created_at=now - timedelta(hours=2))

    sweep.find(now=now)

    turn.refresh_from_db()
    assert turn.handover_reason == ""


def test_waits_of_more_than_a_minute_stay_in_the_row(queue: Queue) -> None:
    tasks.wake_turn(7, delay_s=61)

    assert queue.tasks() == []


@pytest.mark.django_db(transaction=False)
def test_the_visibility_timeout_outlasts_the_longest_run() -> None:
    from conversations.checks import redelivery_after_longest_run

    assert redelivery_after_longest_run(None) == []
    options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, "visibility_timeout": 1800}
    with override_settings(CELERY_BROKER_TRANSPORT_OPTIONS=options):
        (error,) = redelivery_after_longest_run(None)
    assert error.id == "conversations.E001"
