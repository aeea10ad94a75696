"""A visitor's click or form on a message of ours is answered like a message, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api import submitted
from chatwoot_api.payloads import Message, parse_event
from conversations import context, pipeline, processing, turns
from conversations.models import Bot, Conversation, Reason, Turn, WebhookEvent
from conversations.replay import foresee, replay
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import make_conversation, make_event, make_turn

pytestmark = pytest.mark.django_db

Payloads = Callable[[str], JsonObject]
CLICK = "message_updated_input_select_submitted"
FORM = "message_updated_form_submitted"


def message_of(payload: JsonObject) -> Message:
    message = parse_event(payload).message
    assert message is not None
    return message


def made_now(sample: JsonObject, **overrides: Any) -> JsonObject:
    """The click as it is told right now; the message itself is of last summer."""
    nested = sample["conversation"]
    assert isinstance(nested, dict)
    newest = nested["messages"]
    assert isinstance(newest, list)
    assert isinstance(newest[0], dict)
    newest[0]["updated_at"] = datetime.now(UTC).isoformat()
    return {**sample, **overrides}


@pytest.fixture
def click(payload: Payloads) -> JsonObject:
    return made_now(payload(CLICK))


def took(bot: Bot, body: JsonObject, **overrides: Any) -> WebhookEvent:
    event = make_event(bot.account, body, **overrides)
    processing.process(event.pk, now=timezone.now())
    event.refresh_from_db()
    return event


# --- What was submitted -------------------------------------------------------------


def test_a_choice_is_its_title_with_the_value(payload: Payloads) -> None:
    assert submitted.text_of(message_of(payload(CLICK))) == "Return an item (return)"


def test_a_choice_whose_value_says_the_same_is_its_title(click: JsonObject) -> None:
    attributes = click["content_attributes"]
    assert isinstance(attributes, dict)
    attributes["submitted_values"] = [{"title": "Yes", "value": "yes"}]

    assert submitted.text_of(message_of(click)) == "Yes"


def test_a_form_is_a_line_for_each_field(payload: Payloads) -> None:
    text = submitted.text_of(message_of(payload(FORM)))

    assert text == "Order number: 88123\nReason: damaged"


@pytest.mark.parametrize(
    "name",
    [
        "message_created_outgoing_input_select",
        "message_updated_input_email_submitted",
        "message_updated_csat_submitted",
        "message_updated_read_receipt",
    ],
)
def test_nothing_else_is_submitted(name: str, payload: Payloads) -> None:
    assert submitted.text_of(message_of(payload(name))) == ""


@pytest.mark.parametrize(
    "values", [None, "yes", {"a": 1}, [None, 1, "x", []], [{"name": 1, "value": None}]]
)
def test_odd_values_are_nothing(values: Any, payload: Payloads) -> None:
    body = payload(FORM)
    attributes = body["content_attributes"]
    assert isinstance(attributes, dict)
    attributes["submitted_values"] = values

    assert submitted.text_of(message_of(body)) == ""


def test_the_time_of_a_click_is_that_of_the_change(payload: Payloads) -> None:
    message = message_of(payload(CLICK))

    assert message.updated_at == datetime(2026, 6, 16, 9, 1, 15, 330000, tzinfo=UTC)


def test_dify_is_asked_what_was_chosen(click: JsonObject) -> None:
    assert context.question([message_of(click)]) == "Return an item (return)"


# --- What is decided ----------------------------------------------------------------


def test_a_click_begins_a_turn(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    event = took(bot, click)

    assert (event.action, event.reason) == ("answer", "customer_choice")
    turn = Turn.objects.get()
    assert (turn.last_message_id, turn.kind) == (9008, "answer")
    assert event.turn == turn


@pytest.mark.parametrize("name", [CLICK, FORM])
def test_a_click_is_answered_with_what_was_submitted(
    name: str, bot: Bot, payload: Payloads, platforms: Platforms
) -> None:
    make_conversation(bot)
    took(bot, made_now(payload(name)))
    platforms.dify_answers(*answer_events("Here you are."))

    pipeline.run(Turn.objects.get().pk)

    said = submitted.text_of(message_of(payload(name)))
    assert [body["query"] for body in platforms.asked] == [said]
    assert [body["content"] for body in platforms.posted] == ["Here you are."]
    assert Turn.objects.get().reason == "answered"


def test_news_of_a_clicked_message_starts_nothing(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    took(bot, click)

    receipt = took(bot, click)

    assert (receipt.action, receipt.reason) == ("ignore", "duplicate_message")
    assert Turn.objects.count() == 1


def test_news_of_a_click_that_humans_had_starts_nothing_later(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    """Resolved and reopened: the old click is settled, whatever is told of it."""
    nested = click["conversation"]
    assert isinstance(nested, dict)
    ignored = took(bot, {**click, "conversation": {**nested, "status": "open"}})
    assert (ignored.action, ignored.reason) == ("ignore", "status_not_allowed")
    Conversation.objects.update(status="resolved")

    receipt = took(bot, click)

    assert receipt.reason == "duplicate_message"
    assert not Turn.objects.exists()


def test_a_read_receipt_before_the_click_does_not_hide_it(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    attributes = click["content_attributes"]
    assert isinstance(attributes, dict)
    unread: JsonObject = {**attributes}
    del unread["submitted_values"]
    receipt = took(bot, {**click, "content_attributes": unread})
    assert receipt.reason == "message_updated"

    assert took(bot, click).reason == "customer_choice"


def test_another_message_than_ours_is_not_clicked(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    agent: JsonObject = {"id": 21, "name": "Marta", "type": "user"}

    event = took(bot, {**click, "sender": agent})

    assert event.reason == "message_updated"
    assert not Turn.objects.exists()


def test_a_message_that_a_flow_posted_counts_by_its_mark(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    attributes = click["content_attributes"]
    assert isinstance(attributes, dict)
    mark = "0b5f6d0e-0000-4000-8000-000000000001"
    marked: JsonObject = {**attributes, "bridge_message_id": mark}
    agent: JsonObject = {"id": 21, "name": "Marta", "type": "user"}

    event = took(bot, {**click, "sender": agent, "content_attributes": marked})

    assert event.reason == "customer_choice"


def test_the_age_of_a_click_is_its_own(
    bot: Bot, conversation: Conversation, payload: Payloads
) -> None:
    old = took(bot, payload(CLICK))

    assert (old.action, old.reason) == ("hand_over", "too_old")


def test_a_click_without_a_time_is_as_old_as_its_delivery(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    nested = click["conversation"]
    assert isinstance(nested, dict)

    event = took(bot, {**click, "conversation": {**nested, "messages": []}})

    assert event.reason == "customer_choice"
    conversation.refresh_from_db()
    assert conversation.waiting_since == event.received_at


def test_a_human_who_answered_before_the_click_has_it(
    bot: Bot, conversation: Conversation, click: JsonObject, platforms: Platforms
) -> None:
    """It is pending: it is opened, which is no failure that agents have to be told."""
    Conversation.objects.update(
        last_human_message_id=9010, last_human_message_at=timezone.now()
    )

    event = took(bot, click)

    assert (event.action, event.reason) == ("hand_over", "human_has_taken_over")
    pipeline.run(Turn.objects.get().pk)
    assert Turn.objects.get().status == "handed_over"
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 1


def test_what_was_said_before_the_question_is_no_takeover(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    Conversation.objects.update(last_human_message_id=9007)

    assert took(bot, click).reason == "customer_choice"


def test_a_customer_who_wrote_after_the_human_may_click(
    bot: Bot, conversation: Conversation, click: JsonObject, platforms: Platforms
) -> None:
    """The bot has it again and answered 9012: an older question may be clicked now."""
    Conversation.objects.update(
        last_human_message_id=9010,
        last_human_message_at=timezone.now() - timedelta(minutes=5),
        last_customer_message_id=9012,
    )
    make_turn(conversation, bot, last_message_id=9012, status="answered")
    platforms.chatwoot_has_history({"id": 9013, "message_type": 1, "content": "Hi"})
    platforms.dify_answers(*answer_events("Here you are."))

    assert took(bot, click).reason == "customer_choice"
    turn = Turn.objects.latest("pk")
    assert turn.takeover_after_id == 9012
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    assert turn.reason == "answered"
    conversation.refresh_from_db()
    assert conversation.waiting_since is None


def test_the_customer_waits_from_the_click_on(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    nested = click["conversation"]
    assert isinstance(nested, dict)
    Conversation.objects.update(
        last_human_message_id=9010,
        last_human_message_at=timezone.now() - timedelta(minutes=5),
        status="open",
    )

    event = took(bot, {**click, "conversation": {**nested, "status": "open"}})

    assert event.reason == "human_has_taken_over"
    conversation.refresh_from_db()
    clicked_at = message_of(click).updated_at
    assert conversation.waiting_since == clicked_at
    # For ending idle conversations: the customer was there.
    assert conversation.last_customer_message_at == clicked_at


def test_a_click_joins_a_message_that_waits(
    bot: Bot,
    conversation: Conversation,
    click: JsonObject,
    payload: Payloads,
    platforms: Platforms,
) -> None:
    Bot.objects.update(debounce_s=5)
    typed = payload("message_created_incoming_text")
    took(bot, {**typed, "id": 9011, "created_at": datetime.now(UTC).isoformat()})

    took(bot, click)

    turn = Turn.objects.get()
    assert turn.events.count() == 2
    assert turn.last_message_id == 9011
    Turn.objects.update(next_attempt_at=timezone.now())
    platforms.dify_answers(*answer_events("Both."))
    pipeline.run(turn.pk)
    (asked,) = platforms.asked
    assert str(asked["query"]).startswith("Return an item (return)\n\n")


def test_a_click_on_a_conversation_given_back_is_answered(
    bot: Bot, conversation: Conversation, click: JsonObject, payload: Payloads
) -> None:
    nested = click["conversation"]
    assert isinstance(nested, dict)
    took(bot, {**click, "conversation": {**nested, "status": "open"}})
    given_back = payload("conversation_status_changed_pending_after_reopen")

    took(
        bot,
        {
            **given_back,
            "id": 133,
            "status": "pending",
            "updated_at": timezone.now().timestamp(),
        },
    )

    turn = Turn.objects.get()
    assert [event.reason for event in turn.events.all()] == ["customer_choice"]


def test_an_operator_can_have_a_click_answered_again(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    event = took(bot, click)
    Turn.objects.update(
        status="failed", reason="chatwoot_failed", finished_at=timezone.now()
    )

    assert foresee(event).would_do
    result = replay(event, by="anna")

    assert result.turn is not None
    event.refresh_from_db()
    assert (event.turn, event.reason) == (result.turn, "customer_choice")


def test_a_click_that_cannot_be_processed_goes_to_the_humans(
    bot: Bot, conversation: Conversation, click: JsonObject
) -> None:
    event = make_event(bot.account, click, attempts=processing.MAX_ATTEMPTS - 1)

    processing._note_failure(event.pk, ValueError("odd"))

    assert Turn.objects.get().handover_reason == "internal_error"


def test_a_click_that_waited_for_another_turn_is_none_of_the_humans_before_it(
    bot: Bot,
    conversation: Conversation,
    click: JsonObject,
    platforms: Platforms,
) -> None:
    """A human replied, the customer wrote, and clicked while that was answered."""
    Conversation.objects.update(
        last_human_message_id=9010,
        last_human_message_at=timezone.now() - timedelta(minutes=5),
        last_customer_message_id=9012,
    )
    first = make_turn(conversation, bot, last_message_id=9012)
    lease = Turn.objects.claim(first.pk, now=timezone.now())
    assert lease is not None
    event = took(bot, click)
    assert (event.reason, event.turn) == ("customer_choice", None)

    following = turns.finish(
        first,
        lease=lease,
        status=Turn.Status.ANSWERED,
        reason=Reason.ANSWERED,
        replied_as="message",
        about=[],
    )

    assert following is not None
    following.refresh_from_db()
    assert following.takeover_after_id == 9012
    platforms.chatwoot_has_history()
    platforms.dify_answers(*answer_events("Here you are."))
    pipeline.run(following.pk)
    following.refresh_from_db()
    assert following.reason == "answered"
    conversation.refresh_from_db()
    assert conversation.waiting_since is None


def test_the_answer_to_an_old_question_is_looked_up_among_the_new_messages(
    bot: Bot, conversation: Conversation, click: JsonObject, platforms: Platforms
) -> None:
    """Chatwoot tells a hundred messages at once, from the oldest on."""
    Conversation.objects.update(last_customer_message_id=9500)
    took(bot, click)
    turn = Turn.objects.get()
    platforms.dify_answers(*answer_events("Here you are."))
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=504)
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    assert turn.status == "unknown"
    Turn.objects.update(next_attempt_at=timezone.now())

    pipeline.run(turn.pk)

    reads = [
        str(call.request.url)
        for call in platforms.wire.calls
        if call.request.method == "GET" and "/messages?" in str(call.request.url)
    ]
    assert reads
    assert all(url.endswith("after=9500") for url in reads)
