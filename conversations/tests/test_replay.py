"""Replaying stored events: what would happen, and one more answer, never two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import jobs, pipeline, processing, removal, replay
from conversations.jobs.kinds import KINDS
from conversations.jobs.kinds.replay import items_of
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    FlowForm,
    JobItem,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    make_bot,
    make_event,
    make_turn,
    message_payload,
)
from conversations.tests.test_pipeline import run_until_done

pytestmark = pytest.mark.django_db

Said = Callable[..., WebhookEvent]
HUMAN_SAID: JsonObject = {
    "id": 9010,
    "message_type": 1,
    "content": "I look into it.",
    "sender_type": "User",
    "sender": {"id": 5, "type": "user", "name": "Anna"},
}
ONCE_MORE = "Once more: it is covered."


@pytest.fixture
def sample(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


@pytest.fixture
def said(bot: Bot, conversation: Conversation, sample: JsonObject) -> Said:
    """A customer's message that was ignored; every field may be overridden."""

    def say(number: int = 9001, text: str = "Where is it?", **fields: Any) -> Any:
        body = message_payload(sample, id=number, content=text)
        values = {
            "conversation": conversation,
            "status": "processed",
            "action": "ignore",
            "reason": "status_not_allowed",
            **fields,
        }
        return make_event(bot.account, values.pop("payload", body), **values)

    return say


@pytest.fixture
def hears(bot: Bot, payload: Callable[[str], JsonObject]) -> Callable[..., None]:
    """Process the webhook of a human's reply."""

    def hear(number: int) -> None:
        sample = payload("message_created_outgoing_user")
        body = message_payload(
            sample, id=number, conversation={"id": 133, "status": "pending"}
        )
        processing.process(make_event(bot.account, body).pk, now=timezone.now())

    return hear


def answered_turn(turn: Turn, platforms: Platforms) -> WebhookEvent:
    """Have the turn answered for real and return its event."""
    platforms.dify_answers(*answer_events("It is covered."))
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    assert turn.status == "answered"
    return turn.events.get()


# --- What would happen -------------------------------------------------------------


def test_an_ignored_message_would_be_answered_now(said: Said) -> None:
    found = replay.foresee(said())

    assert (found.action, found.reason) == ("answer", "customer_message")
    assert found.would_do
    assert not found.needs_force
    assert found.text == "The bot would answer."


def test_foreseeing_changes_nothing(said: Said, conversation: Conversation) -> None:
    event = said()
    before = Conversation.objects.values().get(pk=conversation.pk)

    replay.foresee(event, force=True, status="resolved")

    event.refresh_from_db()
    assert (event.action, event.reason) == ("ignore", "status_not_allowed")
    assert Conversation.objects.values().get(pk=conversation.pk) == before
    assert Turn.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "reason", "instead"),
    [
        ({"status": "open"}, "status_not_allowed", "use “Answer again”"),
        ({"paused": True}, "paused", "End the pause first"),
        ({"contact_blocked": True}, "contact_blocked", "Unblock the contact"),
    ],
)
def test_what_keeps_the_bot_silent_cannot_be_forced(
    said: Said,
    conversation: Conversation,
    changes: dict[str, Any],
    reason: str,
    instead: str,
) -> None:
    Conversation.objects.update(**changes)
    event = said()

    for force in (False, True):
        found = replay.foresee(event, force=force)
        assert found.reason == reason
        assert not found.would_do
        assert not found.needs_force
        assert instead in found.text
        assert replay.replay(event, by="lena", force=force).turn is None
    assert Turn.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"enabled": False}, "bot_disabled"),
        ({"dify_app": None}, "bot_has_no_app"),
    ],
)
def test_a_bot_that_cannot_answer_is_not_forced(
    said: Said, bot: Bot, changes: dict[str, Any], reason: str
) -> None:
    Bot.objects.filter(pk=bot.pk).update(**changes)

    found = replay.foresee(said(), force=True)

    assert (found.action, found.reason) == ("hand_over", reason)
    assert not found.would_do
    assert "this one is not" in found.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("conversation_status_changed_open", "Nothing to answer: only news about"),
        ("message_created_outgoing_user", "Nothing to answer: a human agent's reply."),
        ("message_created_private_note", "Nothing to answer: a private note."),
    ],
)
def test_what_is_no_customers_message_does_nothing(
    bot: Bot,
    conversation: Conversation,
    payload: Callable[[str], JsonObject],
    name: str,
    text: str,
) -> None:
    event = make_event(
        bot.account, payload(name), conversation=conversation, status="processed"
    )

    result = replay.replay(event, by="lena", force=True)

    assert result.turn is None
    assert result.text.startswith(text)
    assert AuditEntry.objects.count() == 0


def test_a_human_who_answered_and_age_need_force(
    said: Said, conversation: Conversation
) -> None:
    Conversation.objects.update(last_human_message_id=9010)
    event = said()
    event.payload["created_at"] = "2020-01-01T00:00:00Z"
    event.save()

    found = replay.foresee(event)
    assert found.reason == "human_has_taken_over"
    assert found.needs_force
    assert not found.would_do

    Conversation.objects.update(last_human_message_id=0)
    assert replay.foresee(event).reason == "too_old"
    assert replay.foresee(event).needs_force
    assert replay.foresee(event, force=True).would_do


def test_a_deleted_message_is_not_answered(said: Said) -> None:
    event = said(reason="message_deleted")

    found = replay.foresee(event, force=True)

    assert found.reason == "message_deleted"
    assert not found.would_do


def test_an_erased_or_unread_event_is_not_answered(said: Said) -> None:
    erased = said()
    WebhookEvent.objects.filter(pk=erased.pk).update(payload={})
    erased.refresh_from_db()

    assert "no longer stored" in replay.foresee(erased, force=True).text
    new = said(9002, status="received", action="", reason="")
    assert "about to be processed" in replay.foresee(new, force=True).text
    assert replay.replay(new, by="lena", force=True).turn is None


def test_a_duplicate_points_to_the_event_to_replay(said: Said) -> None:
    first = said(action="answer", reason="customer_message")
    copy = said(reason="duplicate_message")

    found = replay.foresee(copy, force=True)

    assert found.reason == "duplicate_message"
    assert f"event {first.pk}" in found.text
    assert replay.replay(copy, by="lena", force=True).turn is None


def test_another_bot_is_asked_what_it_would_do(said: Said, bot: Bot) -> None:
    other = make_bot(bot.account, enabled=False)
    event = said()

    assert replay.foresee(event).would_do
    assert replay.foresee(event, bot=other).reason == "bot_disabled"


# --- One more answer ---------------------------------------------------------------


def test_an_answered_message_is_answered_once_more_only_if_forced(
    turn: Turn, platforms: Platforms
) -> None:
    event = answered_turn(turn, platforms)

    refused = replay.replay(event, by="lena")
    assert refused.turn is None
    assert f"turn {turn.pk}: the customer would get a second answer" in refused.text

    platforms.dify_answers(*answer_events(ONCE_MORE, message_id="dify-message-2"))
    result = replay.replay(event, by="lena", force=True)
    assert result.turn is not None
    assert result.text == f"The message is answered in turn {result.turn.pk}."
    assert (result.turn.asked_by, result.turn.replay_of) == ("lena", turn)
    assert run_until_done(result.turn) == ("answered", "answered")

    # Dify was asked anew, and one more answer was posted.
    assert len(platforms.asked) == 2
    assert [post["content"] for post in platforms.posted] == [
        "It is covered.",
        ONCE_MORE,
    ]
    assert turn.events.count() == 0
    assert OutgoingMessage.objects.count() == 2
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor) == ("replayed", "lena")
    assert entry.details == {
        "turn": result.turn.pk,
        "former_turn": turn.pk,
        "events": [event.pk],
        "decided_before": ["customer_message"],
        "forced": True,
    }


def test_the_answer_of_a_turn_before_the_last_still_counts(
    turn: Turn, platforms: Platforms
) -> None:
    event = answered_turn(turn, platforms)
    again = replay.replay(event, by="lena", force=True).turn
    assert again is not None
    Turn.objects.filter(pk=again.pk).update(status="skipped", reason="paused")
    event.refresh_from_db()

    assert replay.foresee(event).needs_force


def test_a_message_under_way_is_refused(turn: Turn) -> None:
    event = turn.events.get()

    result = replay.replay(event, by="lena", force=True)

    assert result.turn is None
    assert f"being answered right now, in turn {turn.pk}" in result.text
    assert Turn.objects.count() == 1


def test_while_another_message_is_being_answered_it_is_refused(
    said: Said, turn: Turn
) -> None:
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None
    event = said(8999)

    result = replay.replay(event, by="lena")

    assert result.turn is None
    assert f"in turn {turn.pk}. Try again" in result.text
    event.refresh_from_db()
    assert (event.action, event.turn) == ("ignore", None)


def test_a_message_joins_the_turn_that_still_collects(said: Said, turn: Turn) -> None:
    result = replay.replay(said(8999), by="lena")

    assert result.turn == turn
    assert turn.events.count() == 2
    turn.refresh_from_db()
    assert (turn.last_message_id, turn.asked_by) == (9001, "lena")


def test_messages_of_one_conversation_get_one_answer(
    said: Said, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(ONCE_MORE))
    events = [said(9001, "Where is it?"), said(9002, "Hello?"), said(9003, "?")]

    result = replay.together(events, by="lena")

    assert result.turn is not None
    assert result.text.startswith("3 messages are answered together")
    assert run_until_done(result.turn) == ("answered", "answered")
    assert [asked["query"] for asked in platforms.asked] == [
        "Where is it?\n\nHello?\n\n?"
    ]
    assert len(platforms.posted) == 1


def test_a_failed_replay_tells_the_customer_nothing_twice(
    said: Said, turn: Turn, platforms: Platforms
) -> None:
    Turn.objects.filter(pk=turn.pk).update(
        status="handed_over", reason="dify_failed", finished_at=timezone.now()
    )
    for _ in range(8):
        platforms.dify_answers(status=500, json={"code": "internal_server_error"})
    again = replay.replay(turn.events.get(), by="lena").turn
    assert again is not None
    assert again.replay_of == turn

    assert run_until_done(again) == ("handed_over", "dify_failed")

    assert [post["private"] for post in platforms.posted] == [True]


# --- In spite of a human -----------------------------------------------------------


def test_forced_it_is_answered_after_a_human(
    said: Said, platforms: Platforms, hears: Callable[..., None]
) -> None:
    event = said()
    hears(9010)
    platforms.chatwoot_shows(last={"id": 9010, **HUMAN_SAID})
    platforms.dify_answers(*answer_events(ONCE_MORE))

    assert replay.replay(event, by="lena").turn is None
    turn = replay.replay(event, by="lena", force=True).turn

    assert turn is not None
    assert turn.despite_message_id == 9010
    assert run_until_done(turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [ONCE_MORE]


def test_a_new_human_reply_takes_over_a_forced_replay(
    said: Said, platforms: Platforms, hears: Callable[..., None]
) -> None:
    event = said()
    hears(9010)
    platforms.dify_answers(*answer_events(ONCE_MORE), meanwhile=lambda: hears(9011))
    platforms.chatwoot_shows(last={"id": 9010, **HUMAN_SAID})

    turn = replay.replay(event, by="lena", force=True).turn

    assert turn is not None
    assert run_until_done(turn) == ("skipped", "human_has_taken_over")
    assert platforms.posted == []


def test_a_new_reply_that_only_chatwoot_knows_takes_over(
    said: Said, platforms: Platforms, hears: Callable[..., None]
) -> None:
    event = said()
    hears(9010)
    platforms.chatwoot_shows(last={**HUMAN_SAID, "id": 9012})

    turn = replay.replay(event, by="lena", force=True).turn

    assert turn is not None
    assert run_until_done(turn) == ("skipped", "human_has_taken_over")
    assert platforms.asked == []


def test_news_do_not_interrupt_a_forced_replay(
    said: Said,
    bot: Bot,
    hears: Callable[..., None],
    payload: Callable[[str], JsonObject],
) -> None:
    event = said()
    hears(9010)
    turn = replay.replay(event, by="lena", force=True).turn
    assert turn is not None
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None
    news = {**payload("conversation_updated_labels"), "id": 133, "status": "pending"}
    news["labels"] = []

    processing.process(make_event(bot.account, news).pk, now=timezone.now())
    turn.refresh_from_db()
    assert turn.interrupt == ""

    hears(9011)
    turn.refresh_from_db()
    assert turn.interrupt == "human_has_taken_over"


# --- Events that failed --------------------------------------------------------------


def test_a_failed_event_is_processed_anew(
    bot: Bot, sample: JsonObject, conversation: Conversation
) -> None:
    event = make_event(
        bot.account,
        message_payload(sample, conversation={"id": 133, "status": "pending"}),
        status="failed",
        attempts=10,
        error="ValueError: no",
    )
    found = replay.foresee(event)
    assert found.would_do
    assert found.text == (
        "It could not be processed then, and would be processed anew. The bot would "
        "answer."
    )

    result = replay.replay(event, by="lena")

    event.refresh_from_db()
    assert result.turn == event.turn
    assert (event.status, event.action, event.attempts, event.error) == (
        "processed",
        "answer",
        0,
        "",
    )
    assert event.turn is not None
    assert event.turn.asked_by == "lena"


def test_a_failed_event_that_cannot_be_read_is_left_alone(
    bot: Bot, sample: JsonObject
) -> None:
    body = {**message_payload(sample), "id": "no number"}
    event = make_event(bot.account, body, status="failed", chatwoot_message_id=None)

    result = replay.replay(event, by="lena", force=True)

    assert result.turn is None
    assert result.text.startswith("The bridge cannot read this event")
    event.refresh_from_db()
    assert event.status == "failed"


def test_an_event_that_fails_again_says_so(bot: Bot, sample: JsonObject) -> None:
    event = make_event(bot.account, message_payload(sample), status="failed")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE conversations_conversation "
            "ADD CONSTRAINT out_of_order CHECK (chatwoot_conversation_id <> 133)"
        )

    result = replay.replay(event, by="lena", force=True)

    assert result.turn is None
    assert result.text == "It failed again; the event's page says why."
    event.refresh_from_db()
    assert (event.status, event.attempts) == ("received", 1)
    assert "IntegrityError" in event.error


# --- As a job ------------------------------------------------------------------------


def test_a_job_has_one_item_for_each_conversation(said: Said) -> None:
    first, second = said(9001), said(9002)
    other = said(9003, conversation=None, chatwoot_conversation_id=None)

    items = items_of([second, other, first])

    assert [(item.title, item.arguments) for item in items] == [
        ("Conversation #133: 2 events", {"events": [first.pk, second.pk]}),
        (f"Event {other.pk}", {"events": [other.pk]}),
    ]


def test_a_job_item_that_is_run_twice_answers_once(
    said: Said, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(ONCE_MORE))
    job = jobs.start("replay", items=items_of([said()]), actor="lena")
    item = JobItem.objects.select_related("job").get(job=job)
    run = KINDS["replay"].run

    assert run(item).status == "done"
    turn = Turn.objects.get()
    assert run_until_done(turn) == ("answered", "answered")
    # A worker that died before it noted the result.
    again = run(JobItem.objects.select_related("job").get(job=job))

    assert again.status == "done"
    assert again.text == f"It is answered in turn {turn.pk}."
    assert Turn.objects.count() == 1
    assert len(platforms.posted) == 1


def test_a_job_item_is_answered_once_also_if_two_workers_are_in_it(
    said: Said, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(ONCE_MORE))
    job = jobs.start(
        "replay", items=items_of([said()]), actor="lena", arguments={"force": True}
    )
    mine, others = (JobItem.objects.select_related("job").get(job=job) for _ in "12")
    run = KINDS["replay"].run

    assert run(mine).status == "done"
    turn = Turn.objects.get()
    assert run_until_done(turn) == ("answered", "answered")
    # One that had read the item before, and lost its lease.
    assert run(others).text == f"It is answered in turn {turn.pk}."

    assert Turn.objects.get() == turn


def test_a_job_reports_what_it_leaves_out(said: Said) -> None:
    Conversation.objects.update(status="resolved")
    job = jobs.start("replay", items=items_of([said()]), actor="lena")

    outcome = KINDS["replay"].run(JobItem.objects.select_related("job").get(job=job))

    assert outcome.status == "skipped"
    assert "The conversation is “resolved”" in outcome.text


def test_a_job_may_be_forced(said: Said) -> None:
    Conversation.objects.update(last_human_message_id=9010)
    job = jobs.start(
        "replay", items=items_of([said()]), actor="lena", arguments={"force": True}
    )

    outcome = KINDS["replay"].run(JobItem.objects.select_related("job").get(job=job))

    assert outcome.status == "done"
    assert Turn.objects.get().despite_message_id == 9010


# --- Afterwards ----------------------------------------------------------------------


def test_a_turn_may_be_forgotten_before_its_replay(said: Said, turn: Turn) -> None:
    Turn.objects.filter(pk=turn.pk).update(
        status="handed_over", finished_at=timezone.now() - timedelta(days=9)
    )
    again = replay.replay(turn.events.get(), by="lena").turn
    assert again is not None

    removal.remove_turns([turn.pk])

    again.refresh_from_db()
    assert again.replay_of is None
    assert again.events.get().reason == Reason.CUSTOMER_MESSAGE


def test_nothing_is_replayed_into_the_answer_to_a_form(
    said: Said, bot: Bot, conversation: Conversation
) -> None:
    paused = make_turn(conversation, bot, status="answered")
    form = FlowForm.objects.create(
        conversation=conversation,
        bot=bot,
        turn=paused,
        run=PipelineRun.objects.create(turn=paused, last_message_id=9000),
        goes_to="customer",
        status="answered",
        expires_at=timezone.now(),
    )
    resuming = make_turn(conversation, bot, flow_form=form, status="retrying")

    result = replay.replay(said(9003), by="lena")

    assert result.turn is None
    assert f"turn {resuming.pk}" in result.text
