"""Conversations are deleted in Dify when it is wanted, and believed when proven."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from django.utils import timezone

from conversations import deletion
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    PipelineRun,
)
from conversations.tests.factories import (
    CHATWOOT,
    DIFY,
    app_of,
    make_app,
    make_bot,
    make_conversation,
    make_memory,
    make_turn,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

End = DifyConversation.End
NOT_EXISTS = {
    "code": "not_found",
    "message": "Conversation Not Exists.",
    "status": 404,
}
ACCOUNT_URL = f"{CHATWOOT}/api/v1/accounts/2"
OWN_404 = {"error": "Resource could not be found"}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def memory(bot: Bot, conversation: Conversation) -> DifyConversation:
    return make_memory(
        conversation, app_of(bot), dify_conversation_id="dc-1", dify_user="user-1"
    )


def wanted(memory: DifyConversation) -> DifyConversation:
    deletion.want(memory, reason=End.BY_OPERATOR)
    memory.refresh_from_db()
    return memory


def dify_deletes(wire: responses.RequestsMock, **answer: Any) -> None:
    wire.delete(f"{DIFY}/v1/conversations/dc-1", **answer)


def dify_knows(wire: responses.RequestsMock, **answer: Any) -> None:
    wire.get(f"{DIFY}/v1/messages", **answer)


def gone(wire: responses.RequestsMock) -> None:
    dify_knows(wire, status=404, json=NOT_EXISTS)


def still_there(wire: responses.RequestsMock) -> None:
    dify_knows(wire, json={"data": [], "has_more": False, "limit": 1})


# --- Wanting -----------------------------------------------------------------------


def test_wanting_ends_a_current_memory(memory: DifyConversation) -> None:
    assert deletion.want(memory, reason=End.BY_OPERATOR)

    memory.refresh_from_db()
    assert memory.ended_at is not None
    assert memory.end_reason == End.BY_OPERATOR
    assert memory.delete_wanted_at == memory.next_delete_at == memory.ended_at


def test_wanting_keeps_why_a_memory_had_ended(
    memory: DifyConversation, now: datetime
) -> None:
    ended_at = now - timedelta(days=1)
    DifyConversation.objects.update(ended_at=ended_at, end_reason=End.VANISHED)

    wanted(memory)

    assert (memory.ended_at, memory.end_reason) == (ended_at, End.VANISHED)


def test_what_is_deleted_is_not_wanted_again(
    memory: DifyConversation, now: datetime
) -> None:
    DifyConversation.objects.update(deleted_at=now)

    assert not deletion.want(memory, reason=End.BY_OPERATOR)


@pytest.mark.parametrize(
    ("policy", "forgets", "is_ended", "is_wanted"),
    [
        ("never", True, True, False),
        ("never", False, False, False),
        ("after_days", False, False, False),
        ("when_gone", True, True, False),
        ("on_resolve", True, True, True),
        ("on_resolve", False, True, True),
    ],
)
def test_resolving_follows_the_bots_settings(
    bot: Bot,
    conversation: Conversation,
    memory: DifyConversation,
    policy: str,
    forgets: bool,
    is_ended: bool,
    is_wanted: bool,
) -> None:
    bot.dify_delete_policy = policy
    bot.new_dify_conversation_after_resolve = forgets

    deletion.on_resolved(conversation, bot=bot)

    memory.refresh_from_db()
    assert (memory.ended_at is not None) == is_ended
    assert (memory.next_delete_at is not None) == is_wanted
    assert memory.end_reason == (End.RESOLVED if is_ended else "")


@pytest.mark.parametrize(("unused_days", "count"), [(31, 1), (29, 0)])
def test_wants_what_was_not_used_for_the_bots_days(
    bot: Bot, memory: DifyConversation, now: datetime, unused_days: int, count: int
) -> None:
    Bot.objects.update(dify_delete_policy="after_days", dify_delete_after_days=30)
    last_used_at = now - timedelta(days=unused_days)
    DifyConversation.objects.update(last_used_at=last_used_at)

    assert deletion.want_by_policy(now=now) == count

    memory.refresh_from_db()
    assert (memory.next_delete_at is not None) == bool(count)
    assert memory.end_reason == (End.UNUSED if count else "")


def test_wants_each_only_once(
    bot: Bot, memory: DifyConversation, now: datetime
) -> None:
    Bot.objects.update(dify_delete_policy="after_days", dify_delete_after_days=30)
    DifyConversation.objects.update(last_used_at=now - timedelta(days=31))

    assert [deletion.want_by_policy(now=now) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("status", "unused_hours", "count"),
    [("resolved", 2, 1), ("resolved", 0, 0), ("pending", 2, 0), ("open", 2, 0)],
)
def test_wants_what_was_resolved_unnoticed(
    bot: Bot,
    memory: DifyConversation,
    now: datetime,
    status: str,
    unused_hours: int,
    count: int,
) -> None:
    Bot.objects.update(dify_delete_policy="on_resolve")
    Conversation.objects.update(status=status)
    DifyConversation.objects.update(last_used_at=now - timedelta(hours=unused_hours))

    assert deletion.want_by_policy(now=now) == count


@pytest.mark.parametrize("policy", ["never", "when_gone"])
def test_other_policies_want_nothing_in_time(
    bot: Bot, memory: DifyConversation, now: datetime, policy: str
) -> None:
    Bot.objects.update(dify_delete_policy=policy)
    Conversation.objects.update(status="resolved")
    DifyConversation.objects.update(last_used_at=now - timedelta(days=999))

    assert deletion.want_by_policy(now=now) == 0


def test_the_policy_is_that_of_the_inboxs_own_bot(
    bot: Bot, conversation: Conversation, memory: DifyConversation, now: datetime
) -> None:
    Bot.objects.update(dify_delete_policy="after_days", dify_delete_after_days=30)
    keeps = make_bot(bot.account, dify_app=bot.dify_app, dify_delete_policy="never")
    assert conversation.inbox is not None
    keeps.inboxes.add(conversation.inbox)
    DifyConversation.objects.update(last_used_at=now - timedelta(days=31))

    assert deletion.want_by_policy(now=now) == 0


def test_the_policy_waits_for_an_unfinished_turn(
    bot: Bot, conversation: Conversation, memory: DifyConversation, now: datetime
) -> None:
    Bot.objects.update(dify_delete_policy="after_days", dify_delete_after_days=30)
    DifyConversation.objects.update(last_used_at=now - timedelta(days=31))
    make_turn(conversation, bot, status="retrying")

    assert deletion.want_by_policy(now=now) == 0


# --- Deleting ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "was_there"),
    [
        ({"status": 204}, True),  # 1.x
        ({"status": 200, "json": {"result": "success"}}, True),  # 0.15
        ({"status": 404, "json": NOT_EXISTS}, False),
    ],
)
def test_a_deletion_counts_once_reading_proves_it(
    wire: responses.RequestsMock,
    memory: DifyConversation,
    now: datetime,
    answer: dict[str, Any],
    was_there: bool,
) -> None:
    wanted(memory)
    dify_deletes(wire, **answer)
    gone(wire)
    now = timezone.now()

    counts = deletion.delete_due(now=now)

    assert counts == {"deleted": 1, "failed": 0, "put_off": 0}
    memory.refresh_from_db()
    assert memory.deleted_at == now
    assert (memory.next_delete_at, memory.delete_error) == (None, "")
    assert memory.delete_attempts == 1
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor) == ("deleted_in_dify", "system")
    assert entry.conversation == memory.conversation
    assert entry.details == {
        "dify_app": memory.app_id,
        "dify_conversation": "dc-1",
        "reason": "by_operator",
        "was_there": was_there,
    }


def test_asks_with_the_id_the_user_and_the_key_that_were_stored(
    wire: responses.RequestsMock, memory: DifyConversation
) -> None:
    wanted(memory)
    dify_deletes(wire, status=204)
    gone(wire)

    deletion.delete_due(now=timezone.now())

    delete, read = (call.request for call in wire.calls)
    assert delete.body is not None
    assert json.loads(delete.body) == {"user": "user-1"}
    assert delete.headers["Content-Type"] == "application/json"
    assert delete.headers["Authorization"] == "Bearer app-the-dify-key-000"
    assert "conversation_id=dc-1" in str(read.url)
    assert "user=user-1" in str(read.url)


@pytest.mark.parametrize(
    "answer", [{"status": 204}, {"status": 404, "json": NOT_EXISTS}]
)
def test_what_dify_says_is_not_believed_while_it_still_has_it(
    wire: responses.RequestsMock, memory: DifyConversation, answer: dict[str, Any]
) -> None:
    wanted(memory)
    dify_deletes(wire, **answer)
    still_there(wire)
    now = timezone.now()

    counts = deletion.delete_due(now=now)

    assert counts == {"deleted": 0, "failed": 1, "put_off": 0}
    memory.refresh_from_db()
    assert memory.deleted_at is None
    assert memory.next_delete_at == now + timedelta(minutes=1)
    assert "still has the conversation" in memory.delete_error
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 415, "json": {"code": "unsupported_media_type"}}, "HTTP 415"),
        ({"status": 500, "body": "boom"}, "HTTP 500"),
        ({"status": 404, "body": "<html>nginx</html>"}, "HTTP 404"),
        ({"body": requests.ConnectionError("away")}, "dify DELETE"),
    ],
)
def test_a_failure_stays_listed_with_its_cause(
    wire: responses.RequestsMock,
    memory: DifyConversation,
    answer: dict[str, Any],
    said: str,
) -> None:
    wanted(memory)
    dify_deletes(wire, **answer)

    counts = deletion.delete_due(now=timezone.now())

    assert counts == {"deleted": 0, "failed": 1, "put_off": 0}
    memory.refresh_from_db()
    assert (memory.deleted_at, memory.delete_attempts) == (None, 1)
    assert said in memory.delete_error


def test_a_read_that_fails_proves_nothing(
    wire: responses.RequestsMock, memory: DifyConversation
) -> None:
    wanted(memory)
    dify_deletes(wire, status=204)
    dify_knows(wire, status=404, body="<html>nginx</html>")

    assert deletion.delete_due(now=timezone.now())["failed"] == 1

    memory.refresh_from_db()
    assert memory.deleted_at is None


@pytest.mark.parametrize(
    ("attempts", "pause"),
    [
        (0, timedelta(minutes=1)),
        (1, timedelta(minutes=10)),
        (2, timedelta(hours=1)),
        (3, timedelta(hours=6)),
        (4, timedelta(hours=24)),
        (400, timedelta(hours=24)),
    ],
)
def test_tries_for_ever_with_growing_pauses(
    wire: responses.RequestsMock,
    memory: DifyConversation,
    attempts: int,
    pause: timedelta,
) -> None:
    wanted(memory)
    DifyConversation.objects.update(delete_attempts=attempts)
    dify_deletes(wire, status=500)
    now = timezone.now()

    deletion.delete_due(now=now)

    memory.refresh_from_db()
    assert memory.delete_attempts == attempts + 1
    assert memory.next_delete_at == now + pause


def test_a_refused_key_is_noted_and_not_hammered(
    wire: responses.RequestsMock, bot: Bot, conversation: Conversation
) -> None:
    app = app_of(bot)
    rows = [make_memory(conversation, app, ended_at=timezone.now()) for _ in range(3)]
    deletion.want_all(DifyConversation.objects.all(), reason=End.BY_OPERATOR)
    unauthorized = {"code": "unauthorized", "message": "Access token is invalid"}
    for row in rows:
        url = f"{DIFY}/v1/conversations/{row.dify_conversation_id}"
        wire.delete(url, status=401, json=unauthorized)

    first = deletion.delete_due(now=timezone.now())
    later = deletion.delete_due(now=timezone.now() + timedelta(minutes=2))

    assert first == {"deleted": 0, "failed": 1, "put_off": 2}
    assert later == {"deleted": 0, "failed": 1, "put_off": 2}
    assert len(wire.calls) == 1
    assert DifyApp.objects.get(pk=app.pk).health == DifyApp.Health.REFUSED
    errors = DifyConversation.objects.exclude(delete_error="").values_list(
        "delete_error", flat=True
    )
    assert any("Enter a valid one at the Dify app" in error for error in errors)


def test_another_apps_trouble_does_not_matter(
    wire: responses.RequestsMock, memory: DifyConversation
) -> None:
    refused = make_app(health=DifyApp.Health.REFUSED)
    assert memory.conversation is not None
    make_memory(memory.conversation, refused, started_at=timezone.now())
    deletion.want_all(DifyConversation.objects.all(), reason=End.BY_OPERATOR)
    dify_deletes(wire, status=204)
    gone(wire)

    counts = deletion.delete_due(now=timezone.now())

    assert counts == {"deleted": 1, "failed": 1, "put_off": 0}


def test_a_conversation_in_use_is_deleted_afterwards(
    wire: responses.RequestsMock,
    bot: Bot,
    conversation: Conversation,
    memory: DifyConversation,
) -> None:
    turn = make_turn(conversation, bot, status="running")
    run = PipelineRun.objects.create(
        turn=turn,
        dify_app=app_of(bot),
        last_message_id=1,
        dify_conversation_id="dc-1",
    )
    wanted(memory)
    now = timezone.now()

    counts = deletion.delete_due(now=now)

    assert counts == {"deleted": 0, "failed": 0, "put_off": 1}
    assert len(wire.calls) == 0
    memory.refresh_from_db()
    assert (memory.delete_attempts, memory.deleted_at) == (0, None)
    assert "deleted afterwards" in memory.delete_error

    # A run that a dead worker left is over when its turn is.
    turn.status = "answered"
    turn.save()
    assert run.status == PipelineRun.Status.RUNNING
    dify_deletes(wire, status=204)
    gone(wire)
    assert deletion.delete_due(now=now + timedelta(minutes=1))["deleted"] == 1


def test_only_one_of_two_workers_deletes(
    wire: responses.RequestsMock, memory: DifyConversation
) -> None:
    wanted(memory)
    now = timezone.now()
    seen: list[dict[str, int]] = []

    def meanwhile(_request: object) -> tuple[int, dict[str, str], str]:
        seen.append(deletion.delete_due(now=now))
        return 204, {}, ""

    wire.add_callback(
        responses.DELETE, f"{DIFY}/v1/conversations/dc-1", callback=meanwhile
    )
    gone(wire)

    assert deletion.delete_due(now=now)["deleted"] == 1
    assert seen == [{"deleted": 0, "failed": 0, "put_off": 0}]
    assert AuditEntry.objects.count() == 1


def test_deletes_no_more_than_it_is_allowed_to(
    wire: responses.RequestsMock, bot: Bot, conversation: Conversation
) -> None:
    for _ in range(3):
        row = make_memory(conversation, app_of(bot), ended_at=timezone.now())
        url = f"{DIFY}/v1/conversations/{row.dify_conversation_id}"
        wire.delete(url, status=204)
    deletion.want_all(DifyConversation.objects.all(), reason=End.BY_OPERATOR)
    gone(wire)

    counts = [deletion.delete_due(now=timezone.now(), limit=2) for _ in range(3)]

    assert [count["deleted"] for count in counts] == [2, 1, 0]


# --- Gone in Chatwoot ---------------------------------------------------------------


@pytest.fixture
def _minds_gone(bot: Bot) -> None:
    Bot.objects.update(dify_delete_policy="when_gone")


def chatwoot_shows(wire: responses.RequestsMock, number: int, **answer: Any) -> None:
    wire.get(f"{ACCOUNT_URL}/conversations/{number}", **answer)


def chatwoot_has_inboxes(wire: responses.RequestsMock, *ids: int) -> None:
    payload = [{"id": number, "name": "Inbox"} for number in ids]
    wire.get(f"{ACCOUNT_URL}/inboxes", json={"payload": payload})


@pytest.mark.usefixtures("_minds_gone")
def test_what_chatwoot_deleted_is_deleted_in_dify(
    wire: responses.RequestsMock, memory: DifyConversation, now: datetime
) -> None:
    chatwoot_shows(wire, 133, status=404, json=OWN_404)
    chatwoot_has_inboxes(wire, 11, 12)

    assert deletion.find_gone(now=now) == {"asked": 1, "gone": 1}

    memory.refresh_from_db()
    assert memory.end_reason == End.GONE
    assert memory.next_delete_at is not None
    assert Conversation.objects.get().checked_at == now
    assert {call.request.headers["api-access-token"] for call in wire.calls} == {
        "the-admin-token"
    }


@pytest.mark.usefixtures("_minds_gone")
def test_what_chatwoot_still_has_stays(
    wire: responses.RequestsMock, memory: DifyConversation, now: datetime
) -> None:
    chatwoot_shows(wire, 133, json={"id": 133, "status": "open", "meta": {}})

    assert deletion.find_gone(now=now) == {"asked": 1, "gone": 0}

    memory.refresh_from_db()
    assert memory.delete_wanted_at is None
    assert Conversation.objects.get().checked_at == now


@pytest.mark.usefixtures("_minds_gone")
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "body": "<html>404 Not Found</html>"},
        {"status": 404, "json": {"error": "something else"}},
        {"status": 404, "json": ["Resource could not be found"]},
    ],
)
def test_a_404_that_is_not_chatwoots_own_deletes_nothing(
    wire: responses.RequestsMock,
    memory: DifyConversation,
    now: datetime,
    answer: dict[str, Any],
) -> None:
    chatwoot_shows(wire, 133, **answer)

    assert deletion.find_gone(now=now) == {"asked": 1, "gone": 0}

    memory.refresh_from_db()
    assert memory.delete_wanted_at is None


@pytest.mark.usefixtures("_minds_gone")
@pytest.mark.parametrize(
    "inboxes",
    [
        {"json": {"payload": [{"id": 77}]}},
        {"json": {"payload": []}},
        {"status": 404, "json": OWN_404},
        {"status": 500, "body": "boom"},
        {"json": {"what": "else"}},
    ],
)
def test_a_wrong_account_number_deletes_nothing(
    wire: responses.RequestsMock,
    memory: DifyConversation,
    now: datetime,
    inboxes: dict[str, Any],
) -> None:
    chatwoot_shows(wire, 133, status=404, json=OWN_404)
    wire.get(f"{ACCOUNT_URL}/inboxes", **inboxes)

    assert deletion.find_gone(now=now)["gone"] == 0

    memory.refresh_from_db()
    assert memory.delete_wanted_at is None


def test_bots_that_never_delete_ask_nothing(
    wire: responses.RequestsMock, memory: DifyConversation, now: datetime
) -> None:
    assert deletion.find_gone(now=now) == {"asked": 0, "gone": 0}
    assert len(wire.calls) == 0


@pytest.mark.usefixtures("_minds_gone")
@pytest.mark.parametrize("is_set", [True, False])
def test_without_an_administrators_token_nothing_is_asked(
    wire: responses.RequestsMock,
    bot: Bot,
    memory: DifyConversation,
    now: datetime,
    is_set: bool,
) -> None:
    bot.account.admin_token = "the-admin-token" if is_set else ""
    bot.account.admin_token_refused_at = now if is_set else None
    bot.account.save()

    assert deletion.find_gone(now=now) == {"asked": 0, "gone": 0}
    assert len(wire.calls) == 0


@pytest.mark.usefixtures("_minds_gone")
def test_a_refused_administrators_token_is_noted_and_deletes_nothing(
    wire: responses.RequestsMock, bot: Bot, memory: DifyConversation, now: datetime
) -> None:
    url = f"{ACCOUNT_URL}/conversations/133"
    as_admin = responses.matchers.header_matcher(
        {"api-access-token": "the-admin-token"}
    )
    wire.get(url, status=401, json={"error": "Invalid Access Token"}, match=[as_admin])
    wire.get(url, status=404, json=OWN_404)

    assert deletion.find_gone(now=now)["gone"] == 0

    memory.refresh_from_db()
    assert memory.delete_wanted_at is None
    bot.account.refresh_from_db()
    assert bot.account.admin_token_refused_at is not None


@pytest.mark.usefixtures("_minds_gone")
def test_asks_the_longest_unasked_first_and_only_so_many(
    wire: responses.RequestsMock, bot: Bot, now: datetime
) -> None:
    ages = {201: 3, 202: None, 203: 9, 204: 1}
    for number, days in ages.items():
        checked_at = None if days is None else now - timedelta(days=days)
        row = make_conversation(
            bot, chatwoot_conversation_id=number, checked_at=checked_at
        )
        make_memory(row, app_of(bot))
        chatwoot_shows(wire, number, json={"id": number, "status": "open"})

    assert deletion.find_gone(now=now, limit=3) == {"asked": 3, "gone": 0}

    asked = [str(call.request.url).rsplit("/", 1)[-1] for call in wire.calls]
    assert asked == ["202", "203", "201"]


@pytest.mark.usefixtures("_minds_gone")
def test_an_outage_ends_the_look_at_an_account(
    wire: responses.RequestsMock, bot: Bot, now: datetime
) -> None:
    for number in (201, 202):
        row = make_conversation(bot, chatwoot_conversation_id=number)
        make_memory(row, app_of(bot))
        chatwoot_shows(wire, number, status=503)

    assert deletion.find_gone(now=now) == {"asked": 0, "gone": 0}

    assert len(wire.calls) == 1
    assert not Conversation.objects.exclude(checked_at=None).exists()
