"""No more runs at once than the Dify app takes, and the oldest turn first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from conversations import slots
from conversations.models import Bot, PipelineRun, Turn
from conversations.outcomes import NoPlace
from conversations.tests.factories import (
    app_of,
    make_bot,
    make_conversation,
    make_turn,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def bot() -> Bot:
    bot = make_bot()
    DifyApp.objects.filter(pk=app_of(bot).pk).update(max_concurrent_runs=2)
    bot.refresh_from_db()
    return bot


def a_running_turn(bot: Bot, *, number: int, lease_s: float = 20) -> Turn:
    return make_turn(
        make_conversation(bot, chatwoot_conversation_id=number),
        bot,
        status="running",
        lease_expires_at=timezone.now() + timedelta(seconds=lease_s),
    )


def a_queued_turn(bot: Bot, *, number: int) -> Turn:
    return make_turn(
        make_conversation(bot, chatwoot_conversation_id=number),
        bot,
        queued_for=app_of(bot),
        next_attempt_at=timezone.now() + timedelta(seconds=30),
    )


def take(turn: Turn, bot: Bot) -> PipelineRun:
    run = PipelineRun(turn=turn, dify_app=app_of(bot), last_message_id=1)
    slots.take(run, app=app_of(bot), now=timezone.now())
    return run


def test_the_third_of_two_has_to_wait(bot: Bot) -> None:
    for number in (1, 2):
        take(a_running_turn(bot, number=number), bot)

    with pytest.raises(NoPlace):
        take(a_running_turn(bot, number=3), bot)

    assert PipelineRun.objects.count() == 2


@pytest.mark.parametrize("status", ["succeeded", "failed", "stopped"])
def test_a_run_that_ended_leaves_its_place(bot: Bot, status: str) -> None:
    for number in (1, 2):
        take(a_running_turn(bot, number=number), bot)
    PipelineRun.objects.filter(turn__conversation__chatwoot_conversation_id=1).update(
        status=status
    )

    take(a_running_turn(bot, number=3), bot)


def test_the_dead_take_no_place(bot: Bot) -> None:
    for number in (1, 2):
        take(a_running_turn(bot, number=number, lease_s=-1), bot)

    take(a_running_turn(bot, number=3), bot)


def test_an_overloaded_app_gets_fewer_runs(bot: Bot) -> None:
    DifyApp.objects.update(lowered_limit=1)
    take(a_running_turn(bot, number=1), bot)

    with pytest.raises(NoPlace):
        take(a_running_turn(bot, number=2), bot)


def test_those_in_line_come_first(bot: Bot, now: datetime) -> None:
    take(a_running_turn(bot, number=1), bot)
    first = a_queued_turn(bot, number=2)
    newcomer = a_running_turn(bot, number=3)

    slots.check(first, app=app_of(bot), now=now)
    with pytest.raises(NoPlace):
        slots.check(newcomer, app=app_of(bot), now=now)


def test_a_free_place_wakes_the_oldest_in_line(bot: Bot, now: datetime) -> None:
    take(a_running_turn(bot, number=1), bot)
    waiting = [a_queued_turn(bot, number=number) for number in (2, 3)]

    assert slots.next_in_line(app_of(bot).pk, now=now) == [waiting[0].pk]

    assert Turn.objects.runnable(now=now).get() == waiting[0]


def test_wakes_nobody_twice(bot: Bot, now: datetime) -> None:
    take(a_running_turn(bot, number=1), bot)
    waiting = [a_queued_turn(bot, number=number) for number in (2, 3)]
    app_id = app_of(bot).pk

    assert slots.next_in_line(app_id, now=now) == [waiting[0].pk]
    assert slots.next_in_line(app_id, now=now) == []


def test_wakes_nobody_while_all_places_are_taken(bot: Bot, now: datetime) -> None:
    for number in (1, 2):
        take(a_running_turn(bot, number=number), bot)
    a_queued_turn(bot, number=3)

    assert slots.next_in_line(app_of(bot).pk, now=now) == []


def asked_for(turn: Turn) -> Turn:
    Turn.objects.filter(pk=turn.pk).update(asked_by="lena")
    turn.refresh_from_db()
    return turn


def test_what_operators_asked_for_waits_behind_customers(
    bot: Bot, now: datetime
) -> None:
    take(a_running_turn(bot, number=1), bot)
    replays = [asked_for(a_queued_turn(bot, number=number)) for number in (2, 3)]
    customer = a_queued_turn(bot, number=4)

    with pytest.raises(NoPlace):
        slots.check(replays[0], app=app_of(bot), now=now)
    slots.check(customer, app=app_of(bot), now=now)
    assert slots.next_in_line(app_of(bot).pk, now=now) == [customer.pk]


def test_what_operators_asked_for_has_a_line_of_its_own(
    bot: Bot, now: datetime
) -> None:
    take(a_running_turn(bot, number=1), bot)
    first, second = (asked_for(a_queued_turn(bot, number=number)) for number in (2, 3))

    slots.check(first, app=app_of(bot), now=now)
    with pytest.raises(NoPlace):
        slots.check(second, app=app_of(bot), now=now)
    assert slots.next_in_line(app_of(bot).pk, now=now) == [first.pk]
