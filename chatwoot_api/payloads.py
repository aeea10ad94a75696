"""Chatwoot's webhook bodies as types of our own.

Field meanings: reference/chatwoot.md section 2, read off Chatwoot 4.15.1. Only what
identifies an event is strict. Everything else that is missing or has an unexpected
type counts as not there: refusing a webhook makes Chatwoot throw the bot out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.text import plain_text

MESSAGE_EVENTS = frozenset({"message_created", "message_updated"})
CONVERSATION_EVENTS = frozenset(
    {
        "conversation_created",
        "conversation_updated",
        "conversation_status_changed",
        "conversation_opened",
        "conversation_resolved",
    }
)
TYPING_EVENTS = frozenset({"conversation_typing_on", "conversation_typing_off"})
CONTACT_EVENTS = frozenset({"contact_created", "contact_updated"})
# Automation rules and macros post the conversation under names of their own.
AUTOMATION_PREFIXES = ("automation_event.", "macro.")

SenderKind = Literal["contact", "user", "agent_bot", "captain", "nobody"]
MessageType = Literal["incoming", "outgoing", "activity", "template"]
_MESSAGE_TYPES: Mapping[JsonValue, MessageType] = {
    0: "incoming",
    1: "outgoing",
    2: "activity",
    3: "template",
    "incoming": "incoming",
    "outgoing": "outgoing",
    "activity": "activity",
    "template": "template",
}
# Our own mark in `content_attributes`: on channels such as WhatsApp a message with a
# `source_id` is taken for an echo and never sent (Chatwoot's
# app/services/base/send_on_channel_service.rb), so the id travels here as well.
MARK_KEY = "bridge_message_id"


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The customer, as the conversation's `meta.sender` shows them."""

    id: int
    name: str = ""
    email: str = ""
    phone_number: str = ""
    identifier: str = ""
    blocked: bool = False
    custom_attributes: JsonObject = field(default_factory=dict)
    additional_attributes: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who wrote a message; ids are unique only within their kind."""

    kind: SenderKind
    id: int | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Assignee:
    """Who owns a conversation: a human (`user`) or a bot (`agent_bot`, `captain`)."""

    kind: SenderKind
    id: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Team:
    """A Chatwoot team; names are lower case there."""

    id: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file of a message; Chatwoot sends no file name, the URL's end is one."""

    id: int
    file_type: str = "file"
    content_type: str = ""
    data_url: str = ""
    file_size: int = 0
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message event's message. `text` is plain, also where Chatwoot sent HTML."""

    id: int
    message_type: MessageType
    text: str = ""
    content_type: str = "text"
    private: bool = False
    source_id: str = ""
    created_at: datetime | None = None
    sender: Sender = Sender(kind="nobody")
    content_attributes: JsonObject = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    is_campaign: bool = False

    @property
    def mark(self) -> str:
        """Our id of the message if we posted it, else ""."""
        mark = self.content_attributes.get(MARK_KEY)
        return mark if isinstance(mark, str) else self.source_id

    @property
    def is_from_automation(self) -> bool:
        """Tell whether an automation rule or a campaign wrote it."""
        return "automation_rule_id" in self.content_attributes or self.is_campaign

    @property
    def is_deleted(self) -> bool:
        """Tell whether this is what is left of a deleted message."""
        return self.content_attributes.get("deleted") is True


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation at the moment of the event. `id` is Chatwoot's display id."""

    id: int
    inbox_id: int | None = None
    channel: str = ""
    status: str = ""
    priority: str = ""
    labels: tuple[str, ...] = ()
    custom_attributes: JsonObject = field(default_factory=dict)
    additional_attributes: JsonObject = field(default_factory=dict)
    contact: Contact | None = None
    assignee: Assignee | None = None
    team: Team | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ChatwootEvent:
    """One webhook. `conversation` is None for contact, inbox and unknown events."""

    name: str
    account_id: int | None = None
    inbox_id: int | None = None
    inbox_name: str = ""
    conversation: Conversation | None = None
    message: Message | None = None


def parse_event(payload: JsonValue) -> ChatwootEvent:
    """Read a decoded webhook body.

    Raises MalformedPayload if it is no Chatwoot event, or a message or conversation
    event without the ids that identify what it is about.
    """
    if not isinstance(payload, dict):
        raise MalformedPayload("The body must be a JSON object.")
    name = payload.get("event")
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        raise MalformedPayload("The body has no `event` name, so it is not Chatwoot's.")
    if name in MESSAGE_EVENTS:
        return _message_event(name, payload)
    if name in CONVERSATION_EVENTS or name.startswith(AUTOMATION_PREFIXES):
        return _conversation_event(name, payload, payload)
    if name in TYPING_EVENTS:
        return _conversation_event(name, payload, _object(payload, "conversation"))
    return ChatwootEvent(
        name=name,
        account_id=_id(_object(payload, "account"), "id"),
        inbox_id=_id(_object(payload, "inbox"), "id"),
        inbox_name=_text(_object(payload, "inbox"), "name"),
    )


def parse_conversation(data: JsonObject) -> Conversation:
    """Read a conversation of a webhook or of `GET conversations/:id`.

    The REST form has the channel and no type inside `meta`, and leaves out what is
    null (reference/chatwoot.md section 5.4).
    """
    conversation_id = _id(data, "id")
    if conversation_id is None:
        raise MalformedPayload("The conversation has no numeric `id`.")
    meta = _object(data, "meta")
    return Conversation(
        id=conversation_id,
        inbox_id=_id(data, "inbox_id"),
        channel=_text(data, "channel") or _text(meta, "channel"),
        status=_text(data, "status"),
        priority=_text(data, "priority"),
        labels=tuple(x for x in _list(data, "labels") if isinstance(x, str)),
        custom_attributes=_object(data, "custom_attributes"),
        additional_attributes=_object(data, "additional_attributes"),
        contact=_contact(_object(meta, "sender")),
        assignee=_assignee(meta),
        team=_team(_object(meta, "team")),
        updated_at=_moment(data.get("updated_at")),
    )


def parse_message(data: JsonObject) -> Message:
    """Read a message of a webhook, of `messages[]` or of the REST API.

    `message_type` is a word in the first and a number in the others; both are taken.
    """
    message_id = _id(data, "id")
    if message_id is None:
        raise MalformedPayload("The message has no numeric `id`.")
    raw_type = data.get("message_type")
    hashable = raw_type if isinstance(raw_type, str | int) else None
    message_type = _MESSAGE_TYPES.get(hashable)
    if message_type is None:
        raise MalformedPayload("The message has no `message_type` that we know.")
    attachments = _list(data, "attachments")
    return Message(
        id=message_id,
        message_type=message_type,
        text=plain_text(_text(data, "content")),
        content_type=_text(data, "content_type") or "text",
        private=data.get("private") is True,
        source_id=_text(data, "source_id"),
        created_at=_moment(data.get("created_at")),
        sender=_sender(data, message_type=message_type),
        content_attributes=_object(data, "content_attributes"),
        attachments=tuple(_attachment(x) for x in attachments if isinstance(x, dict)),
        is_campaign="campaign_id" in _object(data, "additional_attributes"),
    )


def _message_event(name: str, payload: JsonObject) -> ChatwootEvent:
    event = _conversation_event(name, payload, _object(payload, "conversation"))
    return ChatwootEvent(
        name=name,
        account_id=event.account_id,
        inbox_id=event.inbox_id,
        inbox_name=event.inbox_name,
        conversation=event.conversation,
        message=parse_message(payload),
    )


def _conversation_event(
    name: str, payload: JsonObject, data: JsonObject
) -> ChatwootEvent:
    conversation = parse_conversation(data)
    inbox = _object(payload, "inbox")
    account = _object(payload, "account") or _object(data, "account")
    return ChatwootEvent(
        name=name,
        account_id=_id(account, "id") or _account_of_latest_message(data),
        inbox_id=_id(inbox, "id") or conversation.inbox_id,
        inbox_name=_text(inbox, "name"),
        conversation=conversation,
    )


def _account_of_latest_message(data: JsonObject) -> int | None:
    """Before 4.14.2 a conversation names its account only in its messages."""
    for message in _list(data, "messages"):
        if isinstance(message, dict):
            return _id(message, "account_id")
    return None


def _contact(data: JsonObject) -> Contact | None:
    contact_id = _id(data, "id")
    if contact_id is None:
        return None
    return Contact(
        id=contact_id,
        name=_text(data, "name"),
        email=_text(data, "email"),
        phone_number=_text(data, "phone_number"),
        identifier=_text(data, "identifier"),
        blocked=data.get("blocked") is True,
        custom_attributes=_object(data, "custom_attributes"),
        additional_attributes=_object(data, "additional_attributes"),
    )


def _sender(data: JsonObject, *, message_type: MessageType) -> Sender:
    """A contact's `sender` has no type: incoming messages are the contact's."""
    sender = _object(data, "sender")
    if message_type == "incoming":
        kind: SenderKind = "contact"
    elif not sender:
        kind = "nobody"
    else:
        kind = _kind(_text(sender, "type"))
    return Sender(kind=kind, id=_id(sender, "id"), name=_text(sender, "name"))


def _assignee(meta: JsonObject) -> Assignee | None:
    """REST answers and versions before 4.8.0 say only by the fields who it is."""
    assignee = _object(meta, "assignee")
    assignee_id = _id(assignee, "id")
    if assignee_id is None:
        return None
    kind = _kind(_text(assignee, "type") or _text(meta, "assignee_type"))
    return Assignee(kind=kind, id=assignee_id, name=_text(assignee, "name"))


def _kind(name: str) -> SenderKind:
    match name.lower().replace("_", ""):
        case "agentbot":
            return "agent_bot"
        case "captain::assistant" | "captainassistant":
            return "captain"
        case "contact":
            return "contact"
    return "user"


def _team(data: JsonObject) -> Team | None:
    team_id = _id(data, "id")
    return None if team_id is None else Team(id=team_id, name=_text(data, "name"))


def _attachment(data: JsonObject) -> Attachment:
    return Attachment(
        id=_id(data, "id") or 0,
        file_type=_text(data, "file_type") or "file",
        content_type=_text(data, "content_type"),
        data_url=_text(data, "data_url"),
        file_size=_id(data, "file_size") or 0,
        title=_text(data, "fallback_title"),
    )


def _object(data: JsonObject, key: str) -> JsonObject:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: JsonObject, key: str) -> list[JsonValue]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _text(data: JsonObject, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _id(data: JsonObject, key: str) -> int | None:
    """Return a number that fits PostgreSQL's bigint, also one written as text."""
    value = data.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


def _moment(value: JsonValue) -> datetime | None:
    """Read `2026-06-16T09:00:00.482Z` or Unix seconds; 0 means "never"."""
    try:
        if isinstance(value, str) and value:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
