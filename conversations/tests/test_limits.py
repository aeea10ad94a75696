"""Hours, ceilings and rules: when a customer gets humans instead of the bot."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import ceilings, pipeline, processing
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.outcomes import NoAnswer
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    make_bot,
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)

pytestmark = pytest.mark.django_db

CLOSED = "We are back on Monday."
CLOSED_DAYS: list[JsonObject] = [
    {"day_of_week": day, "closed_all_day": True} for day in range(7)
]


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def change(bot: Bot, **values: Any) -> None:
    Bot.objects.filter(pk=bot.pk).update(**values)


def close(conversation: Conversation) -> None:
    assert conversation.inbox is not None
    conversation.inbox.keep_hours(enabled=True, days=CLOSED_DAYS, timezone="UTC")


def run(turn: Turn, *, times: int = 2) -> tuple[str, str]:
    """Run it, and the handover that follows at once."""
    for _ in range(times):
        Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
        pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn.status, turn.reason


def another(turn: Turn, payload: JsonObject, *, message_id: int) -> Turn:
    """The turn of the customer's next message in the same conversation."""
    made = make_turn(turn.conversation, turn.bot, last_message_id=message_id)  # type: ignore[arg-type]
    make_event(
        turn.conversation.account,
        message_payload(payload, id=message_id),
        conversation=turn.conversation,
        turn=made,
        status="processed",
        action="answer",
        reason="customer_message",
    )
    return made


def said(platforms: Platforms) -> list[Any]:
    return [(body["content"], body["private"]) for body in platforms.posted]


# --- Business hours ---------------------------------------------------------------


def test_outside_hours_the_customer_is_told_and_left_to_the_humans(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    change(bot, outside_hours="say", outside_hours_text=CLOSED)
    close(conversation)

    assert run(turn) == ("handed_over", "outside_hours")
    assert said(platforms) == [(CLOSED, False)]
    assert platforms.calls("POST", "/toggle_status") == 1
    assert platforms.asked == []


def test_outside_hours_is_told_once_a_day(
    turn: Turn,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    incoming: JsonObject,
) -> None:
    change(bot, outside_hours="say", outside_hours_text=CLOSED)
    close(conversation)
    run(turn)

    assert run(another(turn, incoming, message_id=9005)) == (
        "handed_over",
        "outside_hours",
    )
    assert said(platforms) == [(CLOSED, False)]
    OutgoingMessage.objects.update(posted_at=timezone.now() - timedelta(hours=25))
    run(another(turn, incoming, message_id=9009))
    assert said(platforms) == [(CLOSED, False), (CLOSED, False)]


def test_outside_hours_it_may_be_silent(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    change(bot, outside_hours="silent", outside_hours_text=CLOSED)
    close(conversation)

    assert run(turn) == ("handed_over", "outside_hours")
    assert said(platforms) == []
    assert platforms.calls("POST", "/toggle_status") == 1


def test_by_default_it_answers_at_any_time(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    close(conversation)
    platforms.dify_answers(*answer_events("Yes."))

    assert run(turn, times=1) == ("answered", "answered")


def test_no_colleague_is_promised_while_nobody_is_there(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    change(bot, outside_hours_text=CLOSED)
    close(conversation)
    platforms.dify_answers(status=400, json={"code": "app_unavailable", "message": ""})

    assert run(turn) == ("handed_over", "dify_failed")
    assert (CLOSED, False) in said(platforms)
    assert len(said(platforms)) == 2
    assert said(platforms)[1][1] is True


def test_in_hours_the_text_is_that_of_failures(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    change(bot, outside_hours_text=CLOSED)
    platforms.dify_answers(status=400, json={"code": "app_unavailable", "message": ""})

    run(turn)

    assert said(platforms)[0] == (bot.failure_public_text, False)


def test_an_answer_that_was_begun_in_time_is_finished(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    change(bot, outside_hours="silent", max_answers_per_hour=1)
    platforms.dify_answers(*answer_events("It is covered."))
    platforms.chatwoot_takes_messages(status=503)
    assert run(turn, times=1)[0] == "unknown"

    close(conversation)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()
    OutgoingMessage.objects.update(attempted_at=timezone.now() - timedelta(minutes=1))
    assert run(turn, times=1) == ("answered", "answered")


# --- Ceilings ---------------------------------------------------------------------


def answered(turn: Turn, *, ago: timedelta, **values: Any) -> Turn:
    return make_turn(
        turn.conversation,
        turn.bot,  # type: ignore[arg-type]
        **{
            "status": "answered",
            "finished_at": timezone.now() - ago,
            "last_message_id": 1,
            **values,
        },
    )


def test_a_conversation_s_answers_per_hour(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    change(bot, max_answers_per_hour=2)
    answered(turn, ago=timedelta(minutes=59))
    answered(turn, ago=timedelta(minutes=1))

    assert run(turn) == ("handed_over", "ceiling_reached")
    (told, _), (note, is_private) = said(platforms)
    assert told == "A colleague will go on from here."
    assert is_private
    assert note.startswith(
        "The bot could not answer: a ceiling of the bot is reached. Answers per "
        "conversation and hour: 2 at most. It answers again from "
    )
    assert platforms.asked == []


@pytest.mark.parametrize(
    "values",
    [
        {"ago": timedelta(minutes=61)},
        {"status": "handed_over"},
        {"kind": "draft"},
        {"kind": "greeting"},
    ],
)
def test_what_does_not_count(
    turn: Turn, bot: Bot, platforms: Platforms, values: dict[str, Any]
) -> None:
    change(bot, max_answers_per_hour=1)
    answered(turn, **{"ago": timedelta(minutes=1), **values})
    platforms.dify_answers(*answer_events("Yes."))

    assert run(turn, times=1) == ("answered", "answered")


def test_other_conversations_do_not_count(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    change(bot, max_answers_per_hour=1)
    other = make_conversation(bot, chatwoot_conversation_id=134)
    make_turn(other, bot, status="answered", finished_at=timezone.now())
    platforms.dify_answers(*answer_events("Yes."))

    assert run(turn, times=1) == ("answered", "answered")


def spend(turn: Turn, *, at: datetime, tokens: int = 0, cost: str = "0") -> None:
    PipelineRun.objects.create(
        turn=answered(turn, ago=timedelta(days=3)),
        last_message_id=1,
        status="succeeded",
        total_tokens=tokens,
        total_price=Decimal(cost),
        finished_at=at,
    )


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def why(turn: Turn, **limits: Any) -> str:
    """Say why the bot may not be asked at noon; "" if it may."""
    bot = turn.bot
    assert bot is not None
    for name, value in limits.items():
        setattr(bot, name, value)
    try:
        ceilings.check(turn, bot=bot, now=NOON)
    except NoAnswer as err:
        return err.error
    return ""


def test_a_day_s_tokens(turn: Turn) -> None:
    spend(turn, at=MIDNIGHT - timedelta(seconds=1), tokens=1000)
    spend(turn, at=MIDNIGHT, tokens=60)
    spend(turn, at=NOON, tokens=39)

    assert why(turn, max_tokens_per_day=100) == ""
    assert why(turn, max_tokens_per_day=99) == (
        "The bot may use 99 tokens per day and has used 99. It answers again from "
        "2026-11-23 00:00 (UTC) on."
    )


def test_a_day_s_cost(turn: Turn) -> None:
    spend(turn, at=MIDNIGHT - timedelta(seconds=1), cost="7")
    spend(turn, at=NOON, cost="0.5000000")
    spend(turn, at=NOON, cost="0.2500000")

    assert why(turn, max_cost_per_day=Decimal("0.7501")) == ""
    assert why(turn, max_cost_per_day=Decimal("0.7500")) == (
        "The bot may cost 0.75 per day and has cost 0.75. It answers again from "
        "2026-11-23 00:00 (UTC) on."
    )


def test_another_bot_s_tokens_are_its_own(turn: Turn) -> None:
    other = make_bot(turn.conversation.account, name="Other")
    theirs = make_turn(
        make_conversation(other, chatwoot_conversation_id=135), other, status="answered"
    )
    spend(theirs, at=NOON, tokens=1000)

    assert why(turn, max_tokens_per_day=10) == ""


def test_a_day_is_a_local_one(turn: Turn) -> None:
    spend(turn, at=MIDNIGHT - timedelta(minutes=30), tokens=10)

    assert why(turn, max_tokens_per_day=10) == ""
    with timezone.override("Europe/Berlin"):
        told = why(turn, max_tokens_per_day=10)
    assert re.search(r"from \d{4}-\d\d-\d\d 00:00 \(CET\) on\.$", told)


def test_a_ceiling_is_named_in_the_bot_s_language_of_notes(turn: Turn) -> None:
    spend(turn, at=NOON, tokens=10)

    assert why(turn, max_tokens_per_day=10, language="en").startswith("The bot may use")


def test_no_ceiling_costs_no_question(
    turn: Turn, bot: Bot, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        ceilings.check(turn, bot=bot, now=NOON)


def test_a_run_s_own_tokens_do_not_keep_its_answer_back(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    change(bot, max_tokens_per_day=1)
    platforms.dify_answers(*answer_events("It is covered."))
    platforms.chatwoot_takes_messages(status=503)
    run(turn, times=1)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()
    OutgoingMessage.objects.update(attempted_at=timezone.now() - timedelta(minutes=1))

    assert run(turn, times=1) == ("answered", "answered")


def test_where_the_humans_see_it_anyway_they_are_told_once(
    turn: Turn, bot: Bot, platforms: Platforms, incoming: JsonObject
) -> None:
    change(bot, max_answers_per_hour=1, speak_in_statuses=["pending", "open"])
    platforms.chatwoot_shows(status="open")
    answered(turn, ago=timedelta(minutes=1))
    assert run(turn) == ("handed_over", "ceiling_reached")
    assert len(platforms.posted) == 2

    assert run(another(turn, incoming, message_id=9005)) == (
        "handed_over",
        "ceiling_reached",
    )
    assert len(platforms.posted) == 2


# --- Rules ------------------------------------------------------------------------


def process(bot: Bot, body: JsonObject) -> tuple[WebhookEvent, Turn | None]:
    event = make_event(bot.account, body)
    turn = processing.process(event.pk, now=timezone.now())
    event.refresh_from_db()
    return event, turn


def from_contact(incoming: JsonObject, **contact: Any) -> JsonObject:
    body = message_payload(incoming)
    conversation = body["conversation"]
    assert isinstance(conversation, dict)
    assert isinstance(conversation["meta"], dict)
    assert isinstance(conversation["meta"]["sender"], dict)
    conversation["meta"]["sender"].update(contact)
    return body


@pytest.mark.parametrize(
    ("lists", "contact", "is_answered"),
    [
        ({"ignore_rules": "phone:+49*"}, {"phone_number": "+4915112345678"}, False),
        ({"ignore_rules": "phone:+49*"}, {}, True),
        ({"allow_rules": "email:*@example.com"}, {"email": "a@example.com"}, True),
        ({"allow_rules": "email:*@example.com"}, {}, False),
        (
            {"allow_rules": "attribute:plan=gold"},
            {"custom_attributes": {"plan": "Gold"}},
            True,
        ),
        ({"test_only": True}, {}, False),
        ({"test_only": True, "test_rules": "contact:640"}, {}, True),
    ],
)
def test_whom_the_bot_is_not_for_gets_humans(
    incoming: JsonObject,
    lists: dict[str, Any],
    contact: dict[str, Any],
    is_answered: bool,
) -> None:
    event, turn = process(make_bot(**lists), from_contact(incoming, **contact))

    assert turn is not None
    expected = ("answer", "customer_message", "")
    if not is_answered:
        expected = ("hand_over", "not_for_contact", "not_for_contact")
    assert (event.action, event.reason, turn.handover_reason) == expected


def test_it_is_handed_over_without_a_word(
    incoming: JsonObject, platforms: Platforms
) -> None:
    _event, turn = process(make_bot(test_only=True), message_payload(incoming))
    assert turn is not None

    assert run(turn, times=1) == ("handed_over", "not_for_contact")
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 1


def test_where_the_humans_see_it_it_is_left_alone(incoming: JsonObject) -> None:
    bot = make_bot(test_only=True, speak_in_statuses=["pending", "open"])

    event, turn = process(
        bot, message_payload(incoming, conversation={"status": "open"})
    )

    assert turn is None
    assert (event.action, event.reason) == ("ignore", "not_for_contact")


def test_the_label_that_comes_with_the_message_counts(incoming: JsonObject) -> None:
    body = message_payload(incoming, conversation={"labels": ["VIP"]})

    event, _turn = process(make_bot(allow_rules="label:vip"), body)

    assert event.action == "answer"


def test_whom_it_is_not_for_gets_no_draft(incoming: JsonObject) -> None:
    body = message_payload(incoming, conversation={"status": "open"})

    bot = make_bot(draft_notes=True, ignore_rules="contact:640")
    left, turn = process(bot, body)
    change(bot, ignore_rules="contact:641")
    drafted, _turn = process(bot, {**body, "id": 9005})

    assert drafted.reason == "draft_wanted"
    assert (left.action, left.reason, turn) == ("ignore", "status_not_allowed", None)
