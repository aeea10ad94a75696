"""What became of each customer's message, and which promises were broken. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from chaos.states import (
    UNFINISHED,
    Author,
    Conversation,
    Event,
    Message,
    Records,
    Sent,
    Turn,
)
from chaos.takeovers import LAST_REQUEST_S, Rules, takeover_before

# Chatwoot's own line when a bot's webhook failed for good.
GIVEN_UP_TEXT = "due to an error with the agent bot"
# Chatwoot's line when a human returns a conversation to its bot.
GIVEN_BACK_TEXT = "Conversation was marked as pending by "
# Reasons that mean that somebody wants the bot to be silent here.
WANTED_SILENCE = frozenset(
    {"paused", "human_is_assigned", "contact_blocked", "erased", "message_deleted"}
)
# Another delivery of the same message says what became of it.
DUPLICATE = "duplicate_message"
FAILURE_PARTS = ("failure_text", "failure_note")


class Fate(StrEnum):
    """What became of one customer's message."""

    ANSWERED = "answered"
    HANDED_OVER = "handed over"
    SKIPPED = "skipped"
    GIVEN_UP = "given up by Chatwoot"
    LOST = "lost"


@dataclass(frozen=True)
class Judgement:
    """The fate of every message and, in words, every promise that was broken."""

    fates: Mapping[str, Fate] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    double: tuple[str, ...] = ()
    over_human: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    # A human's reply crossed the answer on its way: nobody could have known.
    in_flight: tuple[str, ...] = ()

    def count(self, fate: Fate) -> int:
        """How many messages had that fate."""
        return Counter(self.fates.values())[fate]


def judge(
    conversations: Iterable[Conversation],
    *,
    sent: Iterable[Sent],
    records: Records,
    rules: Rules | None = None,
) -> Judgement:
    """Judge the conversations once everything is quiet, or nobody waits any longer."""
    books = _Books(records)
    known = {conversation.id: conversation for conversation in conversations}
    fates: dict[str, Fate] = {}
    lost: list[str] = []
    for one in sent:
        fate, why = _fate(one, conversation=known.get(one.conversation_id), books=books)
        fates[one.token] = fate
        if fate is Fate.LOST:
            lost.append(f"{_place(one.conversation_id)} {one.token}: {why}")
    double: list[str] = []
    over: list[str] = []
    crossed: list[str] = []
    silent: list[str] = []
    for conversation in known.values():
        double += _doubles(conversation, books=books)
        silent += _silences(conversation, books=books)
        for is_over, text in _over(conversation, books=books, rules=rules or Rules()):
            (over if is_over else crossed).append(text)
    return Judgement(
        fates=fates,
        lost=tuple(lost),
        double=tuple(double),
        over_human=tuple(over),
        silent=tuple(silent),
        in_flight=tuple(crossed),
    )


class _Books:
    """The bridge's rows, found by what is asked of them."""

    def __init__(self, records: Records) -> None:
        self._events: dict[int, list[Event]] = {}
        for event in records.events:
            self._events.setdefault(event.message_id, []).append(event)
        self.turns = records.turns
        self.intents = records.intents
        self._turn_of_post = {
            intent.message_id: intent.turn_id for intent in records.intents
        }

    def event_of(self, message_id: int) -> Event | None:
        """Return the event that decides: one with a turn, else one with a reason."""
        found = self._events.get(message_id, [])
        ranked = sorted(found, key=lambda e: (e.turn_id is None, e.reason == DUPLICATE))
        return ranked[0] if ranked else None

    def turn_of(self, message_id: int) -> Turn | None:
        """Return the turn that a customer's message belongs to."""
        event = self.event_of(message_id)
        return self.turns.get(event.turn_id or 0) if event else None

    def turn_of_post(self, message_id: int) -> Turn | None:
        """Return the turn for which the bridge knows that it posted that message."""
        return self.turns.get(self._turn_of_post.get(message_id, 0))

    def intended(self, conversation_id: int, *, part: str) -> int:
        """How often the bridge meant to post such a message there."""
        return sum(
            1
            for intent in self.intents
            if intent.part == part
            and intent.turn_id in self.turns
            and self.turns[intent.turn_id].conversation_id == conversation_id
        )

    def is_busy(self, conversation_id: int) -> bool:
        """Whether a turn of that conversation still owes something."""
        return any(
            turn.conversation_id == conversation_id and turn.status in UNFINISHED
            for turn in self.turns.values()
        )


def _fate(
    sent: Sent, *, conversation: Conversation | None, books: _Books
) -> tuple[Fate, str]:
    """Say what became of a message, and why it counts as lost if it does."""
    if conversation is None:
        return Fate.LOST, "the conversation is gone"
    if any(sent.token in message.text for message in conversation.by(Author.BOT)):
        return Fate.ANSWERED, ""
    event = books.event_of(sent.message_id)
    if event is None:
        if _was_given_up(conversation) and conversation.status != "pending":
            return Fate.GIVEN_UP, ""
        return Fate.LOST, "the bridge never stored its webhook"
    turn = books.turn_of(sent.message_id)
    if turn is not None:
        return _fate_of_turn(turn, conversation=conversation)
    if event.action == "ignore" and event.reason not in ("", DUPLICATE):
        return Fate.SKIPPED, ""
    return Fate.LOST, f"its event is {event.status} {event.action} {event.reason}"


def _fate_of_turn(turn: Turn, *, conversation: Conversation) -> tuple[Fate, str]:
    if turn.status == "skipped" and turn.reason:
        return Fate.SKIPPED, ""
    if turn.status == "handed_over" and turn.reason:
        notes = conversation.by(Author.BOT, private=True)
        if not notes:
            return Fate.LOST, "handed over without a note"
        if conversation.status == "pending" and not _was_given_back(
            conversation, after=notes[-1].id
        ):
            return Fate.LOST, "handed over, but the conversation is still pending"
        return Fate.HANDED_OVER, ""
    return Fate.LOST, f"turn {turn.id} is {turn.status} ({turn.reason})"


def _was_given_back(conversation: Conversation, *, after: int) -> bool:
    """Whether a human has returned the conversation to the bot since then."""
    return any(
        GIVEN_BACK_TEXT in message.text and message.id > after
        for message in conversation.by(Author.PLATFORM)
    )


def _was_given_up(conversation: Conversation) -> bool:
    return any(
        GIVEN_UP_TEXT in message.text for message in conversation.by(Author.PLATFORM)
    )


def _doubles(conversation: Conversation, *, books: _Books) -> list[str]:
    """Find what the customer, or the agents, were told twice."""
    found: list[str] = []
    answers = conversation.by(Author.BOT)
    times = Counter(token for message in answers for token in message.tokens)
    found += [
        f"{_place(conversation.id)} {token}: answered {count} times"
        for token, count in times.items()
        if count > 1
    ]
    told = {
        "failure_text": [message for message in answers if not message.tokens],
        "failure_note": conversation.by(Author.BOT, private=True),
    }
    for part, messages in told.items():
        intended = books.intended(conversation.id, part=part)
        if len(messages) > intended:
            found.append(
                f"{_place(conversation.id)}: {len(messages)} × {part}, "
                f"{intended} intended"
            )
    answered = {token for message in answers for token in message.tokens}
    for message in conversation.by(Author.CUSTOMER):
        turn = books.turn_of(message.id)
        if turn and turn.status == "handed_over" and message.tokens & answered:
            found.append(
                f"{_place(conversation.id)} {sorted(message.tokens)[0]}: answered, "
                "and handed over as unanswered"
            )
    return found


def _silences(conversation: Conversation, *, books: _Books) -> list[str]:
    """Find a customer whom nobody sees: pending, and the last word was theirs."""
    said = [one for one in conversation.by(Author.CUSTOMER) if not one.deleted]
    if conversation.status != "pending" or not said:
        return []
    last = said[-1]
    if any(last.tokens & message.tokens for message in conversation.by(Author.BOT)):
        return []
    if any(reply.id > last.id for reply in conversation.by(Author.HUMAN)):
        return []
    event, turn = books.event_of(last.id), books.turn_of(last.id)
    reasons = {turn.reason if turn else "", event.reason if event else ""}
    if reasons & WANTED_SILENCE or books.is_busy(conversation.id):
        return []
    claim = next(iter(sorted(reasons - {""})), "no reason at all")
    return [f"{_place(conversation.id)} {last.text!r}: pending, unanswered; {claim}"]


def _over(
    conversation: Conversation, *, books: _Books, rules: Rules
) -> Iterable[tuple[bool, str]]:
    """Find what the bot said to the customer after a human had taken over."""
    for message in conversation.by(Author.BOT):
        takeover = takeover_before(
            message,
            conversation=conversation,
            answers_up_to=_answers_up_to(message, conversation, books=books),
            rules=rules,
        )
        if takeover is None:
            continue
        read_at, arrived_at = message.conversation_read_at, message.arrived_at
        was_there = read_at is not None and takeover.at < read_at
        was_old = arrived_at is None or takeover.at < arrived_at - LAST_REQUEST_S
        text = (
            f"{_place(conversation.id)} message {message.id} after {takeover.what} "
            f"({(arrived_at or message.created_at) - takeover.at:.2f} s before)"
        )
        yield was_there or was_old, text


def _answers_up_to(
    message: Message, conversation: Conversation, *, books: _Books
) -> int:
    """Return the number of the newest customer message that the bot's one is for."""
    customers = conversation.by(Author.CUSTOMER)
    if message.tokens:
        return max((m.id for m in customers if m.tokens & message.tokens), default=0)
    turn = books.turn_of_post(message.id)
    if turn is not None:
        return turn.last_message_id
    return max((m.id for m in customers if m.id < message.id), default=0)


def _place(conversation_id: int) -> str:
    return f"conversation {conversation_id}"
