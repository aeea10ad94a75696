"""All state of the played account, and the look-ups that everyone needs."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Iterable
from typing import Protocol, TypeVar

from sandbox import times
from sandbox.chatwoot import seed
from sandbox.chatwoot.records import (
    AccountWebhook,
    Agent,
    Attachment,
    Bot,
    CannedResponse,
    Contact,
    ContactInbox,
    Conversation,
    Inbox,
    Message,
    Team,
)
from sandbox.settings import Settings


class HasId(Protocol):
    id: int


Row = TypeVar("Row", bound=HasId)


def by_id(rows: Iterable[Row]) -> dict[int, Row]:
    return {row.id: row for row in rows}


class ChatwootStore:
    """One account. Ids of one kind never repeat, also not after a delete."""

    def __init__(self, settings: Settings) -> None:
        self.account = seed.account()
        self.bots = by_id(seed.bots(settings))
        self.agents = by_id(seed.agents())
        self.inboxes = by_id(seed.inboxes(settings))
        self.teams = by_id(seed.teams())
        self.labels = by_id(seed.labels())
        self.attribute_definitions = by_id(seed.attribute_definitions())
        self.webhooks: dict[int, AccountWebhook] = {}
        self.canned_responses: dict[int, CannedResponse] = {}
        self.contacts: dict[int, Contact] = {}
        self.contact_inboxes: dict[int, ContactInbox] = {}
        self.conversations: dict[int, Conversation] = {}
        self.messages: dict[int, Message] = {}
        self.attachments: dict[str, Attachment] = {}
        self._counters: dict[str, itertools.count[int]] = {}
        self._offset = times.seconds_since_2026() if settings.lasting_numbers else 0

    def next_conversation_id(self) -> int:
        return self.next_id("conversation", start=self._offset + 1)

    def next_id(self, kind: str, *, start: int = 1) -> int:
        return next(self._counters.setdefault(kind, itertools.count(start)))

    def next_row_id(self, kind: str, *, rows: dict[int, Row]) -> int:
        """The id after the seeded ones."""
        return self.next_id(kind, start=max(rows, default=0) + 1)

    def next_message_id(self) -> int:
        """Global over all conversations, so never equal to a display id by luck."""
        return self.next_id("message", start=self._offset * 1000 + 1001)

    def next_attachment_id(self) -> int:
        return self.next_id("attachment", start=301)

    def bot_with_token(self, token: str) -> Bot | None:
        return next((b for b in self.bots.values() if b.access_token == token), None)

    def agent_with_token(self, token: str) -> Agent | None:
        return next((a for a in self.agents.values() if a.access_token == token), None)

    def active_bot(self, inbox: Inbox) -> Bot | None:
        return self.bots.get(inbox.bot_id) if inbox.bot_id is not None else None

    def inbox_of(self, conversation: Conversation) -> Inbox:
        return self.inboxes[conversation.inbox_id]

    def contact_of(self, conversation: Conversation) -> Contact:
        return self.contacts[conversation.contact_id]

    def contact_inbox_of(self, conversation: Conversation) -> ContactInbox:
        return self.contact_inboxes[conversation.contact_inbox_id]

    def team_of(self, conversation: Conversation) -> Team | None:
        return self.teams.get(conversation.team_id) if conversation.team_id else None

    def new_contact(self, name: str, *, email: str | None = None) -> Contact:
        contact = Contact(
            id=self.next_id("contact", start=101),
            name=name,
            email=email,
            created_at=times.now(),
        )
        self.contacts[contact.id] = contact
        return contact

    def find_contact_inbox(
        self, *, inbox_id: int, source_id: str | None = None, contact_id: int = 0
    ) -> ContactInbox | None:
        for row in self.contact_inboxes.values():
            if row.inbox_id != inbox_id:
                continue
            if source_id is not None and row.source_id == source_id:
                return row
            if source_id is None and row.contact_id == contact_id:
                return row
        return None

    def new_contact_inbox(
        self, *, contact_id: int, inbox_id: int, source_id: str | None = None
    ) -> ContactInbox:
        row = ContactInbox(
            id=self.next_id("contact_inbox", start=201),
            contact_id=contact_id,
            inbox_id=inbox_id,
            source_id=source_id or str(uuid.uuid4()),
            created_at=times.now(),
            pubsub_token=secrets.token_urlsafe(18),
        )
        self.contact_inboxes[row.id] = row
        return row

    def conversations_of_contact(self, contact_id: int) -> list[Conversation]:
        rows = [c for c in self.conversations.values() if c.contact_id == contact_id]
        return sorted(rows, key=lambda row: row.id, reverse=True)

    def add_message(self, message: Message, *, conversation: Conversation) -> None:
        conversation.messages.append(message)
        self.messages[message.id] = message
        for attachment in message.attachments:
            self.attachments[attachment.signed_id] = attachment
