"""Turns that are alive stay ours."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from conversations.leases import LeaseKeeper
from conversations.models import Turn
from conversations.tests.factories import make_bot, make_conversation, make_turn


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_while_the_run_lives() -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)
    long_ago = timezone.now() - timedelta(hours=1)
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=long_ago)
    lease = Turn.objects.claim(turn.pk, now=long_ago)
    assert lease is not None
    keeper = LeaseKeeper(every_s=0.01)

    with keeper.kept(lease):
        thread = keeper._thread
        assert thread is not None
        while Turn.objects.filter(
            pk=turn.pk, lease_expires_at__lt=timezone.now()
        ).exists():
            threading.Event().wait(0.01)
    thread.join(timeout=10)

    assert not thread.is_alive()
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is None


@pytest.mark.django_db
def test_of_two_workers_one_claims() -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)

    claims = [Turn.objects.claim(turn.pk, now=timezone.now()) for _ in range(2)]

    assert claims[0] is not None
    assert claims[1] is None


@pytest.mark.django_db
def test_a_conversation_owes_one_turn_at_a_time() -> None:
    from django.db import IntegrityError

    bot = make_bot()
    conversation = make_conversation(bot)
    make_turn(conversation, bot, status="running")

    with pytest.raises(IntegrityError, match="turn_one_unfinished"):
        make_turn(conversation, bot, status="collecting")
