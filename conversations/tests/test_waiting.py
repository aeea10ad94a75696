"""Since when a customer waits for an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject
from chatwoot_api.payloads import ChatwootEvent, Message, Sender, SenderKind
from conversations import processing, turns, waiting
from conversations.models import (
    Action,
    Bot,
    Conversation,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.tests.factories import (
    make_bot,
    make_conversation,
    make_event,
    message_payload,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


class Story:
    """A conversation that hears of one event after the other, without a database."""

    def __init__(self, **conversation: Any) -> None:
        self.conversation = Conversation(
            **{"status": "pending", "last_customer_message_id": 0, **conversation}
        )
        self.bot: Bot | None = Bot(name="Nordbot")

    def hears(
        self,
        message: Message | None,
        *,
        name: str = "message_created",
        reason: str = Reason.CUSTOMER_MESSAGE,
    ) -> datetime | None:
        """Take the event as the mirror does, and return since when they wait."""
        row = self.conversation
        before = waiting.known_of(row)
        if message is not None and name == "message_created":
            self._take(message)
        row.waiting_since = waiting.waits_since(
            ChatwootEvent(name=name, message=message),
            conversation=row,
            before=before,
            bot=self.bot,
            reason=reason,
        )
        return row.waiting_since

    def _take(self, message: Message) -> None:
        row = self.conversation
        if message.private:
            return
        if message.message_type == "incoming":
            if message.id > row.last_customer_message_id:
                row.last_customer_message_id = message.id
                row.last_customer_message_at = message.created_at
        elif message.sender.kind == "user":
            row.last_human_message_id = max(message.id, row.last_human_message_id)

    def news(self, **changes: Any) -> datetime | None:
        for name, value in changes.items():
            setattr(self.conversation, name, value)
        return self.hears(None, name="conversation_updated")


def customer(number: int, *, minute: int) -> Message:
    return Message(
        id=number,
        message_type="incoming",
        created_at=at(minute),
        sender=Sender(kind="contact"),
    )


def human(number: int, *, minute: int, private: bool = False) -> Message:
    return Message(
        id=number,
        message_type="outgoing",
        private=private,
        created_at=at(minute),
        sender=Sender(kind="user", id=7),
    )


def test_the_first_unanswered_message_counts() -> None:
    story = Story()

    assert story.hears(customer(10, minute=0)) == at(0)
    assert story.hears(customer(11, minute=5)) == at(0)


def test_a_human_reply_ends_it_and_the_next_message_begins_anew() -> None:
    story = Story()
    story.hears(customer(10, minute=0))

    assert story.hears(human(11, minute=1, private=True)) == at(0)
    assert story.hears(human(12, minute=2)) is None
    assert story.hears(customer(13, minute=3)) == at(3)


@pytest.mark.parametrize("status", ["resolved", "snoozed"])
def test_nobody_waits_where_it_is_settled(status: str) -> None:
    story = Story()
    story.hears(customer(10, minute=0))

    assert story.news(status=status) is None
    # What was open then stays settled; what comes is new.
    assert story.news(status="open") is None
    assert story.hears(customer(11, minute=9)) == at(9)


def test_a_conversation_in_the_humans_hands_still_waits() -> None:
    story = Story()
    story.hears(customer(10, minute=0))

    assert story.news(status="open") == at(0)


def test_blocked_contacts_and_inboxes_without_a_bot_wait_for_nobody() -> None:
    blocked, foreign = Story(contact_blocked=True), Story()
    foreign.bot = None

    assert blocked.hears(customer(10, minute=0)) is None
    assert foreign.hears(customer(10, minute=0)) is None


def test_a_contact_who_gets_blocked_no_longer_waits() -> None:
    story = Story()
    story.hears(customer(10, minute=0))

    assert story.news(contact_blocked=True) is None


def test_a_message_that_comes_late_moves_the_moment_back() -> None:
    story = Story()

    assert story.hears(customer(11, minute=5)) == at(5)
    assert story.hears(customer(10, minute=0)) == at(0)


def test_a_late_message_that_a_human_has_answered_begins_nothing() -> None:
    story = Story()
    story.hears(human(11, minute=2))

    assert story.hears(customer(10, minute=0)) is None


def test_a_late_message_that_was_answered_with_a_newer_one_begins_nothing() -> None:
    story = Story(last_customer_message_id=11)

    assert story.hears(customer(10, minute=0)) is None


def test_a_late_reply_answers_only_what_was_written_before_it() -> None:
    story = Story()
    story.hears(customer(10, minute=0))
    story.hears(customer(13, minute=4))

    assert story.hears(human(12, minute=2)) == at(4)


def test_an_old_reply_that_comes_late_answers_nothing() -> None:
    story = Story()
    story.hears(customer(10, minute=5))

    assert story.hears(human(9, minute=1)) == at(5)


def test_a_second_delivery_of_an_answered_message_begins_nothing() -> None:
    story = Story()
    story.hears(customer(10, minute=0))
    story.conversation.waiting_since = None

    again = story.hears(customer(10, minute=0), reason=Reason.DUPLICATE_MESSAGE)
    ignored_then = story.hears(customer(10, minute=0), reason=Reason.TOO_OLD)

    assert (again, ignored_then) == (None, None)


def test_a_deleted_message_waits_no_longer_unless_there_is_an_older_one() -> None:
    alone, second = Story(), Story()
    alone.hears(customer(10, minute=0))
    second.hears(customer(10, minute=0))
    second.hears(customer(11, minute=1))

    gone: dict[str, Any] = {"name": "message_updated", "reason": Reason.MESSAGE_DELETED}

    assert alone.hears(customer(10, minute=0), **gone) is None
    assert second.hears(customer(11, minute=1), **gone) == at(0)


@pytest.mark.parametrize("kind", sorted(set(get_args(SenderKind)) - {"user", "nobody"}))
def test_what_bots_and_templates_say_is_no_humans_answer(kind: SenderKind) -> None:
    story = Story()
    story.hears(customer(10, minute=0))
    said = Message(
        id=11, message_type="outgoing", created_at=at(1), sender=Sender(kind=kind)
    )

    assert story.hears(said) == at(0)


# With the database: through the pipeline's own doors.


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def hear(bot: Bot, sample: JsonObject, **changes: Any) -> Conversation:
    row = make_event(bot.account, message_payload(sample, **changes))
    processing.process(row.pk, now=timezone.now())
    return Conversation.objects.get()


def finish(
    turn: Turn,
    *,
    status: Turn.Status,
    reason: Reason,
    replied_as: str = ReplyAs.MESSAGE,
) -> Conversation:
    lease = Turn.objects.claim(turn.pk, now=timezone.now())
    assert lease is not None
    turn.refresh_from_db()
    turns.finish(
        turn,
        lease=lease,
        status=status,
        reason=reason,
        replied_as=replied_as,
        about=turn.events.all(),
    )
    return Conversation.objects.get()


@pytest.mark.django_db
def test_a_customers_webhook_begins_it_and_a_humans_ends_it(
    bot: Bot, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    waits = hear(bot, incoming).waiting_since
    message = WebhookEvent.objects.get().payload
    reply = payload("message_created_outgoing_user")
    over = hear(bot, reply, id=9050, conversation={"id": 133, "status": "open"})

    assert waits == datetime.fromisoformat(str(message["created_at"]))
    assert over.waiting_since is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "reason", "waits"),
    [
        (Turn.Status.ANSWERED, Reason.ANSWERED, False),
        (Turn.Status.ANSWERED, Reason.ANSWERED_BY_FLOW, False),
        (Turn.Status.HANDED_OVER, Reason.DIFY_FAILED, True),
        (Turn.Status.SKIPPED, Reason.STATUS_NOT_ALLOWED, True),
        (Turn.Status.FAILED, Reason.CHATWOOT_FAILED, True),
    ],
)
def test_only_an_answer_of_the_bot_ends_it(
    bot: Bot, incoming: JsonObject, status: Turn.Status, reason: Reason, waits: bool
) -> None:
    hear(bot, incoming)

    over = finish(Turn.objects.get(), status=status, reason=reason)

    assert (over.waiting_since is not None) is waits


@pytest.mark.django_db
def test_a_private_note_of_the_bot_is_no_answer(bot: Bot, incoming: JsonObject) -> None:
    hear(bot, incoming)

    over = finish(
        Turn.objects.get(),
        status=Turn.Status.ANSWERED,
        reason=Reason.SUGGESTED,
        replied_as=ReplyAs.PRIVATE_NOTE,
    )

    assert over.waiting_since is not None


@pytest.mark.django_db
def test_a_message_that_came_during_the_answer_waits_since_it_came(
    bot: Bot, incoming: JsonObject
) -> None:
    hear(bot, incoming)
    turn = Turn.objects.get()
    lease = Turn.objects.claim(turn.pk, now=timezone.now())
    assert lease is not None
    hear(bot, incoming, id=9010)
    turn.refresh_from_db()

    turns.finish(
        turn,
        lease=lease,
        status=Turn.Status.ANSWERED,
        reason=Reason.ANSWERED,
        replied_as=ReplyAs.MESSAGE,
        about=turn.events.all(),
    )

    newer = WebhookEvent.objects.get(chatwoot_message_id=9010)
    assert Conversation.objects.get().waiting_since == newer.received_at
    follower = Turn.objects.unfinished().get()
    finish(follower, status=Turn.Status.ANSWERED, reason=Reason.ANSWERED)
    assert Conversation.objects.get().waiting_since is None


@pytest.mark.django_db
def test_a_message_that_cannot_be_processed_waits_for_the_humans(
    bot: Bot, incoming: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_event(
        bot.account,
        message_payload(incoming),
        attempts=processing.MAX_ATTEMPTS - 1,
        conversation=make_conversation(bot),
    )
    row.payload["conversation"] = {"id": "?"}
    row.save()

    with pytest.raises(MalformedPayload):
        processing.process(row.pk, now=timezone.now())

    row.refresh_from_db()
    assert (row.status, row.action) == (WebhookEvent.Status.FAILED, Action.HAND_OVER)
    assert Conversation.objects.get().waiting_since == row.received_at


@pytest.mark.django_db
def test_tells_who_waits_longest_with_one_query() -> None:
    bot = make_bot()
    for number, minute in [(1, 30), (2, 10), (3, None), (4, 20)]:
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            waiting_since=None if minute is None else at(minute),
        )

    with CaptureQueriesContext(connection) as queries:
        found = waiting.customers(at(60), limit=2)
        named = [(row.chatwoot_conversation_id, str(row.inbox)) for row in found]
        links = [row.chatwoot_url for row in found]

    assert named == [(2, "Website support"), (4, "Website support")]
    assert links[0].endswith("/conversations/2")
    assert len(queries) == 1
    assert not re.findall(r'_(?:token|secret)"', queries[0]["sql"])
    assert (waiting.count(), waiting.count(limit=2)) == (3, 2)
    assert waiting.oldest(at(60)) == timedelta(minutes=50)


@pytest.mark.django_db
def test_says_so_when_nobody_waits() -> None:
    make_conversation(make_bot())

    assert waiting.customers(NOON) == []
    assert (waiting.count(), waiting.oldest(NOON)) == (0, None)
