"""A contact is erased here at once, and in Dify until it is proven."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

import pytest
import responses
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import Inbox
from conversations import deletion, erasure
from conversations.models import (
    AuditEntry,
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    Erasure,
    Greeting,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.admin_rows import make_turns_with_everything
from conversations.tests.factories import (
    DIFY,
    make_account,
    make_bot,
    make_callback,
    make_conversation,
    make_event,
    make_turn,
)

pytestmark = pytest.mark.django_db

NOT_EXISTS = {"code": "not_found", "message": "Conversation Not Exists."}
PERSONAL = (Conversation, Turn, WebhookEvent, PipelineRun, UpstreamCall, Callback)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def _rows(bot: Bot, payload: Callable[[str], JsonObject]) -> None:
    """Two conversations of contact 640, and one of somebody else."""
    sample = payload("message_created_incoming_text")
    make_turns_with_everything(bot, sample, count=3)
    Conversation.objects.filter(chatwoot_conversation_id=503).update(
        chatwoot_contact_id=641
    )


def erase(bot: Bot, now: datetime) -> Erasure:
    wish = erasure.request(bot.account, 640, by="anna")
    return erasure.carry_on(wish.pk, now=now)


def dify_forgets(wire: responses.RequestsMock) -> None:
    for memory in DifyConversation.objects.all():
        wire.delete(
            f"{DIFY}/v1/conversations/{memory.dify_conversation_id}", status=204
        )
    wire.get(f"{DIFY}/v1/messages", status=404, json=NOT_EXISTS)


def numbers() -> list[int]:
    return list(Conversation.objects.values_list("chatwoot_conversation_id", flat=True))


@pytest.mark.usefixtures("_rows")
def test_everything_of_the_contact_is_deleted_here(bot: Bot, now: datetime) -> None:
    wish = erase(bot, now)

    assert wish.status == Erasure.Status.WAITING_FOR_DIFY
    assert wish.counts == {
        "conversations": 2,
        "turns": 2,
        "events": 2,
        "runs": 2,
        "callbacks": 2,
        "calls": 2,
        "drafts": 2,
        "flow_forms": 2,
        "outgoing_messages": 2,
        "dify_conversations": 2,
    }
    assert wish.erased_here_at == now
    assert numbers() == [503]
    assert [model.objects.count() for model in PERSONAL] == [1] * 6
    assert OutgoingMessage.objects.get().turn.conversation.chatwoot_contact_id == 641
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor) == ("erased_contact", "anna")
    assert entry.details["chatwoot_contact_id"] == 640


def test_who_was_greeted_is_forgotten_with_the_conversation(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    Greeting.objects.create(account=bot.account, conversation=conversation)

    wish = erase(bot, now)

    assert wish.counts["conversations"] == 1
    assert not Greeting.objects.exists()
    # As a commit would.
    connection.check_constraints()


def test_callbacks_outside_of_a_turn_are_deleted_too(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    make_callback(bot, conversation=conversation, turn=None)
    # The flow was to write to the contact first, and there was no conversation yet.
    for named in ({"arguments": {"contact_id": "640"}}, {"after": {"contact_id": 640}}):
        make_callback(bot, conversation=None, turn=None, **named)
    stays = make_callback(
        bot, conversation=None, turn=None, arguments={"contact_id": 641}
    )

    wish = erase(bot, now)

    assert (wish.counts["callbacks"], wish.counts["conversations"]) == (3, 1)
    assert Callback.objects.get() == stays


@pytest.mark.usefixtures("_rows")
def test_it_is_done_once_dify_has_proven_it(
    wire: responses.RequestsMock, bot: Bot, now: datetime
) -> None:
    wish = erase(bot, now)
    assert wish.dify_conversations.filter(end_reason="erased").count() == 2
    dify_forgets(wire)

    assert deletion.delete_due(now=timezone.now())["deleted"] == 2
    wish = erasure.carry_on(wish.pk, now=now)

    assert (wish.status, wish.finished_at) == (Erasure.Status.DONE, now)
    assert erasure.unfinished() == []
    proofs = AuditEntry.objects.filter(verb="deleted_in_dify")
    assert [row.account for row in proofs] == [bot.account] * 2
    other = DifyConversation.objects.get(conversation__isnull=False)
    assert other.delete_wanted_at is None


@pytest.mark.usefixtures("_rows")
def test_it_is_not_done_while_dify_keeps_one(
    wire: responses.RequestsMock, bot: Bot, now: datetime
) -> None:
    wish = erase(bot, now)
    first = wish.dify_conversations.order_by("pk").first()
    assert first is not None
    DifyConversation.objects.filter(pk=first.pk).update(
        deleted_at=now, next_delete_at=None
    )

    assert erasure.carry_on(wish.pk, now=now).status == Erasure.Status.WAITING_FOR_DIFY
    assert erasure.unfinished() == [wish.pk]


def test_a_contact_of_whom_nothing_is_known_is_done_at_once(
    bot: Bot, now: datetime
) -> None:
    wish = erase(bot, now)

    assert (wish.status, wish.finished_at) == (Erasure.Status.DONE, now)
    assert wish.counts == {"dify_conversations": 0}


def test_what_chatwoot_told_about_the_contact_is_deleted(
    bot: Bot, now: datetime, payload: Callable[[str], JsonObject]
) -> None:
    for name in ("contact_created", "contact_updated", "webwidget_triggered"):
        make_event(bot.account, payload(name), chatwoot_conversation_id=None)
    other = {**payload("contact_updated"), "id": 641}
    kept = make_event(bot.account, other, chatwoot_conversation_id=None)

    assert erase(bot, now).counts["events"] == 3

    assert WebhookEvent.objects.get() == kept


def test_events_that_wait_to_be_processed_are_deleted_too(
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    payload: Callable[[str], JsonObject],
) -> None:
    make_event(bot.account, payload("message_created_incoming_text"))

    assert erase(bot, now).counts["events"] == 1
    assert not WebhookEvent.objects.exists()


@pytest.mark.usefixtures("_rows")
def test_another_account_with_the_same_numbers_is_not_touched(
    bot: Bot, now: datetime, payload: Callable[[str], JsonObject]
) -> None:
    TaskResult.objects.all().delete()  # the others get the same names
    other = make_bot(make_account(account_id=3))
    make_turns_with_everything(other, payload("message_created_incoming_text"), count=1)

    erase(bot, now)

    kept = Conversation.objects.get(account=other.account)
    assert (kept.turns.count(), kept.events.count()) == (1, 1)


def test_a_run_under_way_is_stopped_and_waited_for(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    expires = now + timedelta(seconds=30)
    turn = make_turn(
        conversation, bot, status="running", lease=uuid4(), lease_expires_at=expires
    )

    wish = erase(bot, now)

    assert wish.status == Erasure.Status.WANTED
    assert "is being stopped" in wish.error
    turn.refresh_from_db()
    assert turn.interrupt == "erased"
    assert Conversation.objects.exists()

    Turn.objects.update(status="skipped", lease_expires_at=None)
    wish = erasure.carry_on(wish.pk, now=now)
    assert (wish.status, wish.error) == (Erasure.Status.DONE, "")
    assert not Conversation.objects.exists()


def test_the_run_of_a_dead_worker_is_not_waited_for(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    expired = now - timedelta(seconds=1)
    make_turn(
        conversation, bot, status="running", lease=uuid4(), lease_expires_at=expired
    )

    assert erase(bot, now).status == Erasure.Status.DONE
    assert not Turn.objects.exists()


@pytest.mark.usefixtures("_rows")
def test_ids_that_only_runs_know_are_deleted_in_dify_too(
    bot: Bot, now: datetime
) -> None:
    DifyConversation.objects.all().delete()

    wish = erase(bot, now)

    ids = wish.dify_conversations.values_list("dify_conversation_id", flat=True)
    assert set(ids) == {"dify-conversation-501", "dify-conversation-502"}
    assert wish.counts["dify_conversations"] == 2


@pytest.mark.usefixtures("_rows")
def test_many_rows_are_deleted_in_batches(
    bot: Bot, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 2)
    conversation = Conversation.objects.get(chatwoot_conversation_id=501)
    for _ in range(5):
        make_turn(conversation, bot, status="answered")
    for _ in range(5):
        payload: JsonObject = {"event": "conversation_updated", "id": 501}
        make_event(bot.account, payload, conversation=conversation, status="processed")

    wish = erase(bot, now)

    assert (wish.counts["turns"], wish.counts["events"]) == (7, 7)
    assert numbers() == [503]


@pytest.mark.usefixtures("_rows")
def test_wishing_twice_is_one_erasure(bot: Bot, now: datetime) -> None:
    first = erasure.request(bot.account, 640, by="anna")
    assert erasure.request(bot.account, 640, by="boris") == first

    erasure.carry_on(first.pk, now=now)
    erasure.carry_on(first.pk, now=now)

    assert AuditEntry.objects.count() == 1
    assert erasure.request(bot.account, 640, by="boris") != first


def test_what_comes_later_begins_anew(
    bot: Bot, conversation: Conversation, now: datetime
) -> None:
    erase(bot, now)

    assert make_conversation(bot).pk != conversation.pk
    assert Inbox.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_being_processed_stops_nothing(
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    payload: Callable[[str], JsonObject],
) -> None:
    event = make_event(bot.account, payload("message_created_incoming_text"))
    has_lock, may_go = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            WebhookEvent.objects.select_for_update().get(pk=event.pk)
            has_lock.set()
            may_go.wait(20)
        connections.close_all()

    holder = Thread(target=hold)
    holder.start()
    assert has_lock.wait(20)
    wish = erase(bot, now)
    may_go.set()
    holder.join()

    assert wish.status == Erasure.Status.DONE
    assert not Conversation.objects.exists()
    assert WebhookEvent.objects.get() == event


# --- The command ---


def run_command(bot: Bot, *arguments: str) -> None:
    call_command("erase_contact", bot.account.key, "640", *arguments)


@pytest.mark.usefixtures("_rows")
def test_the_command_wants_to_be_confirmed(
    bot: Bot, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="Repeat the command with --yes"):
        run_command(bot)

    assert capsys.readouterr().out.splitlines() == [
        f"Contact #640 of “{bot.account}”: misty-harbor-412",
        "callbacks: 2",
        "conversations: 2",
        "dify_conversations: 2",
        "events: 2",
        "turns: 2",
    ]
    assert not Erasure.objects.exists()
    assert numbers() == [501, 502, 503]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "640", "--yes"), "No Chatwoot account has the key “nobody”"),
        (("{key}", "0", "--yes"), "Contacts have numbers from 1 on"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    bot: Bot, arguments: tuple[str, ...], message: str
) -> None:
    given = [text.format(key=bot.account.key) for text in arguments]

    with pytest.raises(CommandError, match=message):
        call_command("erase_contact", *given)


@pytest.mark.usefixtures("_rows")
def test_the_command_says_if_nothing_is_stored(bot: Bot) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("erase_contact", bot.account.key, "999", "--yes")

    assert str(refused.value) == (
        "Nothing of contact #999 is stored for this account; nothing was done."
    )
    assert refused.value.returncode == 1
    assert not Erasure.objects.exists()


def test_the_command_goes_on_with_what_is_erased_here_alone(
    bot: Bot, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = Erasure.objects.create(
        account=bot.account,
        chatwoot_contact_id=640,
        status=Erasure.Status.WAITING_FOR_DIFY,
    )

    run_command(bot, "--yes")

    wish.refresh_from_db()
    assert wish.status == Erasure.Status.DONE
    assert capsys.readouterr().out.startswith("Done! Contact #640")


@pytest.mark.usefixtures("_rows")
def test_the_command_erases_and_reports(
    wire: responses.RequestsMock, bot: Bot, capsys: pytest.CaptureFixture[str]
) -> None:
    dify_forgets(wire)

    run_command(bot, "--yes")

    lines = capsys.readouterr().out.splitlines()
    assert "conversations: 2" in lines
    assert lines[-1] == "Done! Contact #640 is erased here and in Dify."
    assert Erasure.objects.get().status == Erasure.Status.DONE
    assert numbers() == [503]


@pytest.mark.usefixtures("_rows")
def test_the_command_says_what_is_left_in_dify(
    wire: responses.RequestsMock, bot: Bot, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (501, 502):
        url = f"{DIFY}/v1/conversations/dify-conversation-{number}"
        wire.delete(url, status=204)
    wire.get(f"{DIFY}/v1/messages", json={"data": [], "has_more": False, "limit": 1})

    run_command(bot, "--yes")

    text = capsys.readouterr().out
    assert "still in Dify: dify-conversation-501 (Dify answered success, but" in text
    assert "erased here, not yet in Dify" in text
