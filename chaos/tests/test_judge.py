"""The judge notices what it is there to notice, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.judge import GIVEN_UP_TEXT, Fate, Judgement, judge
from chaos.states import (
    Author,
    Conversation,
    Event,
    Intent,
    Message,
    Records,
    Sent,
    Turn,
)
from chaos.takeovers import Rules

NUMBER = 7
TOKEN, LATER_TOKEN = "#c1m1#", "#c1m2#"
ASKED = Message(id=10, text=f"Hello {TOKEN}", author=Author.CUSTOMER, created_at=100.0)
ANSWER = Message(
    id=20,
    text=f"You asked: Hello {TOKEN}.",
    author=Author.BOT,
    created_at=110.0,
    arrived_at=110.0,
    conversation_read_at=109.5,
)
LINE = replace(ANSWER, text="Sorry, I cannot answer right now.")
NOTE = Message(id=21, text="The bot could not answer", author=Author.BOT, private=True)
SENT = [Sent(token=TOKEN, conversation_id=NUMBER, message_id=ASKED.id)]
EVENT = Event(
    message_id=ASKED.id,
    status="processed",
    action="answer",
    reason="customer_message",
    turn_id=1,
)
ANSWERED = Turn(
    id=1,
    conversation_id=NUMBER,
    status="answered",
    reason="answered",
    last_message_id=ASKED.id,
)
HANDED_OVER = replace(ANSWERED, status="handed_over", reason="dify_failed")
FAILURE = (
    Intent(turn_id=1, part="failure_text", message_id=LINE.id),
    Intent(turn_id=1, part="failure_note", message_id=NOTE.id),
)


def judged(
    *messages: Message,
    status: str = "pending",
    turn: Turn | None = ANSWERED,
    event: Event | None = EVENT,
    intents: tuple[Intent, ...] = (),
    rules: Rules | None = None,
) -> Judgement:
    conversation = Conversation(id=NUMBER, status=status, messages=messages)
    records = Records(
        events=(event,) if event else (),
        turns={turn.id: turn} if turn else {},
        intents=intents,
    )
    return judge([conversation], sent=SENT, records=records, rules=rules)


def human(moment: float, *, number: int = 15) -> Message:
    return Message(id=number, text="Marta here", author=Author.HUMAN, created_at=moment)


def line_of(text: str, moment: float) -> Message:
    return Message(id=15, text=text, author=Author.PLATFORM, created_at=moment)


def test_an_answer_keeps_every_promise() -> None:
    judgement = judged(ASKED, ANSWER)

    assert judgement == Judgement(fates={TOKEN: Fate.ANSWERED})


def test_one_answer_to_two_messages_keeps_every_promise() -> None:
    also = replace(ASKED, id=11, text=f"Hello {LATER_TOKEN}")
    both = replace(ANSWER, text=f"{TOKEN} and {LATER_TOKEN}")
    sent = [*SENT, Sent(token=LATER_TOKEN, conversation_id=NUMBER, message_id=11)]
    conversation = Conversation(NUMBER, "pending", (ASKED, also, both))
    records = Records(
        events=(EVENT, replace(EVENT, message_id=11)), turns={1: ANSWERED}
    )

    judgement = judge([conversation], sent=sent, records=records)

    assert judgement == Judgement(
        fates={TOKEN: Fate.ANSWERED, LATER_TOKEN: Fate.ANSWERED}
    )


# Lost.


def test_a_webhook_that_was_never_stored_is_a_lost_answer_and_silence() -> None:
    judgement = judged(ASKED, event=None, turn=None)

    assert judgement.fates == {TOKEN: Fate.LOST}
    assert judgement.lost == (
        "conversation 7 #c1m1#: the bridge never stored its webhook",
    )
    assert len(judgement.silent) == 1


def test_an_answer_that_only_the_bridge_believes_in_is_lost() -> None:
    judgement = judged(ASKED, turn=ANSWERED)

    assert judgement.lost == ("conversation 7 #c1m1#: turn 1 is answered (answered)",)
    assert judgement.silent == (
        "conversation 7 'Hello #c1m1#': pending, unanswered; answered",
    )


@pytest.mark.parametrize("status", ["collecting", "running", "retrying", "unknown"])
def test_an_unfinished_turn_is_lost_but_not_silent(status: str) -> None:
    judgement = judged(ASKED, turn=replace(ANSWERED, status=status, reason=""))

    assert judgement.count(Fate.LOST) == 1
    assert judgement.silent == ()


def test_an_undecided_event_is_lost() -> None:
    waiting = Event(message_id=ASKED.id, status="received")

    assert judged(ASKED, event=waiting, turn=None).count(Fate.LOST) == 1


def test_a_turn_that_failed_is_lost() -> None:
    failed = replace(ANSWERED, status="failed", reason="chatwoot_failed")

    assert judged(ASKED, turn=failed).count(Fate.LOST) == 1


def test_a_conversation_that_is_gone_loses_its_messages() -> None:
    judgement = judge([], sent=SENT, records=Records())

    assert judgement.lost == ("conversation 7 #c1m1#: the conversation is gone",)


# Handed over, skipped, given up.


def test_a_handover_with_line_note_and_status_keeps_every_promise() -> None:
    judgement = judged(
        ASKED, LINE, NOTE, status="open", turn=HANDED_OVER, intents=FAILURE
    )

    assert judgement == Judgement(fates={TOKEN: Fate.HANDED_OVER})


@pytest.mark.parametrize(
    ("messages", "status"),
    [((ASKED, LINE), "open"), ((ASKED, LINE, NOTE), "pending")],
    ids=["without a note", "still pending"],
)
def test_half_a_handover_is_lost(messages: tuple[Message, ...], status: str) -> None:
    judgement = judged(*messages, status=status, turn=HANDED_OVER, intents=FAILURE)

    assert judgement.count(Fate.LOST) == 1
    assert len(judgement.silent) == (status == "pending")


def test_a_handover_that_a_human_gave_back_was_one_all_the_same() -> None:
    back = replace(line_of("Conversation was marked as pending by Marta", 120.0), id=25)
    again = Message(id=30, text=f"Hello {LATER_TOKEN}", author=Author.CUSTOMER)
    answer = replace(ANSWER, id=31, text=LATER_TOKEN)

    judgement = judged(
        *(ASKED, LINE, NOTE, back, again, answer), turn=HANDED_OVER, intents=FAILURE
    )

    assert judgement == Judgement(fates={TOKEN: Fate.HANDED_OVER})


def test_a_skipped_turn_in_an_open_conversation_is_no_silence() -> None:
    skipped = replace(ANSWERED, status="skipped", reason="status_not_allowed")

    judgement = judged(ASKED, status="open", turn=skipped)

    assert judgement == Judgement(fates={TOKEN: Fate.SKIPPED})


def test_a_skipped_turn_in_a_pending_conversation_is_silence() -> None:
    skipped = replace(ANSWERED, status="skipped", reason="status_not_allowed")

    judgement = judged(ASKED, turn=skipped)

    assert judgement.count(Fate.SKIPPED) == 1
    assert judgement.silent == (
        "conversation 7 'Hello #c1m1#': pending, unanswered; customer_message",
    )


@pytest.mark.parametrize("reason", ["paused", "human_is_assigned", "message_deleted"])
def test_silence_that_somebody_wants_is_no_silence(reason: str) -> None:
    ignored = Event(message_id=10, status="processed", action="ignore", reason=reason)

    judgement = judged(ASKED, event=ignored, turn=None)

    assert judgement == Judgement(fates={TOKEN: Fate.SKIPPED})


def test_a_human_who_answered_leaves_nobody_in_silence() -> None:
    skipped = replace(ANSWERED, status="skipped", reason="human_has_taken_over")

    assert judged(ASKED, human(105.0), turn=skipped).silent == ()


def test_a_claimed_human_who_never_answered_is_silence() -> None:
    skipped = replace(ANSWERED, status="skipped", reason="human_has_taken_over")

    assert len(judged(ASKED, turn=skipped).silent) == 1


def test_the_second_delivery_of_a_message_does_not_decide() -> None:
    again = Event(10, status="processed", action="ignore", reason="duplicate_message")
    conversation = Conversation(NUMBER, "pending", (ASKED,))

    only = judge([conversation], sent=SENT, records=Records(events=(again,)))
    beside = judge(
        [replace(conversation, status="open")],
        sent=SENT,
        records=Records(
            events=(again, EVENT),
            turns={1: replace(ANSWERED, status="skipped", reason="empty_answer")},
        ),
    )

    assert only.count(Fate.LOST) == 1
    assert beside.count(Fate.SKIPPED) == 1


def test_what_chatwoot_gave_up_is_chatwoots() -> None:
    line = line_of(f"Conversation was marked open by system {GIVEN_UP_TEXT}.", 101.0)

    opened = judged(ASKED, line, status="open", event=None, turn=None)
    pending = judged(ASKED, line, status="pending", event=None, turn=None)

    assert opened == Judgement(fates={TOKEN: Fate.GIVEN_UP})
    assert pending.count(Fate.LOST) == 1


# Double.


def test_the_same_answer_twice_is_double() -> None:
    judgement = judged(ASKED, ANSWER, replace(ANSWER, id=22))

    assert judgement.double == ("conversation 7 #c1m1#: answered 2 times",)


def test_a_message_answered_alone_and_again_with_the_next_is_double() -> None:
    both = replace(ANSWER, id=22, text=f"{TOKEN} and {LATER_TOKEN}")

    assert len(judged(ASKED, ANSWER, both).double) == 1


@pytest.mark.parametrize("again", [LINE, NOTE], ids=["line", "note"])
def test_a_second_line_or_note_for_one_turn_is_double(again: Message) -> None:
    messages = (ASKED, LINE, NOTE, replace(again, id=30))

    judgement = judged(*messages, status="open", turn=HANDED_OVER, intents=FAILURE)

    assert len(judgement.double) == 1
    assert "2 × failure_" in judgement.double[0]


def test_an_answer_and_a_handover_for_the_same_message_is_double() -> None:
    messages = (ASKED, ANSWER, replace(LINE, id=23), replace(NOTE, id=24))

    judgement = judged(*messages, status="open", turn=HANDED_OVER, intents=FAILURE)

    assert judgement.double == (
        "conversation 7 #c1m1#: answered, and handed over as unanswered",
    )


# Over a human.


@pytest.mark.parametrize(
    ("replied_at", "over", "crossed"),
    [(109.4, 1, 0), (109.6, 0, 1), (107.0, 1, 0)],
    ids=["seen by the last look", "after the last look", "long before"],
)
def test_an_answer_after_a_humans_reply(
    replied_at: float, over: int, crossed: int
) -> None:
    judgement = judged(ASKED, human(replied_at), ANSWER)

    assert len(judgement.over_human) == over
    assert len(judgement.in_flight) == crossed


def test_a_late_answer_is_over_a_human_though_nobody_looked() -> None:
    blind = replace(ANSWER, conversation_read_at=90.0)

    assert len(judged(ASKED, human(107.9), blind).over_human) == 1
    assert len(judged(ASKED, human(108.1), blind).in_flight) == 1


def test_an_answer_to_what_was_asked_after_the_human_is_fine() -> None:
    earlier = human(99.0, number=9)

    assert judged(earlier, ASKED, ANSWER) == judged(ASKED, ANSWER)


def test_a_note_of_a_human_is_no_takeover() -> None:
    note = replace(human(105.0), private=True)

    assert judged(ASKED, note, ANSWER).over_human == ()


def test_a_failure_line_over_a_human_counts_by_its_turn() -> None:
    asked_again = replace(ASKED, id=16, text=f"Hello {LATER_TOKEN}")

    judgement = judged(
        *(ASKED, human(105.0), asked_again, LINE, NOTE),
        status="open",
        turn=HANDED_OVER,
        intents=FAILURE,
    )

    assert len(judgement.over_human) == 1


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("Conversation was reopened by Marta Keller", 1),
        ("Conversation was marked resolved by Marta Keller", 1),
        ("Conversation was snoozed by Marta Keller", 1),
        ("Conversation was reopened by Sandbox Bot", 0),
        ("System reopened the conversation due to a new incoming message.", 0),
    ],
)
def test_an_answer_after_the_status_was_taken_away(text: str, over: int) -> None:
    rules = Rules(bot_names=frozenset({"Sandbox Bot"}))

    judgement = judged(ASKED, line_of(text, 105.0), ANSWER, rules=rules)

    assert len(judgement.over_human) == over


def test_a_conversation_given_back_is_the_bots_again() -> None:
    taken = replace(line_of("Conversation was reopened by Marta", 90.0), id=5)
    back = replace(line_of("Conversation was marked as pending by Marta", 95.0), id=6)

    assert len(judged(taken, ASKED, ANSWER).over_human) == 1
    assert judged(taken, back, ASKED, ANSWER).over_human == ()


def test_a_customer_who_writes_again_takes_a_resolved_conversation_back() -> None:
    text = "Conversation was marked resolved by Marta"
    resolved = replace(line_of(text, 90.0), id=5)

    assert judged(resolved, ASKED, ANSWER).over_human == ()


@pytest.mark.parametrize(("counts", "over"), [(True, 1), (False, 0)])
def test_an_assigned_human_counts_when_the_bot_yields_to_one(
    counts: bool, over: int
) -> None:
    rules = Rules(assigning_counts=counts)
    assigned = line_of("Marta Keller self-assigned this conversation", 105.0)

    assert len(judged(ASKED, assigned, ANSWER, rules=rules).over_human) == over
