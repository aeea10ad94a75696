"""The roll-up: counts right, repeats harmlessly, never forgets, fills gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations.models import Bot, Conversation, Figure, PipelineRun, Turn
from conversations.reports import figures
from conversations.tests.factories import (
    make_account,
    make_bot,
    make_conversation,
    make_event,
    make_turn,
)

pytestmark = pytest.mark.django_db

# Not within the first minutes of an hour: then more is computed.
NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


@pytest.fixture
def bot() -> Bot:
    return make_bot()


@pytest.fixture
def conversation(bot: Bot) -> Conversation:
    return make_conversation(bot)


def make_message(bot: Bot, *, at: datetime = NOW, **overrides: Any) -> None:
    values = {"action": "answer", "reason": "customer_message", "status": "processed"}
    payload: JsonObject = {"event": "message_created"}
    make_event(bot.account, payload, received_at=at, **{**values, **overrides})


def make_ended(
    conversation: Conversation, bot: Bot, *, took_s: float = 4, **overrides: Any
) -> Turn:
    ended = overrides.pop("finished_at", NOW)
    values = {"status": "answered", "reason": "answered"}
    return make_turn(
        conversation,
        bot,
        created_at=ended - timedelta(seconds=took_s),
        finished_at=ended,
        **{**values, **overrides},
    )


def stored(measure: Figure.Measure) -> list[tuple[datetime, int | None, str, float]]:
    rows = Figure.objects.filter(measure=measure).order_by("hour", "key", "bot")
    return [(row.hour, row.bot_id, row.key, float(row.amount)) for row in rows]


def test_customers_messages_are_counted_by_reason_and_bot(
    bot: Bot, conversation: Conversation
) -> None:
    turn = make_ended(conversation, bot)
    make_message(bot, turn=turn)
    make_message(bot, turn=turn)
    make_message(bot, action="ignore", reason="status_not_allowed")
    make_message(bot, action="ignore", reason="own_message")
    make_message(bot, at=HOUR - timedelta(minutes=1), turn=turn)

    figures.roll_up(NOW)

    assert stored(Figure.Measure.RECEIVED) == [
        (HOUR - timedelta(hours=1), bot.pk, "customer_message", 1),
        (HOUR, bot.pk, "customer_message", 2),
        (HOUR, None, "status_not_allowed", 1),
    ]
    assert stored(Figure.Measure.SKIPPED) == [
        (HOUR, None, "own_message", 1),
        (HOUR, None, "status_not_allowed", 1),
    ]


def test_turns_are_counted_by_how_they_ended(
    bot: Bot, conversation: Conversation
) -> None:
    make_ended(conversation, bot)
    make_ended(conversation, bot, status="handed_over", reason="dify_failed")
    make_turn(conversation, bot)

    figures.roll_up(NOW)

    assert stored(Figure.Measure.TURN) == [
        (HOUR, bot.pk, "answered:answered", 1),
        (HOUR, bot.pk, "handed_over:dify_failed", 1),
    ]


@pytest.mark.parametrize("took_s", [0.11, 0.5, 1, 3.7, 12, 59, 240, 1800, 86400])
def test_a_time_to_answer_is_kept_within_five_percent(
    bot: Bot, conversation: Conversation, took_s: float
) -> None:
    make_ended(conversation, bot, took_s=took_s)

    figures.roll_up(NOW)

    [(_hour, _bot, key, amount)] = stored(Figure.Measure.LATENCY)
    assert amount == 1
    assert figures.bucket_s(key) == pytest.approx(took_s, rel=0.05)


def test_only_answers_have_a_time_to_answer(
    bot: Bot, conversation: Conversation
) -> None:
    make_ended(conversation, bot, status="skipped", reason="paused")

    figures.roll_up(NOW)

    assert stored(Figure.Measure.LATENCY) == []


def test_tokens_and_cost_are_summed_up_by_currency(
    bot: Bot, conversation: Conversation
) -> None:
    turn = make_ended(conversation, bot)
    for tokens, price, currency in [
        (100, "0.0010001", "USD"),
        (50, "0.0020000", "USD"),
        (7, "1.5", "RMB"),
        (None, None, ""),
    ]:
        PipelineRun.objects.create(
            turn=turn,
            last_message_id=1,
            total_tokens=tokens,
            total_price=price and Decimal(price),
            currency=currency,
            finished_at=NOW,
        )

    figures.roll_up(NOW)

    assert stored(Figure.Measure.TOKENS) == [(HOUR, bot.pk, "", 157)]
    assert stored(Figure.Measure.COST) == [
        (HOUR, bot.pk, "RMB", 1.5),
        (HOUR, bot.pk, "USD", 0.0030001),
    ]


def test_rolling_up_twice_changes_nothing(bot: Bot, conversation: Conversation) -> None:
    make_message(bot, turn=make_ended(conversation, bot))
    figures.roll_up(NOW)
    before = list(Figure.objects.values())

    assert figures.roll_up(NOW) == {"written": 0}
    assert list(Figure.objects.values()) == before


def test_what_comes_later_is_added(bot: Bot) -> None:
    make_message(bot)
    figures.roll_up(NOW)
    make_message(bot)

    figures.roll_up(NOW + timedelta(minutes=5))

    [(_hour, _bot, _key, amount)] = stored(Figure.Measure.RECEIVED)
    assert amount == 2


def test_a_message_that_gets_its_turn_later_moves_to_its_bot(
    bot: Bot, conversation: Conversation
) -> None:
    make_message(bot)
    figures.roll_up(NOW)
    bot.account.events.update(turn=make_ended(conversation, bot))

    figures.roll_up(NOW)

    assert stored(Figure.Measure.RECEIVED) == [(HOUR, bot.pk, "customer_message", 1)]


def test_figures_stay_when_events_are_erased(bot: Bot) -> None:
    make_message(bot)
    make_message(bot)
    figures.roll_up(NOW)
    event = bot.account.events.first()
    assert event is not None
    event.delete()

    figures.roll_up(NOW)

    [(_hour, _bot, _key, amount)] = stored(Figure.Measure.RECEIVED)
    assert amount == 2


def test_the_first_roll_up_reaches_a_month_back(bot: Bot) -> None:
    make_message(bot, at=NOW - timedelta(days=30))
    make_message(bot, at=NOW - timedelta(days=32))

    figures.roll_up(NOW)

    [(hour, *_rest)] = stored(Figure.Measure.RECEIVED)
    assert hour == HOUR - timedelta(days=30)


def test_a_gap_after_an_outage_is_filled(bot: Bot) -> None:
    make_message(bot, at=NOW - timedelta(days=5))
    figures.roll_up(NOW - timedelta(days=5))
    make_message(bot, at=NOW - timedelta(days=3))
    make_message(bot, at=NOW)

    figures.roll_up(NOW)

    assert [hour for hour, *_rest in stored(Figure.Measure.RECEIVED)] == [
        HOUR - timedelta(days=5),
        HOUR - timedelta(days=3),
        HOUR,
    ]


@pytest.mark.parametrize(("minute", "counted"), [(30, 1), (3, 2)])
def test_what_was_processed_late_is_counted_once_an_hour(
    bot: Bot, minute: int, counted: int
) -> None:
    long_ago = NOW - timedelta(hours=40)
    make_message(bot, at=long_ago)
    make_message(bot)
    figures.roll_up(NOW)
    make_message(bot, at=long_ago)

    figures.roll_up(NOW.replace(minute=minute))

    [(_hour, _bot, _key, amount), _now] = stored(Figure.Measure.RECEIVED)
    assert amount == counted


def test_the_hour_under_way_is_read_live(bot: Bot) -> None:
    make_message(bot, at=HOUR - timedelta(hours=1))
    figures.roll_up(NOW)
    make_message(bot)

    rows = figures.read(since=HOUR - timedelta(hours=1), now=NOW, unit="hour")

    assert [(row.at, int(row.amount)) for row in rows if row.measure == "received"] == [
        (HOUR - timedelta(hours=1), 1),
        (HOUR, 1),
    ]


def test_an_hour_that_just_ended_is_read_live(bot: Bot) -> None:
    make_message(bot, at=HOUR - timedelta(minutes=2))

    rows = figures.read(
        since=HOUR - timedelta(hours=1), now=HOUR + timedelta(minutes=1), unit="hour"
    )

    assert [row.amount for row in rows if row.measure == "received"] == [1]


def test_two_accounts_are_counted_together(bot: Bot) -> None:
    make_message(bot)
    other = make_bot(make_account(account_id=9))
    make_message(other)

    figures.roll_up(NOW)

    [(_hour, _bot, _key, amount)] = stored(Figure.Measure.RECEIVED)
    assert amount == 2
