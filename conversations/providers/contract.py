"""What a reply provider is given, and what it may return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from bridge_project.lib.types import JsonObject

# A whole answer, or its pieces as they come. None, or nothing at all: say nothing.
Reply = str | Iterable[str] | None


@dataclass(frozen=True)
class Said:
    """One earlier message that the customer saw."""

    # "user" is the customer, "assistant" whoever answered: the bot or a human.
    role: str
    text: str


@dataclass
class Report:
    """What a provider may tell about its answer; shown in the admin, and counted."""

    total_tokens: int | None = None
    total_price: Decimal | None = None
    currency: str = ""
    thinking: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReplyContext:
    """What a provider gets whose first argument is annotated with it."""

    message: str
    bot: str
    # Chatwoot's number of the conversation, as agents see it.
    conversation_id: int
    account_id: int
    status: str
    labels: tuple[str, ...]
    custom_attributes: JsonObject
    contact_name: str
    contact_attributes: JsonObject
    inbox: str
    channel: str
    # As the customer's browser said, such as "de"; "" if it did not.
    language: str
    # As the bot's inputs are mapped; may hold a token for the callback API.
    inputs: JsonObject
    # What was said before, the oldest first.
    history: tuple[Said, ...]
    # "answer" for the customer, "draft" or "help" for the agents.
    kind: str
    # After this moment nobody waits for the answer any more.
    deadline: datetime
    report: Report = field(default_factory=Report)


class PlainReply(Protocol):
    """The simplest provider: a function of the customer's words."""

    def __call__(self, message: str, /) -> Reply:
        """Return the answer, None to say nothing."""


class ReplyProvider(Protocol):
    """A provider that wants to know more; it may yield the answer piece by piece."""

    def __call__(self, context: ReplyContext, /) -> Reply:
        """Return the answer, None to say nothing."""


def context_values(sources: JsonObject) -> Mapping[str, object]:
    """Return what of `context.input_sources` a `ReplyContext` names by itself."""
    conversation, contact = _part(sources, "conversation"), _part(sources, "contact")
    return {
        "conversation_id": conversation.get("id"),
        "account_id": _part(sources, "account").get("id"),
        "status": conversation.get("status"),
        "custom_attributes": conversation.get("custom_attributes"),
        "contact_name": contact.get("name"),
        "contact_attributes": contact.get("custom_attributes"),
        "inbox": _part(sources, "inbox").get("name"),
        "channel": conversation.get("channel"),
        "language": contact.get("language"),
    }


def _part(sources: JsonObject, name: str) -> JsonObject:
    found = sources.get(name)
    return found if isinstance(found, dict) else {}
