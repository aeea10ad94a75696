"""Every sample of Chatwoot's webhooks with its exact decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from chatwoot_api.payloads import ChatwootEvent, parse_event
from conversations import mirror
from conversations.decisions import (
    Decision,
    Situation,
    decide,
    is_human_reply,
    is_settled_by_flow,
    marks_of,
    why_no_longer,
)
from conversations.models import Action, Bot, Conversation, Reason
from dify_api.models import DifyApp

# Shortly after the samples were written.
NOW = datetime(2026, 6, 16, 9, 10, tzinfo=UTC)
SAMPLES = Path(__file__).parents[2] / "chatwoot_api" / "tests" / "payloads"

EXPECTED: dict[str, Reason] = {
    "automation_event_conversation_created": Reason.AUTOMATION_EVENT,
    "contact_created": Reason.CONTACT_EVENT,
    "contact_updated": Reason.CONTACT_EVENT,
    "contact_updated_last_activity_only": Reason.CONTACT_EVENT,
    "conversation_created": Reason.CONVERSATION_EVENT,
    "conversation_opened": Reason.CONVERSATION_EVENT,
    "conversation_resolved": Reason.CONVERSATION_EVENT,
    "conversation_status_changed_open": Reason.CONVERSATION_EVENT,
    "conversation_status_changed_pending_after_reopen": Reason.CONVERSATION_EVENT,
    "conversation_status_changed_resolved": Reason.CONVERSATION_EVENT,
    "conversation_status_changed_snoozed": Reason.CONVERSATION_EVENT,
    "conversation_typing_off_agent_bot": Reason.TYPING,
    "conversation_typing_on_contact": Reason.TYPING,
    "conversation_typing_on_user": Reason.TYPING,
    "conversation_updated_assignee": Reason.CONVERSATION_EVENT,
    "conversation_updated_assignee_agent_bot": Reason.CONVERSATION_EVENT,
    "conversation_updated_custom_attributes": Reason.CONVERSATION_EVENT,
    "conversation_updated_labels": Reason.CONVERSATION_EVENT,
    "conversation_updated_status": Reason.CONVERSATION_EVENT,
    "conversation_updated_team": Reason.CONVERSATION_EVENT,
    "conversation_updated_team_with_auto_assigned_agent": Reason.CONVERSATION_EVENT,
    "conversation_updated_waiting_since": Reason.CONVERSATION_EVENT,
    "macro_executed": Reason.AUTOMATION_EVENT,
    "message_created_incoming_audio": Reason.CUSTOMER_MESSAGE,
    "message_created_incoming_image_null_content": Reason.CUSTOMER_MESSAGE,
    "message_created_incoming_text": Reason.CUSTOMER_MESSAGE,
    "message_created_incoming_text_bot_owned": Reason.CUSTOMER_MESSAGE,
    "message_created_incoming_while_open_with_human": Reason.STATUS_NOT_ALLOWED,
    "message_created_outgoing_agent_bot": Reason.OWN_MESSAGE,
    "message_created_outgoing_automation_null_sender": Reason.AUTOMATION_MESSAGE,
    "message_created_outgoing_input_select": Reason.OWN_MESSAGE,
    "message_created_outgoing_user": Reason.HUMAN_REPLY,
    "message_created_outgoing_user_while_pending": Reason.HUMAN_REPLY,
    "message_created_private_note": Reason.PRIVATE_NOTE,
    "message_created_template_email_collect_text": Reason.WIDGET_MESSAGE,
    "message_created_template_greeting": Reason.WIDGET_MESSAGE,
    "message_created_template_input_csat": Reason.WIDGET_MESSAGE,
    "message_created_template_input_email": Reason.WIDGET_MESSAGE,
    "message_updated_csat_submitted": Reason.FEEDBACK,
    "message_updated_deleted": Reason.MESSAGE_DELETED,
    "message_updated_form_submitted": Reason.CUSTOMER_CHOICE,
    "message_updated_input_email_submitted": Reason.MESSAGE_UPDATED,
    "message_updated_input_select_submitted": Reason.CUSTOMER_CHOICE,
    "message_updated_read_receipt": Reason.MESSAGE_UPDATED,
    "webwidget_triggered": Reason.WIDGET_OPENED,
    "webwidget_triggered_existing_conversation": Reason.WIDGET_OPENED,
}


def a_bot(**overrides: Any) -> Bot:
    return Bot(**{"dify_app": DifyApp(), **overrides})


def decided(
    event: ChatwootEvent, *, bot: Bot | None = None, now: datetime = NOW, **known: Any
) -> Decision:
    """Decide with a mirror that just learned of the event, as `processing` does."""
    conversation = None
    if event.conversation is not None:
        conversation = Conversation()
        mirror.take(event, to=conversation)
        for name, value in known.items():
            setattr(conversation, name, value)
    return decide(
        event,
        conversation=conversation,
        bot=bot or a_bot(),
        known=None,
        now=now,
    )


def test_every_sample_has_an_expectation() -> None:
    samples = {path.stem for path in SAMPLES.glob("*.json")} - {"signature_vector"}

    assert samples == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_decides_each_sample(name: str, payload: Callable[[str], JsonObject]) -> None:
    decision = decided(parse_event(payload(name)))

    answers = EXPECTED[name] in (Reason.CUSTOMER_MESSAGE, Reason.CUSTOMER_CHOICE)
    action = Action.ANSWER if answers else Action.IGNORE
    assert decision == Decision(action, EXPECTED[name])


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


@pytest.mark.parametrize("status", ["open", "resolved", "snoozed"])
def test_stays_silent_in_other_statuses(incoming: JsonObject, status: str) -> None:
    assert decided(parse_event(incoming), status=status).reason == (
        Reason.STATUS_NOT_ALLOWED
    )


def test_speaks_in_the_statuses_of_the_bot(incoming: JsonObject) -> None:
    bot = a_bot(speak_in_statuses=["open"])

    assert decided(parse_event(incoming), bot=bot, status="open").action == (
        Action.ANSWER
    )
    assert decided(parse_event(incoming), bot=bot, status="pending").reason == (
        Reason.STATUS_NOT_ALLOWED
    )


def test_an_assignee_of_last_week_is_no_takeover(incoming: JsonObject) -> None:
    decision = decided(
        parse_event(incoming), assignee_kind="user", chatwoot_assignee_id=21
    )

    assert decision.action == Action.ANSWER


def test_a_human_reply_after_the_message_is_a_takeover(incoming: JsonObject) -> None:
    assert decided(parse_event(incoming), last_human_message_id=9002).reason == (
        Reason.HUMAN_HAS_TAKEN_OVER
    )


def test_a_human_reply_before_the_message_is_none(incoming: JsonObject) -> None:
    assert decided(parse_event(incoming), last_human_message_id=9000).action == (
        Action.ANSWER
    )


def test_hands_over_what_a_switched_off_bot_would_leave_unseen(
    incoming: JsonObject,
) -> None:
    assert decided(parse_event(incoming), bot=a_bot(enabled=False)) == Decision(
        Action.HAND_OVER, Reason.BOT_DISABLED
    )


def test_hands_over_without_a_dify_app(incoming: JsonObject) -> None:
    assert decided(parse_event(incoming), bot=Bot()) == Decision(
        Action.HAND_OVER, Reason.BOT_HAS_NO_APP
    )


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("open", {"speak_in_statuses": ["pending", "open"]}),
        ("pending", {"reply_as": "private_note"}),
    ],
)
def test_a_switched_off_bot_that_hides_nobody_hands_nothing_over(
    incoming: JsonObject, status: str, fields: dict[str, Any]
) -> None:
    bot = a_bot(enabled=False, **fields)

    assert decided(parse_event(incoming), bot=bot, status=status) == Decision(
        Action.IGNORE, Reason.BOT_DISABLED
    )


def test_a_switched_off_bot_leaves_other_conversations_alone(
    incoming: JsonObject,
) -> None:
    bot = a_bot(enabled=False)

    assert decided(parse_event(incoming), bot=bot, status="open") == Decision(
        Action.IGNORE, Reason.STATUS_NOT_ALLOWED
    )


def test_needs_a_bot(incoming: JsonObject) -> None:
    event = parse_event(incoming)
    conversation = Conversation(status="pending")

    decision = decide(event, conversation=conversation, bot=None, known=None, now=NOW)

    assert decision == Decision(Action.IGNORE, Reason.NO_BOT_FOR_INBOX)


@pytest.mark.parametrize("known", [Reason.DUPLICATE_MESSAGE, Reason.MESSAGE_DELETED])
def test_does_not_answer_what_an_earlier_event_settled(
    incoming: JsonObject, known: Reason
) -> None:
    decision = decide(
        parse_event(incoming),
        conversation=Conversation(status="pending"),
        bot=a_bot(),
        known=known,
        now=NOW,
    )

    assert decision == Decision(Action.IGNORE, known)


@pytest.mark.parametrize(
    "paused",
    [
        {"paused": True},
        {"labels": ["vip", "bot-paused"]},
        {"custom_attributes": {"bot_paused": True}},
        {"custom_attributes": {"bot_paused": "yes"}},
    ],
)
def test_a_paused_bot_leaves_what_only_it_sees_to_the_humans(
    incoming: JsonObject, paused: dict[str, Any]
) -> None:
    event = parse_event(incoming)

    assert decided(event, **paused) == Decision(Action.HAND_OVER, Reason.PAUSED)
    open_bot = a_bot(speak_in_statuses=["open"])
    assert decided(event, bot=open_bot, status="open", **paused) == Decision(
        Action.IGNORE, Reason.PAUSED
    )


@pytest.mark.parametrize("value", [False, None, "", "false", "None", " 0 ", "off"])
def test_an_attribute_that_says_no_does_not_pause(
    incoming: JsonObject, value: object
) -> None:
    event = parse_event(incoming)

    decision = decided(event, custom_attributes={"bot_paused": value})

    assert decision.action == Action.ANSWER


def test_no_label_pauses_a_bot_that_names_none(incoming: JsonObject) -> None:
    bot = a_bot(pause_label="", pause_attribute="")

    decision = decided(parse_event(incoming), bot=bot, labels=["", "bot-paused"])

    assert decision.action == Action.ANSWER


@pytest.mark.parametrize(
    ("yields", "kind", "action"),
    [
        (True, "user", Action.HAND_OVER),
        (True, "agent_bot", Action.ANSWER),
        (False, "user", Action.ANSWER),
    ],
)
def test_yields_to_an_assigned_human_if_told_so(
    incoming: JsonObject, yields: bool, kind: str, action: Action
) -> None:
    bot = a_bot(yields_to_assignee=yields)

    decision = decided(parse_event(incoming), bot=bot, assignee_kind=kind)

    assert decision.action == action


def test_leaves_blocked_contacts_alone(incoming: JsonObject) -> None:
    assert decided(parse_event(incoming), contact_blocked=True).reason == (
        Reason.CONTACT_BLOCKED
    )


@pytest.mark.parametrize(
    ("age", "decision"),
    [
        (
            timedelta(hours=5, minutes=59),
            Decision(Action.ANSWER, Reason.CUSTOMER_MESSAGE),
        ),
        (timedelta(hours=6, minutes=1), Decision(Action.HAND_OVER, Reason.TOO_OLD)),
    ],
)
def test_answers_up_to_six_hours_late(
    incoming: JsonObject, age: timedelta, decision: Decision
) -> None:
    written = datetime(2026, 6, 16, 9, 0, 0, 482_000, tzinfo=UTC)

    assert decided(parse_event(incoming), now=written + age) == decision


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_ignores_a_message_with_nothing_in_it(
    incoming: JsonObject, content: str | None
) -> None:
    incoming["content"] = content

    assert decided(parse_event(incoming)).reason == Reason.EMPTY_MESSAGE


def test_a_reply_from_a_phone_is_a_humans(
    payload: Callable[[str], JsonObject],
) -> None:
    echo = payload("message_created_outgoing_user")
    echo["sender"] = None

    assert decided(parse_event(echo)).reason == Reason.HUMAN_REPLY


def test_our_own_message_without_a_sender_is_not_a_humans(
    payload: Callable[[str], JsonObject],
) -> None:
    own = payload("message_created_outgoing_user")
    own["sender"], own["content_attributes"] = None, {"bridge_message_id": "x"}
    event = parse_event(own)

    assert event.message is not None
    assert not is_human_reply(event.message)


def test_another_ais_message_is_not_a_humans(
    payload: Callable[[str], JsonObject],
) -> None:
    captain = payload("message_created_outgoing_user")
    captain["sender"] = {"id": 1, "name": "AI", "type": "Captain::Assistant"}

    assert decided(parse_event(captain)).reason == Reason.OTHER_BOT


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"status": "open"}, Reason.STATUS_NOT_ALLOWED),
        ({"human_message_id": 11}, Reason.HUMAN_HAS_TAKEN_OVER),
        ({"human_message_id": 9}, None),
        ({"paused": True}, Reason.PAUSED),
        # What is no longer the bot's is not the bot's, paused or not.
        ({"paused": True, "status": "open"}, Reason.STATUS_NOT_ALLOWED),
    ],
)
def test_says_why_a_turn_may_no_longer_be_answered(
    facts: dict[str, Any], reason: Reason | None
) -> None:
    known: dict[str, Any] = {
        "status": "pending",
        "labels": (),
        "custom_attributes": {},
        "assignee_kind": "user",
        "paused": False,
        "human_message_id": 0,
    }
    situation = Situation(**{**known, **facts})

    assert why_no_longer(situation, turn_message_id=10, bot=a_bot()) == reason


MARKS: JsonObject = {
    "status": "pending",
    "statuses": ["open", "pending"],
    "assignee": True,
    "pause": True,
}


@pytest.mark.parametrize(
    ("facts", "fresh", "by_webhook"),
    [
        ({"status": "pending", "assignee_kind": "user"}, None, None),
        ({"status": "pending", "labels": ("bot-paused",)}, None, None),
        # Set first, and replaced since: now somebody else has set it again.
        ({"status": "open"}, Reason.STATUS_NOT_ALLOWED, None),
        (
            {"status": "resolved"},
            Reason.STATUS_NOT_ALLOWED,
            Reason.STATUS_NOT_ALLOWED,
        ),
        ({"paused": True}, Reason.PAUSED, Reason.PAUSED),
        (
            {"human_message_id": 11},
            Reason.HUMAN_HAS_TAKEN_OVER,
            Reason.HUMAN_HAS_TAKEN_OVER,
        ),
    ],
)
def test_what_the_flow_did_takes_nothing_from_its_turn(
    facts: dict[str, Any], fresh: Reason | None, by_webhook: Reason | None
) -> None:
    known: dict[str, Any] = {
        "status": "pending",
        "labels": (),
        "custom_attributes": {},
        "assignee_kind": "",
        "paused": False,
        "human_message_id": 0,
    }
    situation = Situation(**{**known, **facts})
    bot = a_bot(yields_to_assignee=True)

    found = [
        why_no_longer(situation, turn_message_id=10, bot=bot, marks=marks)
        for marks in (marks_of(MARKS), marks_of(MARKS, by_webhook=True))
    ]

    assert found == [fresh, by_webhook]


@pytest.mark.parametrize(
    ("by_flow", "agent_id", "fresh", "by_webhook"),
    [
        ({"assignee": 2, "assignees": [2]}, 2, None, None),
        (
            {"assignee": 2, "assignees": [2]},
            3,
            "human_is_assigned",
            "human_is_assigned",
        ),
        # Given to another since; then to nobody: whoever has it now took it.
        ({"assignee": 3, "assignees": [2, 3]}, 2, "human_is_assigned", None),
        ({"assignee": 0, "assignees": [2, 0]}, 2, "human_is_assigned", None),
        # A team brings whom it likes, and true is not the agent number 1.
        ({"assignee": True, "assignees": [True]}, 7, None, None),
        (
            {"assignee": 1, "assignees": [1]},
            7,
            "human_is_assigned",
            "human_is_assigned",
        ),
        ({}, 7, "human_is_assigned", "human_is_assigned"),
    ],
)
def test_only_the_agent_whom_the_flow_chose_is_no_takeover(
    by_flow: JsonObject, agent_id: int, fresh: str | None, by_webhook: str | None
) -> None:
    situation = Situation(
        status="pending",
        labels=(),
        custom_attributes={},
        assignee_kind="user",
        assignee_id=agent_id,
        paused=False,
        human_message_id=0,
    )
    bot = a_bot(yields_to_assignee=True)

    found = [
        why_no_longer(situation, turn_message_id=10, bot=bot, marks=marks)
        for marks in (marks_of(by_flow), marks_of(by_flow, by_webhook=True))
    ]

    assert found == [fresh, by_webhook]


@pytest.mark.parametrize(
    ("left", "status", "spoke", "settled"),
    [
        (None, "pending", True, False),
        (Reason.PAUSED, "pending", True, False),
        (Reason.STATUS_NOT_ALLOWED, "open", False, True),
        (Reason.STATUS_NOT_ALLOWED, "resolved", False, False),
        (Reason.STATUS_NOT_ALLOWED, "resolved", True, True),
        (Reason.STATUS_NOT_ALLOWED, "snoozed", True, True),
        # A bot that speaks in "open" alone, whose flow hid the conversation.
        (Reason.STATUS_NOT_ALLOWED, "pending", True, False),
    ],
)
def test_a_handover_leaves_alone_what_the_flow_has_settled(
    left: Reason | None, status: str, spoke: bool, settled: bool
) -> None:
    assert is_settled_by_flow(left, status=status, spoke=spoke) is settled
