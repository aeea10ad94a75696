"""What is old is emptied and deleted, in batches, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from celery.beat import Scheduler
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from bridge_project.celery import app as celery_app
from bridge_project.lib.types import JsonObject
from conversations import retention
from conversations.models import (
    ActionLock,
    AuditEntry,
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    OutgoingMessage,
    PipelineRun,
    Retention,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.admin_rows import make_turns_with_everything
from conversations.tests.factories import (
    make_account,
    make_bot,
    make_callback,
    make_event,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def sample(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def age(*rows: Turn, days: float) -> None:
    """Make all that belongs to the turns so old, as if time had passed."""
    at = timezone.now() - timedelta(days=days)
    ids = [row.pk for row in rows]
    Turn.objects.filter(pk__in=ids).update(created_at=at, finished_at=at)
    WebhookEvent.objects.filter(turn__in=ids).update(received_at=at)
    conversations = Conversation.objects.filter(turns__in=ids)
    conversations.update(updated_at=at)


def left() -> dict[str, int]:
    models = (
        Callback,
        Conversation,
        DifyConversation,
        OutgoingMessage,
        PipelineRun,
        Turn,
        UpstreamCall,
        WebhookEvent,
    )
    return {model.__name__: model._default_manager.count() for model in models}


EVERYTHING = {
    "Callback": 1,
    "Conversation": 1,
    "DifyConversation": 1,
    "OutgoingMessage": 1,
    "PipelineRun": 1,
    "Turn": 1,
    "UpstreamCall": 1,
    "WebhookEvent": 1,
}


# --- By default ---


def test_young_rows_stay_as_they_are(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    age(turn, days=29)

    assert retention.prune(now) == retention.Pruned(counts={}, more=False)

    assert left() == EVERYTHING
    assert WebhookEvent.objects.get().payload == sample
    assert not AuditEntry.objects.exists()
    assert not Retention.objects.exists()


def test_payloads_are_emptied_after_30_days(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    WebhookEvent.objects.update(error="ValueError: hello")
    age(turn, days=31)

    assert retention.prune(now).counts == {"payloads_emptied": 1}

    event = WebhookEvent.objects.get()
    assert (event.payload, event.error) == ({}, "")
    assert (event.action, event.reason) == ("answer", "customer_message")
    assert PipelineRun.objects.get().query == "Where is my order?"
    assert left() == EVERYTHING


def test_rows_are_deleted_after_180_days(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    old, young = make_turns_with_everything(bot, sample, count=2)
    age(old, days=181)
    age(young, days=20)

    counts = retention.prune(now).counts

    assert counts == {
        "callbacks": 1,
        "calls": 1,
        "drafts": 1,
        "flow_forms": 1,
        "outgoing_messages": 1,
        "runs": 1,
        "events": 1,
        "turns": 1,
        "conversations_emptied": 1,
    }
    assert left() == {**EVERYTHING, "Conversation": 2, "DifyConversation": 2}
    assert Turn.objects.get() == young
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.account) == ("pruned", bot.account)
    assert entry.details == {"counts": counts}


def test_events_without_a_turn_are_deleted_too(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    at = now - timedelta(days=181)
    make_event(bot.account, sample, received_at=at, status="processed", action="ignore")
    make_event(bot.account, sample, received_at=at, status="failed")

    assert retention.prune(now).counts == {"events": 2}


# --- What is in use ---


def test_what_is_still_owed_stays_however_old(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    age(turn, days=999)
    Turn.objects.update(status="retrying")
    at = now - timedelta(days=999)
    unprocessed = make_event(bot.account, sample, received_at=at)
    waiting = make_event(
        bot.account,
        sample,
        received_at=at,
        status="processed",
        action="answer",
        chatwoot_message_id=77,
        conversation=turn.conversation,
    )

    assert retention.prune(now).counts == {"conversations_emptied": 1}

    payloads = WebhookEvent.objects.values_list("payload", flat=True)
    assert list(payloads) == [sample] * 3
    assert {unprocessed.pk, waiting.pk} < set(
        WebhookEvent.objects.values_list("pk", flat=True)
    )


def test_what_was_in_use_is_emptied_later(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    old, older = make_turns_with_everything(bot, sample, count=2)
    age(old, days=40)
    age(older, days=50)
    Turn.objects.filter(pk=older.pk).update(status="unknown")
    assert retention.prune(now).counts == {"payloads_emptied": 1}

    Turn.objects.filter(pk=older.pk).update(status="answered")

    assert retention.prune(now).counts == {"payloads_emptied": 1}
    assert not WebhookEvent.objects.exclude(payload={}).exists()


# --- Ids that may have to be deleted in Dify ---


def test_a_conversation_that_dify_may_have_keeps_its_ids_alone(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    Conversation.objects.update(
        contact_custom_attributes={"tier": "gold"},
        contact_additional_attributes={"city": "Bergen"},
        custom_attributes={"order": 7},
    )
    age(turn, days=181)

    retention.prune(now)

    conversation = Conversation.objects.get()
    assert conversation.contact_name == ""
    assert conversation.contact_custom_attributes == {}
    assert conversation.contact_additional_attributes == {}
    assert conversation.custom_attributes == {}
    assert conversation.chatwoot_contact_id == 640
    assert DifyConversation.objects.get().conversation == conversation


def test_a_conversation_that_dify_forgot_is_deleted(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    age(turn, days=181)
    DifyConversation.objects.update(deleted_at=now, ended_at=now)
    entry = AuditEntry.objects.create(
        verb="paused", actor="anna", conversation=turn.conversation
    )

    assert retention.prune(now).counts["conversations"] == 1

    assert set(left().values()) == {0}
    entry.refresh_from_db()
    assert entry.conversation is None


def test_an_id_that_only_a_run_knows_is_kept(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    (turn,) = make_turns_with_everything(bot, sample, count=1)
    DifyConversation.objects.all().delete()
    PipelineRun.objects.update(dify_user="user-1")
    age(turn, days=181)

    retention.prune(now)

    memory = DifyConversation.objects.get()
    assert memory.dify_conversation_id == "dify-conversation-501"
    assert (memory.dify_user, memory.app) == ("user-1", bot.dify_app)
    assert memory.conversation == turn.conversation
    assert memory.ended_at is not None


# --- Settings ---


def test_texts_are_emptied_when_that_is_wished(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    Retention.objects.create(account=bot.account, text_days=7)
    old, young = make_turns_with_everything(bot, sample, count=2)
    PipelineRun.objects.update(
        thinking="Hm.",
        error="Dify said: hello",
        files=[{"url": "/files/a.png?sign=1", "filename": "Anna.png"}],
        suggestions=["Where is Anna's order?"],
    )
    OutgoingMessage.objects.update(rich={"files": [{"name": "Anna.png"}]})
    Turn.objects.update(error="Dify said: hello")
    age(old, days=8)
    age(young, days=6)

    assert retention.prune(now).counts == {
        "payloads_emptied": 1,
        "turns_emptied": 1,
        "conversations_emptied": 1,
    }

    run = old.runs.get()
    assert (run.query, run.answer, run.thinking, run.error) == ("", "", "", "")
    assert (run.inputs, run.files, run.suggestions) == ({}, [], [])
    assert (run.total_tokens, run.dify_conversation_id) == (
        812,
        "dify-conversation-501",
    )
    post = old.outgoing_messages.get()
    assert (post.content, post.rich) == ("", {})
    call = old.calls.get()
    assert (call.request_excerpt, call.response_excerpt) == ("", "")
    asked = old.callbacks.get()
    assert (asked.arguments, asked.before, asked.after) == ({}, {}, {})
    assert (asked.answer, asked.message, asked.once_key) == ({}, "", None)
    assert (asked.operation, asked.status) == ("assign_team", "success")
    old.refresh_from_db()
    assert (old.error, old.reason) == ("", "answered")
    assert old.events.get().payload == {}
    assert Conversation.objects.get(turns=old).contact_name == ""

    assert young.runs.get().query == "Where is my order?"
    assert young.runs.get().suggestions == ["Where is Anna's order?"]
    assert young.outgoing_messages.get().rich != {}
    assert young.outgoing_messages.get().content == "It left the warehouse <today>."
    assert young.calls.get().response_excerpt == "event: ping"
    assert young.callbacks.get().arguments != {}
    assert Conversation.objects.get(turns=young).contact_name == "misty-harbor-412"


def test_callbacks_outside_of_a_turn_are_emptied_in_time(
    bot: Bot, now: datetime
) -> None:
    Retention.objects.create(account=bot.account, text_days=7)
    old, young = (
        make_callback(bot, turn=None, created_at=now - timedelta(days=days))
        for days in (8, 6)
    )

    assert retention.prune(now).counts == {}

    old.refresh_from_db()
    assert (old.arguments, old.before, old.after, old.answer) == ({}, {}, {}, {})
    young.refresh_from_db()
    assert young.arguments != {}
    assert Retention.objects.get().texts_done_until == now - timedelta(days=7)


@pytest.mark.usefixtures("_small_batches")
def test_emptying_of_callbacks_goes_on_where_it_stopped(
    bot: Bot, now: datetime
) -> None:
    Retention.objects.create(account=bot.account, text_days=7)
    for _ in range(5):
        make_callback(bot, turn=None, created_at=now - timedelta(days=8))

    # Four looks find nothing to delete, one no payload; then two batches.
    retention.prune(now, max_batches=7)
    left_over = Callback.objects.exclude(arguments={}).count()
    retention.prune(now)

    assert left_over == 1
    assert not Callback.objects.exclude(arguments={}).exists()


def test_callbacks_outside_of_a_turn_are_deleted_in_time(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    Conversation.objects.update(updated_at=now - timedelta(days=200))
    nowhere, somewhere = None, conversation
    for place in (nowhere, somewhere):
        make_callback(
            bot,
            conversation=place,
            turn=None,
            created_at=now - timedelta(days=181),
        )
    young = make_callback(
        bot, conversation=conversation, turn=None, created_at=now - timedelta(days=5)
    )

    # The conversation stays as long as something is told of it.
    assert retention.prune(now).counts == {
        "callbacks": 2,
        "conversations_emptied": 1,
    }
    assert Callback.objects.get() == young
    assert Conversation.objects.count() == 1


def test_locks_of_dead_processes_are_cleared(bot: Bot, now: datetime) -> None:
    for number, at in ((1, now - timedelta(hours=2)), (2, now)):
        ActionLock.objects.take(bot.account_id, number=number, now=at, for_s=30.0)

    retention.prune(now)

    assert ActionLock.objects.get().chatwoot_conversation_id == 2


def test_each_account_has_its_own_limits(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    other = make_bot(make_account(account_id=3))
    Retention.objects.create(account=bot.account, payload_days=5, history_days=10)
    mine = make_turns_with_everything(bot, sample, count=1)
    TaskResult.objects.all().delete()  # the others get the same names
    theirs = make_turns_with_everything(other, sample, count=1)
    age(*mine, *theirs, days=11)

    retention.prune(now)

    assert list(Turn.objects.all()) == theirs
    assert theirs[0].events.get().payload == sample


def test_an_earlier_limit_reaches_what_was_left_before(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    limits = Retention.objects.create(account=bot.account, text_days=30)
    old, middle = make_turns_with_everything(bot, sample, count=2)
    age(old, days=40)
    age(middle, days=10)
    assert retention.prune(now).counts["turns_emptied"] == 1

    Retention.objects.filter(pk=limits.pk).update(text_days=5)

    assert retention.prune(now).counts["turns_emptied"] == 1
    assert middle.runs.get().query == ""


# --- Batches ---


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)


@pytest.mark.usefixtures("_small_batches")
def test_a_call_does_no_more_than_it_is_allowed_to(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    age(*make_turns_with_everything(bot, sample, count=5), days=181)

    steps = [retention.prune(now, max_batches=count) for count in (1, 1, 100)]

    assert [step.counts["turns"] for step in steps] == [2, 2, 1]
    assert [step.more for step in steps] == [True, True, False]
    assert not Turn.objects.exists()


@pytest.mark.usefixtures("_small_batches")
def test_emptying_goes_on_where_it_stopped(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    # All of one moment, as after an import: ids must order them.
    age(*make_turns_with_everything(bot, sample, count=5), days=40)
    Retention.objects.create(account=bot.account, text_days=30)

    # Four looks find nothing to delete, two batches are emptied.
    first = retention.prune(now, max_batches=6)
    second = retention.prune(now)
    third = retention.prune(now)

    assert (first.counts, first.more) == ({"payloads_emptied": 4}, True)
    assert second.counts == {
        "payloads_emptied": 1,
        "turns_emptied": 5,
        "conversations_emptied": 5,
    }
    assert (third.counts, third.more) == ({}, False)
    limits = Retention.objects.get()
    assert limits.payloads_done_until == now - timedelta(days=30)
    assert limits.texts_done_until == now - timedelta(days=30)


def test_time_ends_a_call_too(bot: Bot, sample: JsonObject, now: datetime) -> None:
    age(*make_turns_with_everything(bot, sample, count=1), days=181)

    assert retention.prune(now, max_s=-1) == retention.Pruned(counts={}, more=True)


@pytest.mark.django_db(transaction=True)
def test_rows_that_somebody_has_locked_are_left_for_later(
    bot: Bot, sample: JsonObject, now: datetime
) -> None:
    locked, free = make_turns_with_everything(bot, sample, count=2)
    age(locked, free, days=181)
    has_lock, may_go = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            Turn.objects.select_for_update().get(pk=locked.pk)
            has_lock.set()
            may_go.wait(20)
        connections.close_all()

    holder = Thread(target=hold)
    holder.start()
    assert has_lock.wait(20)
    first = retention.prune(now)
    may_go.set()
    holder.join()

    assert first.counts["turns"] == 1
    assert Turn.objects.get() == locked
    assert retention.prune(now).counts["turns"] == 1


# --- Other tables, and the command ---


def test_expired_sessions_are_cleared(now: datetime) -> None:
    for days in (-1, 1):
        Session.objects.create(
            session_key=f"key-{days}", expire_date=now + timedelta(days=days)
        )

    retention.prune(now)

    assert [row.session_key for row in Session.objects.all()] == ["key-1"]


def test_beat_clears_celerys_results_by_itself() -> None:
    scheduler = Scheduler(app=celery_app, lazy=True)
    entries: dict[str, object] = {}
    scheduler.install_default_entries(entries)

    assert "celery.backend_cleanup" in scheduler.schedule
    assert celery_app.conf.result_expires == 7 * 24 * 3600


def test_the_command_wants_to_be_confirmed(bot: Bot, sample: JsonObject) -> None:
    age(*make_turns_with_everything(bot, sample, count=1), days=181)

    with pytest.raises(CommandError, match="Repeat the command with --yes"):
        call_command("prune_history")

    assert left() == EVERYTHING


@pytest.mark.usefixtures("_small_batches")
def test_the_command_prunes_all_and_counts(
    bot: Bot, sample: JsonObject, capsys: pytest.CaptureFixture[str]
) -> None:
    age(*make_turns_with_everything(bot, sample, count=3), days=181)

    call_command("prune_history", "--yes")

    lines = capsys.readouterr().out.splitlines()
    assert "turns: 3" in lines
    assert lines[-1] == "Done! 27 rows emptied or deleted."
    assert not Turn.objects.exists()
