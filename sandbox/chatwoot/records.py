"""The rows of the played Chatwoot account, as plain dataclasses."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sandbox.json_types import Json, JsonList

INCOMING, OUTGOING, ACTIVITY, TEMPLATE = 0, 1, 2, 3
MESSAGE_TYPES = ("incoming", "outgoing", "activity", "template")
STATUSES = ("open", "resolved", "pending", "snoozed")
PRIORITIES = ("low", "medium", "high", "urgent")


@dataclass(frozen=True)
class Actor:
    """Who does something: kind is ``User``, ``AgentBot``, ``Contact`` or ``System``."""

    kind: str
    id: int | None
    name: str


@dataclass
class Account:
    id: int
    name: str


@dataclass
class Bot:
    id: int
    name: str
    description: str
    outgoing_url: str
    access_token: str
    secret: str


@dataclass
class Agent:
    """A human. ``role`` is ``administrator`` or ``agent``."""

    id: int
    name: str
    available_name: str
    email: str
    role: str
    access_token: str
    availability_status: str = "online"


def office_hours() -> JsonList:
    """A new inbox's business hours: Monday to Friday, 9 to 17; Sunday is 0."""
    return [
        {
            "day_of_week": day,
            "closed_all_day": day in (0, 6),
            "open_hour": None if day in (0, 6) else 9,
            "open_minutes": None if day in (0, 6) else 0,
            "close_hour": None if day in (0, 6) else 17,
            "close_minutes": None if day in (0, 6) else 0,
            "open_all_day": False,
        }
        for day in range(7)
    ]


@dataclass
class Inbox:
    id: int
    name: str
    channel: str
    bot_id: int | None = None
    webhook_url: str = ""
    identifier: str = ""
    secret: str = ""
    lock_to_single_conversation: bool = False
    working_hours_enabled: bool = False
    working_hours: JsonList = field(default_factory=office_hours)
    timezone: str = "UTC"


@dataclass
class Team:
    id: int
    name: str
    description: str
    allow_auto_assign: bool
    created_at: float
    member_ids: list[int] = field(default_factory=list)


@dataclass
class Label:
    id: int
    title: str
    description: str
    color: str
    show_on_sidebar: bool = True


@dataclass
class AttributeDefinition:
    id: int
    display_name: str
    key: str
    display_type: str
    model: str
    created_at: float
    description: str = ""
    values: list[str] = field(default_factory=list)
    regex_pattern: str | None = None
    regex_cue: str | None = None


@dataclass
class AccountWebhook:
    id: int
    name: str
    url: str
    subscriptions: list[str]
    secret: str
    inbox_id: int | None = None


@dataclass
class CannedResponse:
    id: int
    short_code: str
    content: str


@dataclass
class Contact:
    id: int
    name: str
    created_at: float
    email: str | None = None
    phone_number: str | None = None
    identifier: str | None = None
    blocked: bool = False
    additional_attributes: Json = field(default_factory=dict)
    custom_attributes: Json = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    last_activity_at: float | None = None
    contact_type: str = "visitor"


@dataclass
class ContactInbox:
    """The visitor's identity within one inbox."""

    id: int
    contact_id: int
    inbox_id: int
    source_id: str
    created_at: float
    pubsub_token: str
    hmac_verified: bool = False


@dataclass
class Attachment:
    id: int
    message_id: int
    file_type: str
    name: str
    content_type: str
    data: bytes
    signed_id: str


@dataclass(frozen=True)
class RequestTimes:
    """When a POST arrived, and when its sender had last seen the conversation."""

    arrived_at: float
    read_at: float | None


@dataclass
class Message:
    id: int
    conversation_id: int
    inbox_id: int
    message_type: int
    content: str | None
    created_at: float
    updated_at: float
    content_type: str = "text"
    content_attributes: Json = field(default_factory=dict)
    private: bool = False
    status: str = "sent"
    source_id: str | None = None
    sender_type: str | None = None
    sender_id: int | None = None
    external_source_ids: Json = field(default_factory=dict)
    additional_attributes: Json = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    # Of the REST request that made it; only the control API shows it.
    request: RequestTimes | None = None


@dataclass
class Conversation:
    """``id`` is the display id, the only one that any interface shows."""

    id: int
    inbox_id: int
    contact_id: int
    contact_inbox_id: int
    created_at: float
    updated_at: float
    last_activity_at: float
    status: str = "open"
    priority: str | None = None
    assignee_id: int | None = None
    assignee_bot_id: int | None = None
    team_id: int | None = None
    labels: list[str] = field(default_factory=list)
    custom_attributes: Json = field(default_factory=dict)
    additional_attributes: Json = field(default_factory=dict)
    waiting_since: float | None = None
    first_reply_created_at: float | None = None
    snoozed_until: float | None = None
    agent_last_seen_at: float | None = None
    assignee_last_seen_at: float | None = None
    contact_last_seen_at: float | None = None
    muted: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    messages: list[Message] = field(default_factory=list)
    participant_ids: list[int] = field(default_factory=list)
    # Who is typing now: a name per author; live only, never in a payload.
    typing: dict[str, str] = field(default_factory=dict)
    # When REST last answered with this conversation or with its messages.
    read_at: float | None = None
