"""Webhook bodies of Chatwoot 4.15.1, key by key. Nothing here changes state."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot.records import (
    ACTIVITY,
    INCOMING,
    MESSAGE_TYPES,
    Agent,
    Attachment,
    Bot,
    Contact,
    ContactInbox,
    Conversation,
    Message,
)
from sandbox.chatwoot.store import ChatwootStore
from sandbox.json_types import Json, JsonList

UNREAD_CAP = 10


class Payloads:
    """Builds bodies from the store as it is at the moment of the call."""

    def __init__(self, store: ChatwootStore, *, base_url: str) -> None:
        self.store = store
        self.base_url = base_url

    # Small shapes that occur everywhere.

    def account(self) -> Json:
        return {"id": self.store.account.id, "name": self.store.account.name}

    def inbox(self, inbox_id: int) -> Json:
        return {"id": inbox_id, "name": self.store.inboxes[inbox_id].name}

    def contact(self, contact: Contact) -> Json:
        """A contact as `sender` of an event: without a type."""
        return {
            "account": self.account(),
            "additional_attributes": dict(contact.additional_attributes),
            "avatar": "",
            "custom_attributes": dict(contact.custom_attributes),
            "email": contact.email,
            "id": contact.id,
            "identifier": contact.identifier,
            "name": contact.name,
            "phone_number": contact.phone_number,
            "thumbnail": "",
            "blocked": contact.blocked,
        }

    def contact_push(self, contact: Contact) -> Json:
        """A contact inside a conversation object: with a type."""
        shape = self.contact(contact)
        del shape["account"], shape["avatar"]
        return {**shape, "type": "contact"}

    def agent_push(self, agent: Agent) -> Json:
        return {
            "id": agent.id,
            "name": agent.name,
            "available_name": agent.available_name,
            "avatar_url": "",
            "type": "user",
            "availability_status": agent.availability_status,
            "thumbnail": "",
        }

    def bot_push(self, bot: Bot) -> Json:
        return {"id": bot.id, "name": bot.name, "avatar_url": "", "type": "agent_bot"}

    def sender(self, message: Message) -> Json | None:
        """`sender` at the top of a message event."""
        return self.actor(kind=message.sender_type, actor_id=message.sender_id)

    def actor(self, *, kind: str | None, actor_id: int | None) -> Json | None:
        if actor_id is None:
            return None
        if kind == "Contact":
            return self.contact(self.store.contacts[actor_id])
        if kind == "AgentBot":
            bot = self.store.bots[actor_id]
            return {"id": bot.id, "name": bot.name, "type": "agent_bot"}
        agent = self.store.agents[actor_id]
        return {
            "id": agent.id,
            "name": agent.name,
            "email": agent.email,
            "type": "user",
        }

    def sender_push(self, message: Message) -> Json | None:
        """`sender` of an element of messages[]."""
        if message.sender_id is None:
            return None
        if message.sender_type == "Contact":
            return self.contact_push(self.store.contacts[message.sender_id])
        if message.sender_type == "AgentBot":
            return self.bot_push(self.store.bots[message.sender_id])
        return self.agent_push(self.store.agents[message.sender_id])

    def attachment(self, attachment: Attachment) -> Json:
        query = "?disposition=inline" if attachment.file_type == "audio" else ""
        url = (
            f"{self.base_url}/rails/active_storage/blobs/redirect/"
            f"{attachment.signed_id}/{attachment.name}{query}"
        )
        dot = attachment.name.rfind(".")
        shape = {
            "id": attachment.id,
            "message_id": attachment.message_id,
            "file_type": attachment.file_type,
            "account_id": self.store.account.id,
            "extension": attachment.name[dot + 1 :] if dot > 0 else None,
            "content_type": attachment.content_type,
            "data_url": url,
            "thumb_url": url if attachment.file_type == "image" else "",
            "file_size": len(attachment.data),
            "width": None,
            "height": None,
        }
        if attachment.file_type == "audio":
            shape["transcribed_text"] = ""
        return shape

    # The two big shapes.

    def conversation(self, conversation: Conversation) -> Json:
        """The conversation object of section 2.3: nested or at top level."""
        contact = self.store.contact_of(conversation)
        contact_inbox = self.store.contact_inbox_of(conversation)
        return {
            "additional_attributes": dict(conversation.additional_attributes),
            "can_reply": True,
            "channel": self.store.inbox_of(conversation).channel,
            "contact_inbox": _contact_inbox_record(contact_inbox),
            "id": conversation.id,
            "inbox_id": conversation.inbox_id,
            "messages": self._latest(conversation),
            "labels": list(conversation.labels),
            "meta": {
                "sender": self.contact_push(contact),
                **self._assignee(conversation),
                "team": self._team(conversation),
                "hmac_verified": contact_inbox.hmac_verified,
            },
            "status": conversation.status,
            "custom_attributes": dict(conversation.custom_attributes),
            "snoozed_until": times.iso(conversation.snoozed_until),
            "unread_count": unread_count(conversation),
            "first_reply_created_at": times.iso(conversation.first_reply_created_at),
            "priority": conversation.priority,
            "waiting_since": times.sec(conversation.waiting_since),
            "agent_last_seen_at": times.sec(conversation.agent_last_seen_at),
            "contact_last_seen_at": times.sec(conversation.contact_last_seen_at),
            "last_activity_at": times.sec(conversation.last_activity_at),
            "timestamp": times.sec(conversation.last_activity_at),
            "created_at": times.sec(conversation.created_at),
            "updated_at": times.micro(conversation.updated_at),
            "account": self.account(),
        }

    def message_push(self, message: Message, *, conversation: Conversation) -> Json:
        """An element of messages[]: ints and seconds where the event has strings."""
        shape: Json = {
            "id": message.id,
            "content": message.content,
            "account_id": self.store.account.id,
            "inbox_id": message.inbox_id,
            "conversation_id": conversation.id,
            "message_type": message.message_type,
            "created_at": times.sec(message.created_at),
            "updated_at": times.iso(message.updated_at),
            "private": message.private,
            "status": message.status,
            "source_id": message.source_id,
            "content_type": message.content_type,
            "content_attributes": dict(message.content_attributes),
            "sender_type": message.sender_type,
            "sender_id": message.sender_id,
            "external_source_ids": dict(message.external_source_ids),
            "additional_attributes": dict(message.additional_attributes),
            "processed_message_content": message.content,
            "sentiment": {},
            "conversation": {
                "assignee_id": conversation.assignee_id,
                "unread_count": unread_count(conversation),
                "last_activity_at": times.sec(conversation.last_activity_at),
                "contact_inbox": {
                    "source_id": self.store.contact_inbox_of(conversation).source_id
                },
            },
        }
        if message.attachments:
            shape["attachments"] = [self.attachment(a) for a in message.attachments]
        if (sender := self.sender_push(message)) is not None:
            shape["sender"] = sender
        return shape

    def _latest(self, conversation: Conversation) -> JsonList:
        for message in reversed(conversation.messages):
            if message.message_type != ACTIVITY and not message.private:
                return [self.message_push(message, conversation=conversation)]
        return []

    def _assignee(self, conversation: Conversation) -> Json:
        if conversation.assignee_id is not None:
            agent = self.store.agents[conversation.assignee_id]
            return {"assignee": self.agent_push(agent), "assignee_type": "User"}
        if conversation.assignee_bot_id is not None:
            bot = self.store.bots[conversation.assignee_bot_id]
            return {"assignee": self.bot_push(bot), "assignee_type": "AgentBot"}
        return {"assignee": None, "assignee_type": None}

    def _team(self, conversation: Conversation) -> Json | None:
        team = self.store.team_of(conversation)
        return {"id": team.id, "name": team.name} if team else None

    # Events.

    def message_event(
        self, event: str, *, message: Message, conversation: Conversation
    ) -> Json:
        shape: Json = {
            "account": self.account(),
            "additional_attributes": dict(message.additional_attributes),
            "content_attributes": dict(message.content_attributes),
            "content_type": message.content_type,
            "content": _webhook_content(message.content),
            "conversation": self.conversation(conversation),
            "created_at": times.iso(message.created_at),
            "id": message.id,
            "inbox": self.inbox(message.inbox_id),
            "message_type": MESSAGE_TYPES[message.message_type],
            "private": message.private,
            "sender": self.sender(message),
            "source_id": message.source_id,
        }
        if message.attachments:
            shape["attachments"] = [self.attachment(a) for a in message.attachments]
        return {**shape, "event": event}

    def conversation_event(self, event: str, *, conversation: Conversation) -> Json:
        return {**self.conversation(conversation), "event": event}

    def changed_event(
        self, event: str, *, conversation: Conversation, changes: JsonList | None
    ) -> Json:
        shape = self.conversation_event(event, conversation=conversation)
        return {**shape, "changed_attributes": changes}

    def contact_event(
        self, event: str, *, contact: Contact, changes: JsonList | None = None
    ) -> Json:
        shape = {**self.contact(contact), "event": event}
        return shape if changes is None else {**shape, "changed_attributes": changes}

    def typing_event(
        self, event: str, *, user: Json, conversation: Conversation, is_private: bool
    ) -> Json:
        return {
            "event": event,
            "user": user,
            "conversation": self.conversation(conversation),
            "is_private": is_private,
        }

    def webwidget_triggered(
        self, contact_inbox: ContactInbox, *, current: Conversation | None, info: Json
    ) -> Json:
        return {
            "id": contact_inbox.id,
            "contact": self.contact(self.store.contacts[contact_inbox.contact_id]),
            "inbox": self.inbox(contact_inbox.inbox_id),
            "account": self.account(),
            "current_conversation": self.conversation(current) if current else None,
            "source_id": contact_inbox.source_id,
            "event": "webwidget_triggered",
            "event_info": info,
        }


def unread_count(conversation: Conversation) -> int:
    """Public incoming messages since an agent looked, at most ten."""
    seen = conversation.agent_last_seen_at or 0.0
    count = 0
    for message in reversed(conversation.messages):
        if message.created_at <= seen or count == UNREAD_CAP:
            break
        count += message.message_type == INCOMING
    return count


def _contact_inbox_record(row: ContactInbox) -> Json:
    return {
        "id": row.id,
        "contact_id": row.contact_id,
        "inbox_id": row.inbox_id,
        "source_id": row.source_id,
        "created_at": times.iso(row.created_at),
        "updated_at": times.iso(row.created_at),
        "hmac_verified": row.hmac_verified,
        "pubsub_token": row.pubsub_token,
    }


def _webhook_content(content: str | None) -> str | None:
    """Since v4.13.0: hard breaks become newlines, trailing newlines go."""
    if content is None:
        return None
    return content.replace("\\\n", "\n").rstrip("\n")
