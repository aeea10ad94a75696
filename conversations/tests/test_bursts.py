"""Messages that follow each other fast: joined, restarted, withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing, tasks
from conversations.models import Bot, Conversation, Turn, WebhookEvent
from conversations.tests.conftest import Platforms, Queue, answer_events
from conversations.tests.factories import make_event, message_payload
from conversations.tests.test_pipeline import ended

pytestmark = pytest.mark.django_db

Says = Callable[..., Turn | None]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def says(bot: Bot, payload: Callable[[str], JsonObject]) -> Says:
    """Let the customer say something, and process the event at that moment."""

    def say(number: int, *, at: datetime, **fields: Any) -> Turn | None:
        sample = payload("message_created_incoming_text")
        event = make_event(
            bot.account,
            message_payload(sample, id=number, content=f"message {number}", **fields),
            received_at=at,
        )
        return processing.process(event.pk, now=at)

    return say


@pytest.fixture
def deletes(bot: Bot, payload: Callable[[str], JsonObject]) -> Callable[[int], None]:
    def delete(number: int) -> None:
        sample = message_payload(payload("message_updated_deleted"), id=number)
        nested = payload("message_created_incoming_text")["conversation"]
        event = make_event(bot.account, {**sample, "conversation": nested})
        processing.process(event.pk, now=timezone.now())

    return delete


def waits(bot: Bot, *, debounce_s: int) -> None:
    Bot.objects.filter(pk=bot.pk).update(debounce_s=debounce_s)


def test_answers_at_once_by_default(says: Says, now: datetime) -> None:
    turn = says(9001, at=now)

    assert turn is not None
    assert turn.next_attempt_at == now


def test_joins_what_follows_fast_and_waits_for_more(
    bot: Bot, says: Says, now: datetime
) -> None:
    waits(bot, debounce_s=8)

    says(9001, at=now)
    says(9002, at=now + timedelta(seconds=5))

    turn = Turn.objects.get()
    assert turn.last_message_id == 9002
    assert turn.next_attempt_at == now + timedelta(seconds=13)
    assert turn.events.count() == 2


def test_never_waits_longer_than_a_minute(bot: Bot, says: Says, now: datetime) -> None:
    waits(bot, debounce_s=20)

    for count in range(5):
        says(9001 + count, at=now + timedelta(seconds=15 * count))

    assert Turn.objects.get().next_attempt_at == now + timedelta(seconds=60)


def test_twenty_messages_are_enough(bot: Bot, says: Says, now: datetime) -> None:
    waits(bot, debounce_s=20)

    for count in range(20):
        at = now + timedelta(seconds=count)
        says(9001 + count, at=at)

    assert Turn.objects.get().next_attempt_at == at


def test_a_turn_that_was_tried_is_not_put_off_by_another_message(
    bot: Bot, says: Says, now: datetime
) -> None:
    waits(bot, debounce_s=20)
    says(9001, at=now)
    in_two = now + timedelta(seconds=2)
    Turn.objects.update(status="retrying", started_at=now, next_attempt_at=in_two)

    says(9002, at=now + timedelta(seconds=1))

    turn = Turn.objects.get()
    assert (turn.next_attempt_at, turn.last_message_id) == (in_two, 9002)


def test_the_customer_sees_typing_while_the_bot_waits(
    bot: Bot,
    platforms: Platforms,
    queue: Queue,
    payload: Callable[[str], JsonObject],
) -> None:
    waits(bot, debounce_s=8)
    sample = message_payload(payload("message_created_incoming_text"))
    event = make_event(bot.account, sample)

    tasks.process_event(event.pk)

    assert platforms.calls("POST", "/toggle_typing_status") == 1
    assert queue.tasks() == [("run_turn", [Turn.objects.get().pk])]


def test_typing_ends_also_when_nothing_is_answered(
    bot: Bot, turn: Turn, platforms: Platforms
) -> None:
    waits(bot, debounce_s=8)
    platforms.chatwoot_shows(status="open")

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "status_not_allowed")
    (hidden,) = [
        call.request.body
        for call in platforms.wire.calls
        if str(call.request.url).endswith("/toggle_typing_status")
    ]
    assert '"off"' in str(hidden)


# --- A message during a run -----------------------------------------------------------


def running(conversation: Conversation, **fields: Any) -> Turn:
    Turn.objects.update(
        status="running",
        lease="1" * 32,
        lease_expires_at=timezone.now() + timedelta(seconds=20),
        **fields,
    )
    return Turn.objects.get(conversation=conversation)


def test_a_message_during_a_run_waits_for_the_next_turn(
    conversation: Conversation, turn: Turn, says: Says, now: datetime
) -> None:
    running(conversation)

    assert says(9002, at=now) is None

    turn.refresh_from_db()
    assert (turn.last_message_id, turn.interrupt) == (9001, "")
    assert WebhookEvent.objects.get(chatwoot_message_id=9002).turn is None


def test_a_message_during_a_run_restarts_it_if_the_bot_says_so(
    bot: Bot, conversation: Conversation, turn: Turn, says: Says, now: datetime
) -> None:
    Bot.objects.update(on_new_message="restart")
    running(conversation)

    says(9002, at=now)

    turn.refresh_from_db()
    assert (turn.last_message_id, turn.interrupt) == (9002, "new_message")
    assert turn.events.count() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"posting_at": timezone.now()},
        {"handover_reason": "dify_failed"},
        {"interrupt": "paused"},
    ],
)
def test_what_cannot_be_restarted_keeps_the_message_waiting(
    conversation: Conversation,
    turn: Turn,
    says: Says,
    now: datetime,
    fields: dict[str, Any],
) -> None:
    Bot.objects.update(on_new_message="restart")
    running(conversation, **fields)

    says(9002, at=now)

    turn.refresh_from_db()
    assert turn.last_message_id == 9001
    assert WebhookEvent.objects.get(chatwoot_message_id=9002).turn is None


def test_a_restart_answers_both_messages_once(
    bot: Bot,
    turn: Turn,
    platforms: Platforms,
    says: Says,
    now: datetime,
) -> None:
    Bot.objects.update(on_new_message="restart")

    platforms.dify_answers(
        *answer_events("to the first"), meanwhile=lambda: says(9002, at=now)
    )
    platforms.dify_answers(*answer_events("to both"))

    pipeline.run(turn.pk)
    assert platforms.posted == []
    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == ["to both"]
    assert "message 9002" in str(platforms.asked[1]["query"])


# --- Deleted messages -----------------------------------------------------------------


def test_a_deleted_message_is_not_answered(
    says: Says, deletes: Callable[[int], None], now: datetime
) -> None:
    turn = says(9001, at=now)
    assert turn is not None

    deletes(9001)

    assert ended(turn) == ("skipped", "message_deleted")
    event = WebhookEvent.objects.get(name="message_created")
    assert (event.action, event.reason) == ("ignore", "message_deleted")


def test_the_other_messages_are_still_answered(
    says: Says, deletes: Callable[[int], None], now: datetime
) -> None:
    says(9001, at=now)
    turn = says(9002, at=now)
    assert turn is not None

    deletes(9002)

    turn.refresh_from_db()
    assert (turn.status, turn.last_message_id) == ("collecting", 9001)
    assert turn.events.count() == 1


def test_a_message_that_comes_after_its_own_deletion_is_not_answered(
    says: Says, deletes: Callable[[int], None], now: datetime
) -> None:
    deletes(9001)

    assert says(9001, at=now) is None
    assert Turn.objects.count() == 0


def test_a_message_that_is_being_answered_is_not_withdrawn(
    conversation: Conversation, turn: Turn, deletes: Callable[[int], None]
) -> None:
    running(conversation)

    deletes(9001)

    assert ended(turn) == ("running", "")
    assert turn.events.count() == 1


def test_a_waiting_message_that_is_deleted_gets_no_turn(
    conversation: Conversation,
    turn: Turn,
    says: Says,
    deletes: Callable[[int], None],
    now: datetime,
) -> None:
    running(conversation)
    says(9002, at=now)

    deletes(9002)

    waiting = WebhookEvent.objects.waiting_for_turn(conversation.pk)
    assert list(waiting) == []
