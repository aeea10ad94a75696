"""What must hold when workers die or hang, and when rows are odd or gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import responses
from django.db import connections
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import deletion, idle, leases, pipeline, slots, sweep, sweeper, tasks
from conversations.leases import LeaseKeeper
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    PipelineRun,
    Turn,
)
from conversations.sweeper import Sweeper
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    DIFY,
    app_of,
    make_account,
    make_app,
    make_bot,
    make_conversation,
    make_event,
    make_memory,
    make_turn,
)
from conversations.tests.test_leases import claimed_long_ago, is_expired, wait_for
from conversations.tests.test_pipeline import HELLO, ended, run_until_done
from conversations.tests.test_probes import unreadable
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


# --- A worker that died ---------------------------------------------------------------


def left_by_a_dead_worker(turn: Turn, bot: Bot, *, now: datetime) -> PipelineRun:
    """Leave the turn as a worker does that is killed while Dify is asked."""
    Turn.objects.filter(pk=turn.pk).update(
        status="running",
        attempts=1,
        started_at=now - timedelta(seconds=40),
        lease=UUID(int=turn.pk),
        lease_expires_at=now - timedelta(seconds=10),
    )
    return PipelineRun.objects.create(
        turn=turn, dify_app=app_of(bot), last_message_id=9001, query="Hi"
    )


def test_a_turn_gets_the_only_place_when_its_own_worker_died_with_it(
    turn: Turn, bot: Bot, platforms: Platforms, now: datetime
) -> None:
    DifyApp.objects.update(max_concurrent_runs=1)
    left = left_by_a_dead_worker(turn, bot, now=now)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    left.refresh_from_db()
    assert (left.status, left.error_code) == ("failed", "worker_lost")


def test_all_turns_of_a_dead_worker_find_a_place_when_claimed_at_once(
    bot: Bot, now: datetime
) -> None:
    left = [
        make_turn(make_conversation(bot, chatwoot_conversation_id=number), bot)
        for number in range(8)
    ]
    DifyApp.objects.update(max_concurrent_runs=len(left))
    for turn in left:
        left_by_a_dead_worker(turn, bot, now=now)

    claims = [Turn.objects.claim(turn.pk, now=now) for turn in left]

    assert None not in claims
    for turn in left:
        slots.check(turn, app=app_of(bot), now=now)


def test_the_run_of_a_dead_worker_is_closed_when_its_turn_is_handed_over(
    turn: Turn, bot: Bot, platforms: Platforms, now: datetime
) -> None:
    left = left_by_a_dead_worker(turn, bot, now=now)
    Turn.objects.update(handover_reason="took_too_long")

    pipeline.run(turn.pk)

    assert ended(turn) == ("handed_over", "took_too_long")
    left.refresh_from_db()
    assert (left.status, left.error_code) == ("failed", "worker_lost")
    assert left.finished_at is not None


def test_a_handover_ends_as_failed_when_it_killed_its_workers_for_a_day(
    turn: Turn, platforms: Platforms, now: datetime
) -> None:
    Turn.objects.update(
        status="running",
        handover_reason="dify_failed",
        attempts=100,
        created_at=now - timedelta(hours=25),
        started_at=now - timedelta(hours=25),
        lease_expires_at=now - timedelta(seconds=1),
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("failed", "dify_failed")
    assert len(platforms.wire.calls) == 0


# --- A run that does not hear ---------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("hangs_after_s", "is_lost"), [(0.0, True), (90.0, False)])
def test_a_run_loses_its_lease_when_it_does_not_end_although_it_was_told(
    monkeypatch: pytest.MonkeyPatch, hangs_after_s: float, is_lost: bool
) -> None:
    monkeypatch.setattr(leases, "HANGS_AFTER_S", hangs_after_s)
    hanging, hanging_lease = claimed_long_ago()
    Turn.objects.interrupt_running(hanging.conversation_id, cause="paused")
    bot = Bot.objects.get()
    long_ago = timezone.now() - timedelta(hours=1)
    healthy = make_turn(
        make_conversation(bot, chatwoot_conversation_id=134),
        bot,
        next_attempt_at=long_ago,
    )
    healthy_lease = Turn.objects.claim(healthy.pk, now=long_ago)
    assert healthy_lease is not None
    keeper = LeaseKeeper(every_s=0.01)

    with keeper.kept(healthy_lease), keeper.kept(hanging_lease) as watch:
        wait_for(watch.is_interrupted)
        # Both leases are renewed by one statement, again and again.
        Turn.objects.update(lease_expires_at=long_ago)
        wait_for(lambda: not is_expired(healthy))
        claim = Turn.objects.claim(hanging.pk, now=timezone.now())

    assert (claim is not None) is is_lost


# --- A worker that is told to end -----------------------------------------------------


@pytest.fixture
def sweeper_of_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeper]:
    """A sweeper that runs one turn at a time."""
    monkeypatch.setattr(sweeper, "TURNS_AT_ONCE", 1)
    made = Sweeper()
    yield made
    made.wait()
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_what_was_not_begun_is_left_to_others_when_the_worker_ends(
    turn: Turn, bot: Bot, platforms: Platforms, sweeper_of_one: Sweeper
) -> None:
    queued = make_turn(make_conversation(bot, chatwoot_conversation_id=134), bot)
    is_asked, may_answer = threading.Event(), threading.Event()

    def meanwhile() -> None:
        is_asked.set()
        may_answer.wait(timeout=30)

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)
    sweeper_of_one.take(tasks.run_turn, turn.pk)
    sweeper_of_one.take(tasks.run_turn, queued.pk)
    assert is_asked.wait(timeout=30)

    sweeper_of_one.stop()
    may_answer.set()
    sweeper_of_one.wait()

    assert ended(turn) == ("answered", "answered")
    queued.refresh_from_db()
    assert (queued.status, queued.attempts) == ("collecting", 0)


# --- An answer that only has to be posted ---------------------------------------------


@pytest.fixture
def answered_by_dify(turn: Turn, platforms: Platforms) -> Turn:
    """A turn whose answer Chatwoot did not take at the first attempt."""
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=429, json={})
    assert run_until_done(turn, most=1) == ("retrying", "")
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()
    return turn


def test_an_answer_is_posted_when_all_places_are_taken(
    answered_by_dify: Turn, bot: Bot, platforms: Platforms, now: datetime
) -> None:
    DifyApp.objects.update(max_concurrent_runs=1)
    other = make_turn(
        make_conversation(bot, chatwoot_conversation_id=134),
        bot,
        status="running",
        lease_expires_at=now + timedelta(minutes=1),
    )
    PipelineRun.objects.create(turn=other, dify_app=app_of(bot), last_message_id=1)

    assert run_until_done(answered_by_dify, most=1) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]


def test_an_answer_is_posted_when_dify_refuses_the_key_by_now(
    answered_by_dify: Turn, platforms: Platforms
) -> None:
    DifyApp.objects.update(health="refused")

    assert run_until_done(answered_by_dify, most=1) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]


# --- Handing over ---------------------------------------------------------------------


@pytest.fixture
def given_up(turn: Turn) -> Turn:
    """A turn that only owes the handover."""
    Turn.objects.update(status="retrying", handover_reason="dify_failed")
    return turn


def test_a_handover_tells_the_customer_nothing_when_the_bot_is_paused_by_now(
    given_up: Turn, platforms: Platforms
) -> None:
    Conversation.objects.update(paused=True)

    assert run_until_done(given_up, most=1) == ("handed_over", "dify_failed")
    assert [post["private"] for post in platforms.posted] == [True]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_a_handover_tells_the_customer_nothing_when_a_human_is_assigned_by_now(
    given_up: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(yields_to_assignee=True)
    shown: JsonObject = {
        "id": 133,
        "status": "pending",
        "meta": {"assignee": {"id": 2, "name": "Marta", "role": "agent"}},
        "last_non_activity_message": {"id": 9001, "message_type": 0},
    }
    platforms.chatwoot_answers_reads(json=shown)

    assert run_until_done(given_up, most=1) == ("handed_over", "dify_failed")
    assert [post["private"] for post in platforms.posted] == [True]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_a_turn_is_handed_over_with_a_note_when_its_bot_was_deleted(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    bot.delete()

    assert run_until_done(turn, most=2) == ("handed_over", "no_bot_for_inbox")
    assert [(post["private"], post["content"]) for post in platforms.posted] == [
        (True, "The bot could not answer: no bot answers this inbox")
    ]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_the_note_says_just_the_reason_when_the_run_was_interrupted_as_too_long(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(
        *answer_events(HELLO),
        meanwhile=lambda: Turn.objects.update(interrupt="took_too_long"),
    )

    assert run_until_done(turn, most=2) == ("handed_over", "took_too_long")
    assert [post["content"] for post in platforms.posted] == [
        Bot.objects.get().failure_public_text,
        "The bot could not answer: there was no answer in time",
    ]


# --- Sweeps ---------------------------------------------------------------------------


def test_an_idle_conversation_is_ended_when_it_was_just_looked_for(
    platforms: Platforms, now: datetime
) -> None:
    bot = make_bot(idle_hours=24, dify_delete_policy="when_gone")
    yesterday = now - timedelta(hours=25)
    conversation = make_conversation(bot, last_customer_message_at=yesterday)
    make_memory(conversation, app_of(bot))
    last: JsonObject = {"id": 9001, "message_type": 0}
    platforms.chatwoot_shows(last={**last, "created_at": int(yesterday.timestamp())})

    deletion.find_gone(now=now)

    assert idle.end_idle(now=now) == {"ended": 1, "left": 0, "failed": 0}


def test_the_sweep_finds_the_others_when_one_conversation_cannot_be_read(
    turn: Turn, now: datetime
) -> None:
    long_ago = now - timedelta(minutes=1)
    Turn.objects.update(next_attempt_at=long_ago)
    other = make_bot(make_account(account_id=3))
    payload: JsonObject = {"event": "message_created", "id": 5, "conversation": {}}
    make_event(
        other.account,
        payload,
        conversation=make_conversation(other, chatwoot_conversation_id=7),
        status="processed",
        action="answer",
        processed_at=long_ago,
    )
    unreadable(other.account, "bot_token")

    assert sweep.find(now=now).turn_ids == [turn.pk]


def test_the_others_are_deleted_in_dify_when_one_row_is_odd(
    bot: Bot, conversation: Conversation, wire: responses.RequestsMock
) -> None:
    nowhere = make_app(name="Odd", base_url="https://[dify.test")
    odd = make_memory(conversation, nowhere)
    make_memory(conversation, app_of(bot), dify_conversation_id="dc-1")
    memories = DifyConversation.objects.order_by("pk")
    deletion.want_all(memories, reason=DifyConversation.End.BY_OPERATOR)
    odd_first = timezone.now() - timedelta(seconds=1)
    DifyConversation.objects.filter(pk=odd.pk).update(next_delete_at=odd_first)
    wire.delete(f"{DIFY}/v1/conversations/dc-1", status=204)
    not_exists = {"code": "not_found", "message": "Conversation Not Exists."}
    wire.get(f"{DIFY}/v1/messages", status=404, json=not_exists)
    now = timezone.now()

    counts = deletion.delete_due(now=now)

    assert counts == {"deleted": 1, "failed": 1, "put_off": 0}
    odd.refresh_from_db()
    assert (odd.delete_attempts, odd.deleted_at) == (1, None)
    assert odd.next_delete_at == now + deletion.PAUSES[0]
