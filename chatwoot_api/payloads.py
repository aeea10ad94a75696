"""Chatwoot's webhook bodies as types of our own.

Field meanings: reference/chatwoot.md section 2, read off Chatwoot 4.15.1. Only what
identifies an event is strict. Everything else that is missing or has an unexpected
type counts as not there: refusing a webhook makes Chatwoot throw the bot out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Literal

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.lenient import (
    id_at,
    list_at,
    moment,
    number_at,
    object_at,
    text_at,
)
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
# As long as the mirror's columns; Chatwoot's own values are far shorter.
MAX_PRIORITY_CHARS = 20
MAX_CHANNEL_CHARS = 100
MAX_INBOX_NAME_CHARS = 255
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
    # What Chatwoot itself has understood of a sound.
    transcribed_text: str = ""
    # Of a place, and of a contact card: what the channel says of the person.
    latitude: float | None = None
    longitude: float | None = None
    meta: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message event's message. `content` is as Chatwoot sent it, text or HTML."""

    id: int
    message_type: MessageType
    content: str = ""
    content_type: str = "text"
    private: bool = False
    source_id: str = ""
    created_at: datetime | None = None
    # When it last changed, where Chatwoot says so: the body of an event does not.
    updated_at: datetime | None = None
    sender: Sender = Sender(kind="nobody")
    content_attributes: JsonObject = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    is_campaign: bool = False

    @cached_property
    def text(self) -> str:
        """The content as plain text; converted when asked for, since HTML is slow."""
        return plain_text(self.content)

    @property
    def mark(self) -> str:
        """Our id of the message if we posted it, else ""."""
        mark = self.content_attributes.get(MARK_KEY)
        return mark if isinstance(mark, str) else self.source_id

    @property
    def in_reply_to(self) -> int | None:
        """Return the number of the message that this one answers."""
        return id_at(self.content_attributes, "in_reply_to")

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
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WidgetOpening:
    """A visitor opened the widget. `current` is the conversation that they have.

    The visitor's `source_id` is a secret, and not stored with the event.
    """

    contact_inbox_id: int
    contact: Contact | None = None
    current: Conversation | None = None
    # Whether anything has been said in the current conversation.
    has_messages: bool = False


@dataclass(frozen=True, kw_only=True)
class ChatwootEvent:
    """One webhook. `conversation` is None for contact, inbox and unknown events.

    A message event without `message` is about a type of message that we do not know.
    """

    name: str
    account_id: int | None = None
    inbox_id: int | None = None
    inbox_name: str = ""
    conversation: Conversation | None = None
    message: Message | None = None
    widget: WidgetOpening | None = None


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
        return _conversation_event(name, payload, object_at(payload, "conversation"))
    return ChatwootEvent(
        name=name,
        account_id=id_at(object_at(payload, "account"), "id"),
        inbox_id=id_at(object_at(payload, "inbox"), "id"),
        inbox_name=_inbox_name(payload),
        widget=_widget(payload) if name == "webwidget_triggered" else None,
    )


def _widget(payload: JsonObject) -> WidgetOpening | None:
    """Its `id` is the contact inbox: the visitor, in this inbox."""
    contact_inbox_id = id_at(payload, "id")
    if contact_inbox_id is None:
        return None
    current = object_at(payload, "current_conversation")
    return WidgetOpening(
        contact_inbox_id=contact_inbox_id,
        contact=read_contact(object_at(payload, "contact")),
        current=parse_conversation(current) if id_at(current, "id") else None,
        has_messages=bool(list_at(current, "messages")),
    )


def parse_conversation(data: JsonObject) -> Conversation:
    """Read a conversation of a webhook or of `GET conversations/:id`.

    The REST form has the channel and no type inside `meta`, and leaves out what is
    null (reference/chatwoot.md section 5.4).
    """
    conversation_id = id_at(data, "id")
    if conversation_id is None:
        raise MalformedPayload("The conversation has no numeric `id`.")
    meta = object_at(data, "meta")
    channel = text_at(data, "channel") or text_at(meta, "channel")
    return Conversation(
        id=conversation_id,
        inbox_id=id_at(data, "inbox_id"),
        channel=channel[:MAX_CHANNEL_CHARS],
        status=text_at(data, "status"),
        priority=text_at(data, "priority")[:MAX_PRIORITY_CHARS],
        labels=tuple(x for x in list_at(data, "labels") if isinstance(x, str)),
        custom_attributes=object_at(data, "custom_attributes"),
        additional_attributes=object_at(data, "additional_attributes"),
        contact=read_contact(object_at(meta, "sender")),
        assignee=_assignee(meta),
        team=_team(object_at(meta, "team")),
        created_at=moment(data.get("created_at")),
        updated_at=moment(data.get("updated_at")),
    )


def parse_message(data: JsonObject) -> Message:
    """Read a message of a webhook, of `messages[]` or of the REST API.

    `message_type` is a word in the first and a number in the others; both are taken.
    """
    message_id = _message_id(data)
    message_type = _message_type(data)
    if message_type is None:
        raise MalformedPayload("The message has no `message_type` that we know.")
    attachments = list_at(data, "attachments")
    return Message(
        id=message_id,
        message_type=message_type,
        content=text_at(data, "content"),
        content_type=text_at(data, "content_type") or "text",
        private=data.get("private") is True,
        source_id=text_at(data, "source_id"),
        created_at=moment(data.get("created_at")),
        updated_at=moment(data.get("updated_at")),
        sender=_sender(data, message_type=message_type),
        content_attributes=object_at(data, "content_attributes"),
        attachments=tuple(_attachment(x) for x in attachments if isinstance(x, dict)),
        is_campaign="campaign_id" in object_at(data, "additional_attributes"),
    )


def _message_id(data: JsonObject) -> int:
    message_id = id_at(data, "id")
    if message_id is None:
        raise MalformedPayload("The message has no numeric `id`.")
    return message_id


def _message_type(data: JsonObject) -> MessageType | None:
    value = data.get("message_type")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _MESSAGE_TYPES.get(value) if is_number or isinstance(value, str) else None


def _message_event(name: str, payload: JsonObject) -> ChatwootEvent:
    """A type that a later Chatwoot brings is an event all the same, without message."""
    _message_id(payload)
    event = _conversation_event(name, payload, object_at(payload, "conversation"))
    return ChatwootEvent(
        name=name,
        account_id=event.account_id,
        inbox_id=event.inbox_id,
        inbox_name=event.inbox_name,
        conversation=event.conversation,
        message=_message_of(payload) if _message_type(payload) else None,
    )


def _message_of(payload: JsonObject) -> Message:
    """The time of a change stands only in the conversation's newest message."""
    message = parse_message(payload)
    if message.updated_at is not None:
        return message
    for newest in list_at(object_at(payload, "conversation"), "messages"):
        if isinstance(newest, dict) and id_at(newest, "id") == message.id:
            return replace(message, updated_at=moment(newest.get("updated_at")))
    return message


def _conversation_event(
    name: str, payload: JsonObject, data: JsonObject
) -> ChatwootEvent:
    conversation = parse_conversation(data)
    inbox = object_at(payload, "inbox")
    account = object_at(payload, "account") or object_at(data, "account")
    return ChatwootEvent(
        name=name,
        account_id=id_at(account, "id") or _account_of_latest_message(data),
        inbox_id=id_at(inbox, "id") or conversation.inbox_id,
        inbox_name=_inbox_name(payload),
        conversation=conversation,
    )


def _inbox_name(payload: JsonObject) -> str:
    return text_at(object_at(payload, "inbox"), "name")[:MAX_INBOX_NAME_CHARS]


def _account_of_latest_message(data: JsonObject) -> int | None:
    """Before 4.14.2 a conversation names its account only in its messages."""
    for message in list_at(data, "messages"):
        if isinstance(message, dict):
            return id_at(message, "account_id")
    return None


def read_contact(data: JsonObject) -> Contact | None:
    """Read a contact of a conversation or of the REST API; None without a number."""
    contact_id = id_at(data, "id")
    if contact_id is None:
        return None
    return Contact(
        id=contact_id,
        name=text_at(data, "name"),
        email=text_at(data, "email"),
        phone_number=text_at(data, "phone_number"),
        identifier=text_at(data, "identifier"),
        blocked=data.get("blocked") is True,
        custom_attributes=object_at(data, "custom_attributes"),
        additional_attributes=object_at(data, "additional_attributes"),
    )


def _sender(data: JsonObject, *, message_type: MessageType) -> Sender:
    """A contact's `sender` has no type: incoming messages are the contact's."""
    sender = object_at(data, "sender")
    if message_type == "incoming":
        kind: SenderKind = "contact"
    elif not sender:
        kind = "nobody"
    else:
        kind = _kind(text_at(sender, "type"))
    return Sender(kind=kind, id=id_at(sender, "id"), name=text_at(sender, "name"))


def _assignee(meta: JsonObject) -> Assignee | None:
    """REST answers and versions before 4.8.0 say only by the fields who it is."""
    assignee = object_at(meta, "assignee")
    assignee_id = id_at(assignee, "id")
    if assignee_id is None:
        return None
    kind = _kind(text_at(assignee, "type") or text_at(meta, "assignee_type"))
    return Assignee(kind=kind, id=assignee_id, name=text_at(assignee, "name"))


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
    team_id = id_at(data, "id")
    return None if team_id is None else Team(id=team_id, name=text_at(data, "name"))


def _attachment(data: JsonObject) -> Attachment:
    return Attachment(
        id=id_at(data, "id") or 0,
        file_type=text_at(data, "file_type") or "file",
        content_type=text_at(data, "content_type"),
        data_url=text_at(data, "data_url"),
        file_size=id_at(data, "file_size") or 0,
        title=text_at(data, "fallback_title"),
        transcribed_text=text_at(data, "transcribed_text"),
        latitude=number_at(data, "coordinates_lat"),
        longitude=number_at(data, "coordinates_long"),
        meta=object_at(data, "meta"),
    )
