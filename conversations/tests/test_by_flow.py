"""What the bot's own flow changes by callbacks during a run is no human's takeover."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from conversations import pipeline, processing
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    make_bot,
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)
from conversations.tests.test_pipeline import HELLO, dify_error, ended, run_until_done

pytestmark = pytest.mark.django_db

Hears = Callable[..., None]
HUMAN: JsonObject = {
    "id": 9050,
    "message_type": 1,
    "content": "I am on it",
    "sender": {"id": 21, "type": "user"},
}


@pytest.fixture
def hears(bot: Bot, payload: Callable[[str], JsonObject]) -> Hears:
    """Process a webhook made from a sample."""

    def hear(name: str, **changes: Any) -> None:
        sample = payload(name)
        if "conversation" in sample:
            event = message_payload(sample, **changes)
        else:
            event = {**sample, "id": 133, "updated_at": time.time(), **changes}
        row = make_event(bot.account, event)
        processing.process(row.pk, now=timezone.now())

    return hear


@pytest.fixture
def running(turn: Turn) -> Turn:
    """The turn while a worker runs it."""
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None
    turn.refresh_from_db()
    return turn


def by_flow(turn: Turn) -> JsonObject:
    turn.refresh_from_db()
    marks: JsonObject = turn.by_flow
    return marks


# --- The marks ------------------------------------------------------------------------


def test_marks_are_joined_and_all_statuses_kept(running: Turn) -> None:
    assert Turn.objects.note_by_flow(running.pk, status="open")
    assert Turn.objects.note_by_flow(running.pk, assignee=True)
    assert Turn.objects.note_by_flow(running.pk, assignee=2)
    assert Turn.objects.note_by_flow(running.pk, status="pending", pause=True)

    assert by_flow(running) == {
        "status": "pending",
        "statuses": ["open", "pending"],
        "assignee": 2,
        "assignees": [True, 2],
        "pause": True,
        "pauses": [True],
    }


def test_a_withdrawn_mark_leaves_those_of_others(running: Turn) -> None:
    for mark in ("open", "pending", "open"):
        Turn.objects.note_by_flow(running.pk, status=mark)
    for agent in (1, True, 2):
        Turn.objects.note_by_flow(running.pk, assignee=agent)
    Turn.objects.note_by_flow(running.pk, pause=True)

    Turn.objects.withdraw_by_flow(running.pk, status="open", pause=True)
    Turn.objects.withdraw_by_flow(running.pk, assignee=1)

    assert by_flow(running) == {
        "status": "pending",
        "statuses": ["open", "pending"],
        "assignee": 2,
        "assignees": [True, 2],
    }
    Turn.objects.withdraw_by_flow(running.pk, assignee=2)
    assert by_flow(running)["assignee"] is True


@pytest.mark.django_db(transaction=True)
def test_parallel_withdrawals_lose_no_mark() -> None:
    bot = make_bot()
    turn = make_turn(
        make_conversation(bot), bot, status="running", started_at=timezone.now()
    )
    Turn.objects.note_by_flow(turn.pk, status="pending")
    ready = Barrier(6)

    def act(index: int) -> None:
        ready.wait(10)
        Turn.objects.note_by_flow(turn.pk, status="open", assignee=index)
        if index % 2:
            Turn.objects.withdraw_by_flow(turn.pk, status="open", assignee=index)
        connections.close_all()

    threads = [Thread(target=act, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    noted = by_flow(turn)
    assert noted["statuses"] == ["pending", "open", "open", "open"]
    assignees = noted["assignees"]
    assert isinstance(assignees, list)
    assert sorted(map(int, map(str, assignees))) == [0, 2, 4]


@pytest.mark.parametrize(
    ("fields", "is_noted"),
    [
        ({"status": "running"}, True),
        # Cut off: the flow goes on in Dify while the turn waits to pick it up.
        ({"status": "retrying"}, True),
        ({"status": "unknown"}, True),
        ({"status": "collecting", "started_at": None}, False),
        ({"status": "answered"}, False),
        ({"status": "handed_over"}, False),
    ],
)
def test_marks_are_taken_while_the_flow_may_be_at_work(
    running: Turn, fields: dict[str, object], is_noted: bool
) -> None:
    Turn.objects.update(**fields)

    assert Turn.objects.note_by_flow(running.pk, status="open") is is_noted
    assert bool(by_flow(running)) is is_noted
    found = Turn.objects.running_turn(running.conversation_id)
    assert found == (running if is_noted else None)


def test_the_next_turn_begins_without_marks(
    running: Turn, bot: Bot, conversation: Conversation
) -> None:
    Turn.objects.note_by_flow(running.pk, status="open")
    Turn.objects.update(status="answered")

    assert by_flow(make_turn(conversation, bot)) == {}


@pytest.mark.django_db(transaction=True)
def test_parallel_callbacks_lose_no_mark() -> None:
    bot = make_bot()
    turn = make_turn(
        make_conversation(bot),
        bot,
        status="running",
        started_at=timezone.now(),
        lease=uuid4(),
    )
    marks: list[dict[str, Any]] = [{"status": f"s{i}"} for i in range(4)]
    marks += [{"assignee": True}, {"pause": True}, {"spoke": True}]
    ready = Barrier(len(marks))

    def note(mark: dict[str, Any]) -> None:
        ready.wait(10)
        Turn.objects.note_by_flow(turn.pk, **mark)
        connections.close_all()

    threads = [Thread(target=note, args=(mark,)) for mark in marks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    noted = by_flow(turn)
    for former in ("assignees", "pauses", "spoken"):
        assert noted.pop(former) == [True]
    statuses = noted.pop("statuses")
    assert isinstance(statuses, list)
    assert sorted(map(str, statuses)) == ["s0", "s1", "s2", "s3"]
    assert noted.pop("status") in statuses
    assert noted == {"assignee": True, "pause": True, "spoke": True}


# --- A run under way ------------------------------------------------------------------


OPENED = ("conversation_status_changed_open", {"status": "open"})
RESOLVED = ("conversation_status_changed_resolved", {"status": "resolved"})
ASSIGNED = ("conversation_updated_assignee", {"status": "pending"})
LABELLED = (
    "conversation_updated_labels",
    {"status": "pending", "labels": ["bot-paused"]},
)
REPLIED = (
    "message_created_outgoing_user",
    {"id": 9050, "conversation": {"status": "open"}},
)


@pytest.mark.parametrize(
    ("marks", "news", "cause"),
    [
        ({"status": "open"}, OPENED, ""),
        ({"status": "open"}, RESOLVED, "status_not_allowed"),
        ({"status": "resolved"}, RESOLVED, ""),
        ({"status": "resolved"}, OPENED, "status_not_allowed"),
        ({"status": "open"}, REPLIED, "human_has_taken_over"),
        ({"assignee": True}, ASSIGNED, ""),
        # The sample's agent is number 21.
        ({"assignee": 21}, ASSIGNED, ""),
        ({"assignee": 22}, ASSIGNED, "human_is_assigned"),
        ({"status": "open"}, ASSIGNED, "human_is_assigned"),
        ({"pause": True}, LABELLED, ""),
        ({"assignee": True}, LABELLED, "paused"),
        ({"pause": True}, OPENED, "status_not_allowed"),
    ],
)
def test_only_what_others_do_interrupts_the_run(
    running: Turn,
    hears: Hears,
    marks: dict[str, Any],
    news: tuple[str, dict[str, Any]],
    cause: str,
) -> None:
    name, changes = news
    Bot.objects.update(yields_to_assignee=news is ASSIGNED)
    Turn.objects.note_by_flow(running.pk, **marks)

    hears(name, **changes)

    running.refresh_from_db()
    assert running.interrupt == cause


def test_an_operators_pause_counts_whatever_the_flow_paused(
    running: Turn, hears: Hears
) -> None:
    Turn.objects.note_by_flow(running.pk, pause=True)
    Conversation.objects.update(paused=True)

    hears(*LABELLED[:1], **LABELLED[1])

    running.refresh_from_db()
    assert running.interrupt == "paused"


def test_a_late_webhook_of_an_earlier_status_does_not_interrupt(
    running: Turn, hears: Hears
) -> None:
    Turn.objects.note_by_flow(running.pk, status="open")
    Turn.objects.note_by_flow(running.pk, status="pending")

    hears("conversation_status_changed_open", status="open")

    running.refresh_from_db()
    assert running.interrupt == ""


def flow_does(turn: Turn, platforms: Platforms, hears: Hears, **marks: Any) -> None:
    """A callback as it is made: noted, changed in Chatwoot, told by a webhook."""
    assert Turn.objects.note_by_flow(turn.pk, **marks)
    status = marks.get("status")
    if status is None:
        return
    platforms.chatwoot_shows(status=status)
    hears("conversation_updated_status", status=status)


def test_the_answer_is_posted_once_although_the_flow_opened_the_conversation(
    turn: Turn, conversation: Conversation, platforms: Platforms, hears: Hears
) -> None:
    platforms.dify_answers(
        *answer_events(HELLO),
        meanwhile=lambda: flow_does(turn, platforms, hears, status="open"),
    )

    result = pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]
    assert platforms.calls("POST", "/toggle_status") == 0
    assert result.next_turn_id is None
    conversation.refresh_from_db()
    assert conversation.status == "open"
    # From here on it is the humans'.
    hears("message_created_outgoing_user", id=9050, conversation={"status": "open"})
    hears("message_created_incoming_text", id=9060, conversation={"status": "open"})
    assert WebhookEvent.objects.latest("pk").action == "ignore"
    assert Turn.objects.count() == 1
    assert len(platforms.asked) == 1


def test_a_message_that_waited_is_left_to_the_humans(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    def meanwhile() -> None:
        hears("message_created_incoming_text", id=9002)
        flow_does(turn, platforms, hears, status="open")

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)
    result = pipeline.run(turn.pk)
    assert result.next_turn_id is not None

    pipeline.run(result.next_turn_id)

    following = Turn.objects.get(pk=result.next_turn_id)
    assert ended(following) == ("skipped", "status_not_allowed")
    assert len(platforms.posted) == 1


@pytest.mark.parametrize("last", [{"id": 9001, "message_type": 0}, HUMAN])
def test_a_human_wins_whatever_the_flow_did(
    turn: Turn, platforms: Platforms, hears: Hears, last: JsonObject
) -> None:
    def meanwhile() -> None:
        flow_does(turn, platforms, hears, status="open")
        human_replied = last is HUMAN
        platforms.chatwoot_shows(
            status="open" if human_replied else "resolved", last=last
        )

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    pipeline.run(turn.pk)

    reason = "human_has_taken_over" if last is HUMAN else "status_not_allowed"
    assert ended(turn) == ("skipped", reason)
    assert platforms.posted == []


def test_a_human_who_opens_what_the_flow_set_to_pending_stops_the_answer(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    def meanwhile() -> None:
        flow_does(turn, platforms, hears, status="open")
        flow_does(turn, platforms, hears, status="pending")
        platforms.chatwoot_shows(status="open")

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "status_not_allowed")


def test_the_team_that_the_flow_chose_does_not_silence_its_answer(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(yields_to_assignee=True)
    shown: JsonObject = {
        "id": 133,
        "status": "pending",
        "meta": {"assignee": {"id": 2, "name": "Marta", "role": "agent"}},
        "last_non_activity_message": {"id": 9001, "message_type": 0},
    }

    def meanwhile() -> None:
        Turn.objects.note_by_flow(turn.pk, assignee=True)
        platforms.chatwoot_answers_reads(json=shown)

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")


@pytest.mark.parametrize("is_behind", [False, True])
def test_the_mirror_serves_where_chatwoot_cannot_be_read(
    turn: Turn, platforms: Platforms, hears: Hears, is_behind: bool
) -> None:
    ChatwootAccount.objects.update(admin_token="")

    def meanwhile() -> None:
        flow_does(turn, platforms, hears, status="open")
        if is_behind:
            # The webhook that tells of it is still on its way.
            Turn.objects.note_by_flow(turn.pk, status="pending")
        # The conversation has a team by now: a bot's read fails.
        platforms.chatwoot_answers_reads(status=500, json={"status": 500})

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert len(platforms.posted) == 1


def test_another_attempt_still_knows_what_the_flow_did(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    def fails(request: Any) -> tuple[int, dict[str, str], str]:
        flow_does(turn, platforms, hears, status="open")
        return 503, {}, "busy"

    url = "https://dify.test/v1/chat-messages"
    platforms.wire.add_callback("POST", url, callback=fails)
    platforms.dify_answers(*answer_events(HELLO))

    assert run_until_done(turn, most=3) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]


# --- Opened and set to pending again in one run ---------------------------------------


def test_opening_and_giving_back_in_one_run_answers_once(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    def meanwhile() -> None:
        flow_does(turn, platforms, hears, status="open")
        # News while it is open: it is not given back yet.
        hears("conversation_updated_labels", status="open", labels=["vip"])
        flow_does(turn, platforms, hears, status="pending")

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    result = pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert result.next_turn_id is None
    assert Turn.objects.count() == 1
    assert len(platforms.posted) == 1


def test_what_was_said_in_between_is_answered_and_nothing_older(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms, hears: Hears
) -> None:
    # An agent resolved this one last week without a word.
    old = make_turn(
        conversation,
        bot,
        status="handed_over",
        reason="dify_failed",
        last_message_id=8000,
    )
    sample = WebhookEvent.objects.get(turn=turn)
    make_event(
        bot.account,
        {**sample.payload, "id": 8000},
        conversation=conversation,
        turn=old,
        status="processed",
        action="answer",
        reason="customer_message",
    )

    def meanwhile() -> None:
        flow_does(turn, platforms, hears, status="open")
        hears("message_created_incoming_text", id=9002, conversation={"status": "open"})
        flow_does(turn, platforms, hears, status="pending")

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    result = pipeline.run(turn.pk)

    following = Turn.objects.latest("pk")
    assert result.next_turn_id == following.pk
    numbers = following.events.values_list("chatwoot_message_id", flat=True)
    assert list(numbers) == [9002]


# --- Without a further answer ---------------------------------------------------------


def test_an_empty_answer_is_none_missing_once_the_flow_has_spoken(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    platforms.dify_answers(
        *answer_events(""),
        meanwhile=lambda: flow_does(turn, platforms, hears, spoke=True),
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered_by_flow")
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 0


@pytest.mark.parametrize(
    ("status", "end"),
    [("open", "handed_over"), ("resolved", "skipped"), ("snoozed", "skipped")],
)
def test_a_silent_flow_that_let_go_of_the_conversation_is_no_failure(
    turn: Turn, platforms: Platforms, hears: Hears, status: str, end: str
) -> None:
    platforms.dify_answers(
        *answer_events(""),
        meanwhile=lambda: flow_does(turn, platforms, hears, status=status),
    )

    pipeline.run(turn.pk)

    assert ended(turn) == (end, "handed_over_by_flow")
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 0


def test_what_a_silent_flow_paused_where_nobody_sees_it_is_opened(
    turn: Turn, platforms: Platforms
) -> None:
    shown: JsonObject = {
        "id": 133,
        "status": "pending",
        "labels": ["bot-paused"],
        "last_non_activity_message": {"id": 9001, "message_type": 0},
    }

    def meanwhile() -> None:
        Turn.objects.note_by_flow(turn.pk, pause=True)
        platforms.chatwoot_answers_reads(json=shown)

    platforms.dify_answers(*answer_events(""), meanwhile=meanwhile)

    assert run_until_done(turn, most=2) == ("handed_over", "handed_over_by_flow")
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 1


def test_a_change_that_chatwoot_refused_leaves_an_empty_answer_a_failure(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(
        *answer_events(""),
        meanwhile=lambda: Turn.objects.note_by_flow(turn.pk, status="open"),
    )

    assert run_until_done(turn, most=2) == ("handed_over", "empty_answer")
    assert [post["private"] for post in platforms.posted] == [False, True]


# --- When Dify fails after the flow's callbacks ---------------------------------------

LINE, NOTE = False, True


@pytest.mark.parametrize(
    ("status", "spoke", "posts", "opened"),
    [
        # Still the bot's: the usual way.
        (None, False, [LINE, NOTE], 1),
        (None, True, [LINE, NOTE], 1),
        # With the agents already.
        ("open", False, [LINE, NOTE], 0),
        ("open", True, [NOTE], 0),
        # Closed on purpose: fine if the customer has an answer.
        ("resolved", True, [NOTE], 0),
        ("snoozed", True, [NOTE], 0),
        ("resolved", False, [LINE, NOTE], 1),
        ("snoozed", False, [LINE, NOTE], 1),
    ],
)
def test_nobody_is_left_with_silence_when_dify_fails_after_callbacks(
    turn: Turn,
    platforms: Platforms,
    hears: Hears,
    status: str | None,
    spoke: bool,
    posts: list[bool],
    opened: int,
) -> None:
    def fails(request: Any) -> tuple[int, dict[str, str], str]:
        if spoke:
            flow_does(turn, platforms, hears, spoke=True)
        if status:
            flow_does(turn, platforms, hears, status=status)
        bad = dify_error(400, "provider_quota_exceeded", "No quota left")
        return bad["status"], {}, json.dumps(bad["json"])

    url = "https://dify.test/v1/chat-messages"
    platforms.wire.add_callback("POST", url, callback=fails)

    assert run_until_done(turn, most=3) == ("handed_over", "dify_failed")
    assert [post["private"] for post in platforms.posted] == posts
    assert platforms.calls("POST", "/toggle_status") == opened


def test_a_flow_that_has_spoken_is_not_asked_again(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    def fails(request: Any) -> tuple[int, dict[str, str], str]:
        flow_does(turn, platforms, hears, spoke=True)
        return 503, {}, "busy"

    url = "https://dify.test/v1/chat-messages"
    platforms.wire.add_callback("POST", url, callback=fails)

    assert run_until_done(turn, most=3) == ("handed_over", "dify_failed")
    assert platforms.calls("POST", "/chat-messages") == 1
    assert "was not asked again" in str(platforms.posted[-1]["content"])


def test_an_answer_that_was_stored_is_posted_although_the_flow_has_spoken(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=429, body="Retry later\n")
    platforms.dify_answers(
        *answer_events(HELLO),
        meanwhile=lambda: flow_does(turn, platforms, hears, spoke=True),
    )
    run_until_done(turn, most=1)
    platforms.chatwoot_takes_messages()

    assert run_until_done(turn, most=2) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]
    assert PipelineRun.objects.count() == 1


def test_a_new_message_does_not_restart_a_flow_that_has_spoken(
    running: Turn, hears: Hears
) -> None:
    Bot.objects.update(on_new_message="restart")
    Turn.objects.note_by_flow(running.pk, spoke=True)

    hears("message_created_incoming_text", id=9002)

    running.refresh_from_db()
    assert (running.interrupt, running.last_message_id) == ("", 9001)
    assert WebhookEvent.objects.get(chatwoot_message_id=9002).turn is None


# --- The flow's own messages come back as webhooks ------------------------------------


@pytest.mark.parametrize("sender", ["agent_bot", None])
def test_a_message_by_callback_is_the_bots_own(
    running: Turn,
    conversation: Conversation,
    platforms: Platforms,
    hears: Hears,
    sender: str | None,
) -> None:
    changes: dict[str, Any] = {} if sender else {"sender": None}
    hears(
        "message_created_outgoing_agent_bot",
        id=9050,
        content="One moment, please.",
        content_attributes={"bridge_message_id": str(uuid4())},
        conversation={"id": 133, "status": "pending"},
        **changes,
    )

    assert WebhookEvent.objects.latest("pk").reason == "own_message"
    running.refresh_from_db()
    assert running.interrupt == ""
    conversation.refresh_from_db()
    assert conversation.last_human_message_id == 0


def test_a_message_by_callback_hides_no_answer_in_the_fresh_check(
    turn: Turn, platforms: Platforms, hears: Hears
) -> None:
    mine: JsonObject = {
        "id": 9050,
        "message_type": 1,
        "content": "One moment, please.",
        "content_attributes": {"bridge_message_id": str(uuid4())},
        "sender": {"id": 5, "type": "agent_bot"},
    }
    platforms.chatwoot_has_history(mine)

    def meanwhile() -> None:
        flow_does(turn, platforms, hears, spoke=True)
        platforms.chatwoot_shows(last=mine)

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert OutgoingMessage.objects.count() == len(platforms.posted) == 1


def test_a_note_by_callback_with_the_administrators_token_is_no_reply(
    running: Turn, conversation: Conversation, hears: Hears
) -> None:
    hears("message_created_private_note", id=9050, conversation={"status": "pending"})

    running.refresh_from_db()
    assert running.interrupt == ""
    conversation.refresh_from_db()
    assert conversation.last_human_message_id == 0
