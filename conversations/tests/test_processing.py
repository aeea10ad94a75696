"""From a stored event to its decision and turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import Inbox
from conversations import processing
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    Turn,
    WebhookEvent,
)
from conversations.tests.factories import (
    app_of,
    make_account,
    make_app,
    make_bot,
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def process(event: WebhookEvent) -> Turn | None:
    turn = processing.process(event.pk, now=timezone.now())
    event.refresh_from_db()
    return turn


def test_a_customers_message_starts_a_turn(bot: Bot, incoming: JsonObject) -> None:
    event = make_event(bot.account, message_payload(incoming))

    turn = process(event)

    assert turn is not None
    assert (turn.status, turn.bot, turn.last_message_id) == ("collecting", bot, 9001)
    assert (event.status, event.action, event.reason, event.turn) == (
        "processed",
        "answer",
        "customer_message",
        turn,
    )
    conversation = Conversation.objects.get()
    assert (event.conversation, turn.conversation) == (conversation, conversation)
    assert conversation.chatwoot_conversation_id == 133
    assert conversation.status == "pending"
    assert (conversation.chatwoot_contact_id, conversation.contact_name) == (
        640,
        "misty-harbor-412",
    )
    inbox = Inbox.objects.get()
    assert conversation.inbox == inbox
    assert (inbox.chatwoot_inbox_id, inbox.name) == (11, "Website support")


def test_an_event_is_processed_once(bot: Bot, incoming: JsonObject) -> None:
    event = make_event(bot.account, message_payload(incoming))
    process(event)

    assert process(event) is None
    assert Turn.objects.count() == 1


def test_a_message_through_two_webhooks_makes_one_turn(
    bot: Bot, incoming: JsonObject
) -> None:
    through_bot = make_event(bot.account, message_payload(incoming))
    through_account = make_event(bot.account, message_payload(incoming))
    process(through_bot)

    assert process(through_account) is None
    assert through_account.reason == "duplicate_message"
    assert Turn.objects.count() == 1


def test_a_second_message_joins_the_turn_that_has_not_begun(
    bot: Bot, incoming: JsonObject
) -> None:
    first = make_event(bot.account, message_payload(incoming))
    second = make_event(bot.account, message_payload(incoming, id=9005))
    process(first)

    turn = process(second)

    assert Turn.objects.get() == turn
    assert turn is not None
    assert turn.last_message_id == 9005
    assert {first.turn, second.turn} == {turn}


def test_a_message_during_a_run_waits(bot: Bot, incoming: JsonObject) -> None:
    conversation = make_conversation(bot)
    make_turn(conversation, bot, status="running")
    event = make_event(bot.account, message_payload(incoming, id=9005))

    assert process(event) is None
    assert (event.action, event.turn) == ("answer", None)


def test_a_message_during_a_handover_waits(bot: Bot, incoming: JsonObject) -> None:
    conversation = make_conversation(bot)
    make_turn(conversation, bot, status="retrying", handover_reason="dify_failed")
    event = make_event(bot.account, message_payload(incoming, id=9005))

    assert process(event) is None
    assert event.turn is None


def test_an_inbox_of_its_own_comes_before_a_bot_for_all(
    bot: Bot, incoming: JsonObject
) -> None:
    own = make_bot(bot.account, dify_app=make_app())
    own.inboxes.add(
        Inbox.objects.create(account=bot.account, chatwoot_inbox_id=11, name="W")
    )

    turn = process(make_event(bot.account, message_payload(incoming)))

    assert turn is not None
    assert turn.bot == own


def test_a_bot_of_other_inboxes_stays_silent(incoming: JsonObject) -> None:
    bot = make_bot()
    bot.inboxes.add(Inbox.objects.create(account=bot.account, chatwoot_inbox_id=99))
    event = make_event(bot.account, message_payload(incoming))

    assert process(event) is None
    assert event.reason == "no_bot_for_inbox"


def test_an_account_that_is_not_set_up_is_named(bot: Bot, incoming: JsonObject) -> None:
    other = message_payload(incoming, account={"id": 77, "name": "Other"})
    event = make_event(bot.account, other)

    assert process(event) is None
    assert event.reason == "unknown_account"
    assert not Conversation.objects.exists()


def test_the_mirror_never_goes_back(
    bot: Bot, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    newer = payload("conversation_updated_team")
    newer["updated_at"], newer["status"] = 1781600500.5, "open"
    process(make_event(bot.account, newer))
    older = make_event(bot.account, message_payload(incoming))

    process(older)

    conversation = Conversation.objects.get()
    assert (conversation.status, conversation.team_name) == ("open", "returns")
    assert older.reason == "status_not_allowed"


def test_the_mirror_follows_every_change(
    bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    for moment, name in enumerate(
        (
            "conversation_updated_team_with_auto_assigned_agent",
            "conversation_updated_labels",
            "conversation_updated_custom_attributes",
        )
    ):
        sample = payload(name)
        sample["updated_at"] = 1781600500 + moment
        process(make_event(bot.account, sample))

    sample = payload("conversation_updated_custom_attributes")
    conversation = Conversation.objects.get()
    assert conversation.custom_attributes == sample["custom_attributes"]
    assert conversation.labels == sample["labels"]


def test_remembers_who_spoke_last(
    bot: Bot, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    process(make_event(bot.account, message_payload(incoming, id=10)))
    human = payload("message_created_outgoing_user_while_pending")
    process(make_event(bot.account, message_payload(human, id=12)))
    process(make_event(bot.account, message_payload(human, id=11)))

    conversation = Conversation.objects.get()
    assert (
        conversation.last_customer_message_id,
        conversation.last_human_message_id,
    ) == (10, 12)


def test_a_message_that_arrives_after_the_humans_reply_is_left_to_the_human(
    bot: Bot, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    human = payload("message_created_outgoing_user_while_pending")
    process(make_event(bot.account, message_payload(human, id=9002)))
    late = make_event(bot.account, message_payload(incoming, id=9001))

    assert process(late) is None
    assert late.reason == "human_has_taken_over"


@pytest.mark.parametrize(("forgets", "end_reason"), [(True, "resolved"), (False, "")])
def test_resolving_ends_the_memory(
    bot: Bot,
    payload: Callable[[str], JsonObject],
    forgets: bool,
    end_reason: str,
) -> None:
    Bot.objects.update(new_dify_conversation_after_resolve=forgets)
    conversation = make_conversation(bot)
    memory = DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="d-1",
        dify_user="u-1",
    )

    process(make_event(bot.account, payload("conversation_status_changed_resolved")))

    memory.refresh_from_db()
    assert memory.end_reason == end_reason


def test_two_accounts_keep_their_conversations_apart(incoming: JsonObject) -> None:
    one = make_account(base_url="https://one.test")
    two = make_account(base_url="https://two.test")
    for account in (one, two):
        make_bot(account)
        process(make_event(account, message_payload(incoming)))

    assert Turn.objects.count() == 2
    assert Conversation.objects.count() == 2


def test_what_cannot_be_processed_is_kept_and_given_up_in_the_end(
    bot: Bot,
) -> None:
    event = make_event(bot.account, {"event": "message_created", "conversation": {}})

    for _ in range(processing.MAX_ATTEMPTS):
        with pytest.raises(MalformedPayload):
            process(event)

    event.refresh_from_db()
    assert (event.status, event.attempts) == ("failed", 10)
    assert event.error.startswith("MalformedPayload: ")
    assert process(event) is None
    assert not Turn.objects.exists()


def test_a_customers_message_that_cannot_be_processed_goes_to_the_humans(
    bot: Bot,
) -> None:
    broken: JsonObject = {
        "event": "message_created",
        "id": 9001,
        "message_type": "incoming",
        "conversation": {},
    }
    event = make_event(bot.account, broken, chatwoot_conversation_id=133)

    for _ in range(processing.MAX_ATTEMPTS):
        with pytest.raises(MalformedPayload):
            process(event)

    turn = Turn.objects.get()
    assert (turn.handover_reason, turn.last_message_id) == ("internal_error", 9001)
    event.refresh_from_db()
    assert (event.status, event.action, event.turn) == ("failed", "hand_over", turn)


def test_a_changed_message_that_cannot_be_processed_is_nobodys_debt(bot: Bot) -> None:
    broken: JsonObject = {
        "event": "message_updated",
        "id": 9001,
        "message_type": "incoming",
        "conversation": {},
    }
    event = make_event(bot.account, broken, chatwoot_conversation_id=133)

    for _ in range(processing.MAX_ATTEMPTS):
        with pytest.raises(MalformedPayload):
            process(event)

    event.refresh_from_db()
    assert (event.status, event.action) == ("failed", "")
    assert event.processed_at is not None
    assert not Turn.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_message_cannot_join_a_turn_that_a_worker_just_claimed(
    incoming: JsonObject,
) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    turn = make_turn(conversation, bot)
    event = make_event(bot.account, message_payload(incoming, id=9005))
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_turn SET status = 'running' WHERE id = %s", [turn.pk]
        )
    joining = threading.Thread(target=_process_elsewhere, args=[event.pk])
    joining.start()
    _wait_for_a_lock()
    other.commit()
    other.close()
    joining.join()

    event.refresh_from_db()
    assert (event.action, event.turn) == ("answer", None)


def _process_elsewhere(event_id: int) -> None:
    processing.process(event_id, now=timezone.now())
    connection.close()


def _wait_for_a_lock() -> None:
    """Return once another connection waits for a row that is locked."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return


def test_a_message_that_is_too_old_is_owed_a_handover(
    bot: Bot, incoming: JsonObject
) -> None:
    Bot.objects.update(max_message_age_s=60)
    written = timezone.now() - timedelta(minutes=2)
    late: dict[str, Any] = {"created_at": written.isoformat()}
    event = make_event(bot.account, message_payload(incoming, **late))

    turn = process(event)

    assert turn is not None
    assert (turn.status, turn.handover_reason) == ("collecting", "too_old")
    assert (event.action, event.reason, event.turn) == ("hand_over", "too_old", turn)


@pytest.mark.django_db(transaction=True)
def test_a_busy_database_does_not_count_against_the_event(
    incoming: JsonObject,
) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    event = make_event(bot.account, message_payload(incoming))
    other = connection.copy()
    with other.cursor() as cursor:
        other.set_autocommit(False)
        cursor.execute(
            "SELECT 1 FROM conversations_conversation WHERE id = %s FOR UPDATE",
            [conversation.pk],
        )
        with connection.cursor() as ours:
            ours.execute("SET lock_timeout = '50ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            process(event)
        with connection.cursor() as ours:
            ours.execute("SET lock_timeout = 0")
        other.rollback()
    other.close()

    event.refresh_from_db()
    assert (event.status, event.attempts) == ("received", 0)
    assert process(event) is not None
