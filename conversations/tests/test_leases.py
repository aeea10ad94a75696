"""Turns that are alive stay ours, and are given up when nobody wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError
from django.utils import timezone

from conversations.leases import LeaseKeeper, Watch
from conversations.models import Turn
from conversations.outcomes import Interrupted
from conversations.tests.factories import make_bot, make_conversation, make_turn


def wait_for(is_so: Callable[[], bool]) -> None:
    """The test's own time limit ends it when that never happens."""
    while not is_so():
        threading.Event().wait(0.01)


def claimed_long_ago() -> tuple[Turn, UUID]:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)
    long_ago = timezone.now() - timedelta(hours=1)
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=long_ago)
    lease = Turn.objects.claim(turn.pk, now=long_ago)
    assert lease is not None
    return turn, lease


def is_expired(turn: Turn) -> bool:
    late = Turn.objects.filter(pk=turn.pk, lease_expires_at__lt=timezone.now())
    return late.exists()


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_while_the_run_lives() -> None:
    turn, lease = claimed_long_ago()
    keeper = LeaseKeeper(every_s=0.01)

    with keeper.kept(lease) as watch:
        thread = keeper._thread
        assert thread is not None
        wait_for(lambda: not is_expired(turn))
        assert not watch.is_interrupted()
        assert keeper.count == 1
    thread.join(timeout=10)

    assert keeper.count == 0
    assert not thread.is_alive()
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is None


@pytest.mark.django_db(transaction=True)
def test_a_run_hears_that_it_is_no_longer_wanted() -> None:
    turn, lease = claimed_long_ago()

    with LeaseKeeper(every_s=0.01).kept(lease) as watch:
        Turn.objects.interrupt_running(turn.conversation_id, cause="paused")
        wait_for(watch.is_interrupted)

    with pytest.raises(Interrupted) as caught:
        watch.check()
    assert caught.value.cause == "paused"


@pytest.mark.django_db(transaction=True)
def test_a_run_hears_that_another_worker_has_its_turn() -> None:
    turn, lease = claimed_long_ago()

    with LeaseKeeper(every_s=0.01).kept(lease) as watch:
        wait_for(lambda: not is_expired(turn))
        in_an_hour = timezone.now() + timedelta(hours=1)
        assert Turn.objects.claim(turn.pk, now=in_an_hour) is not None
        wait_for(watch.is_interrupted)

    assert watch.cause == "lease_lost"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_hands_all_its_runs_back() -> None:
    _turn, lease = claimed_long_ago()
    keeper = LeaseKeeper(every_s=0.01)

    with keeper.kept(lease) as watch:
        keeper.shut_down()
        assert watch.cause == "shutdown"
        with keeper.kept(UUID(int=1)) as begun_later:
            assert begun_later.cause == "shutdown"


def test_a_run_that_is_wanted_goes_on() -> None:
    Watch().check()


@pytest.mark.django_db
def test_of_two_workers_one_claims() -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)

    claims = [Turn.objects.claim(turn.pk, now=timezone.now()) for _ in range(2)]

    assert claims[0] is not None
    assert claims[1] is None


@pytest.mark.django_db
def test_a_conversation_owes_one_turn_at_a_time() -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    make_turn(conversation, bot, status="running")

    with pytest.raises(IntegrityError, match="turn_one_unfinished"):
        make_turn(conversation, bot, status="collecting")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "may_post"),
    [
        ({}, True),
        ({"last_message_id": 9002}, False),
        ({"interrupt": "paused"}, False),
        ({"status": "retrying"}, False),
    ],
)
def test_posts_only_what_nothing_came_in_between(
    changed: dict[str, object], may_post: bool
) -> None:
    turn, lease = claimed_long_ago()
    Turn.objects.filter(pk=turn.pk).update(**changed)

    posts = Turn.objects.claim_post(
        turn.pk, lease=lease, last_message_id=9001, now=timezone.now()
    )

    assert posts is may_post
    turn.refresh_from_db()
    assert (turn.posting_at is not None) is may_post


@pytest.mark.django_db
def test_what_is_being_posted_is_not_interrupted() -> None:
    turn, lease = claimed_long_ago()
    Turn.objects.claim_post(
        turn.pk, lease=lease, last_message_id=9001, now=timezone.now()
    )

    assert Turn.objects.interrupt_running(turn.conversation_id, cause="paused") == 0
