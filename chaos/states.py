"""What is judged: conversations as Chatwoot shows them, and the bridge's rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

TOKEN = re.compile(r"#c\d+m\d+#")

# Turns that still owe something.
UNFINISHED = frozenset({"collecting", "running", "retrying", "unknown"})


class Author(StrEnum):
    """Who wrote a message; `PLATFORM` is Chatwoot itself (activity, templates)."""

    CUSTOMER = "customer"
    BOT = "bot"
    HUMAN = "human"
    PLATFORM = "platform"


@dataclass(frozen=True)
class Message:
    """One message of the sandbox's full state; moments are seconds since 1970.

    `arrived_at` is when the bridge's request reached Chatwoot, `conversation_read_at`
    when the bridge had last read this conversation before that.
    """

    id: int
    text: str
    author: Author
    private: bool = False
    deleted: bool = False
    created_at: float = 0.0
    arrived_at: float | None = None
    conversation_read_at: float | None = None

    @property
    def tokens(self) -> frozenset[str]:
        """The customers' tokens that it repeats."""
        return frozenset(TOKEN.findall(self.text))


@dataclass(frozen=True)
class Conversation:
    """One conversation with all its messages, oldest first."""

    id: int
    status: str
    messages: tuple[Message, ...]

    def by(self, author: Author, *, private: bool = False) -> list[Message]:
        """Return what that author wrote, in public or in notes."""
        return [
            message
            for message in self.messages
            if message.author is author and message.private is private
        ]


@dataclass(frozen=True)
class Sent:
    """A customer's message as the driver sent it."""

    token: str
    conversation_id: int
    message_id: int


@dataclass(frozen=True)
class Event:
    """A row of conversations_webhookevent about a customer's message."""

    message_id: int
    status: str
    action: str = ""
    reason: str = ""
    turn_id: int | None = None


@dataclass(frozen=True)
class Turn:
    """A row of conversations_turn."""

    id: int
    conversation_id: int
    status: str
    reason: str = ""
    last_message_id: int = 0


@dataclass(frozen=True)
class Intent:
    """A row of conversations_outgoingmessage: something to be posted once."""

    turn_id: int
    part: str
    message_id: int | None = None


@dataclass(frozen=True)
class Records:
    """What the bridge's database says about the judged conversations."""

    events: tuple[Event, ...] = ()
    turns: Mapping[int, Turn] = field(default_factory=dict)
    intents: tuple[Intent, ...] = ()


def conversation_from(data: Mapping[str, Any]) -> Conversation:
    """Read one conversation of `GET /_sandbox/conversations?full=1`."""
    messages = sorted(map(message_from, data["messages"]), key=lambda one: one.id)
    return Conversation(
        id=int(data["id"]), status=str(data["status"]), messages=tuple(messages)
    )


def message_from(data: Mapping[str, Any]) -> Message:
    """Read one message of the sandbox's full state."""
    request = data.get("request") or {}
    return Message(
        id=int(data["id"]),
        text=str(data["content"] or ""),
        author=_author(data),
        private=bool(data["private"]),
        deleted=bool((data.get("content_attributes") or {}).get("deleted")),
        created_at=moment(data["created_at"]) or 0.0,
        arrived_at=moment(request.get("arrived_at")),
        conversation_read_at=moment(request.get("conversation_read_at")),
    )


def moment(value: object) -> float | None:
    """Seconds since 1970 of a number or an ISO time."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return float(value) if isinstance(value, int | float) else None


def _author(data: Mapping[str, Any]) -> Author:
    """A reply typed on a phone is outgoing and has no sender at all."""
    kind, sender = data["message_type"], data["sender_type"]
    if kind == "incoming":
        return Author.CUSTOMER
    if kind != "outgoing":
        return Author.PLATFORM
    return Author.BOT if sender == "AgentBot" else Author.HUMAN
