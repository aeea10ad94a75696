"""Creates, changes and deletes messages, with all that Chatwoot does around it."""

from __future__ import annotations

import secrets

from sandbox import times
from sandbox.chatwoot import message_rules, templates
from sandbox.chatwoot.activity import SYSTEM
from sandbox.chatwoot.drafts import Draft, Upload
from sandbox.chatwoot.lifecycle import Lifecycle
from sandbox.chatwoot.liquid_text import render
from sandbox.chatwoot.records import (
    INCOMING,
    OUTGOING,
    TEMPLATE,
    Attachment,
    Contact,
    Conversation,
    Message,
)
from sandbox.json_types import Json

DELETED_TEXT = "This message was deleted"


class Messages:
    """The only writer of messages that people or programs wrote."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle

    def create(self, draft: Draft, *, conversation: Conversation) -> Message:
        """Validate, store, reopen, publish; in the order of app/models/message.rb.

        Raises ApiError (422) when Chatwoot would refuse the message.
        """
        store = self.lifecycle.store
        self._check(draft, conversation=conversation)
        content = draft.content
        if content and draft.message_type in (OUTGOING, TEMPLATE):
            content = render(content, store=store, conversation=conversation)
        moment = times.now()
        message = Message(
            id=store.next_message_id(),
            conversation_id=conversation.id,
            inbox_id=conversation.inbox_id,
            message_type=draft.message_type,
            content=content,
            created_at=moment,
            updated_at=moment,
            content_type=draft.content_type,
            content_attributes=self._with_known_reply(draft, conversation=conversation),
            private=draft.private,
            source_id=draft.source_id,
            sender_type=draft.actor.kind if draft.actor else None,
            sender_id=draft.actor.id if draft.actor else None,
            additional_attributes=draft.additional_attributes,
            request=draft.request,
        )
        message.attachments = [
            self._attachment(upload, message=message) for upload in draft.uploads
        ]
        store.add_message(message, conversation=conversation)
        conversation.last_activity_at = moment
        self._after_create(message, conversation=conversation)
        return message

    def _check(self, draft: Draft, *, conversation: Conversation) -> None:
        settings = self.lifecycle.settings
        channel = self.lifecycle.store.inbox_of(conversation).channel
        message_rules.check_rate(conversation, limit=settings.messages_per_minute)
        message_rules.check_content(draft.content)
        message_rules.check_items(draft.content_type, draft.content_attributes)
        for upload in draft.uploads:
            message_rules.check_file(
                content_type=upload.content_type,
                size=len(upload.data),
                channel=channel,
            )

    def _with_known_reply(self, draft: Draft, *, conversation: Conversation) -> Json:
        """in_reply_to must name a message of this conversation, else it is null."""
        attributes = dict(draft.content_attributes)
        wanted = attributes.get("in_reply_to")
        if wanted is not None:
            known = any(message.id == wanted for message in conversation.messages)
            attributes["in_reply_to"] = wanted if known else None
        return attributes

    def _attachment(self, upload: Upload, *, message: Message) -> Attachment:
        return Attachment(
            id=self.lifecycle.store.next_attachment_id(),
            message_id=message.id,
            file_type=message_rules.file_type(upload.content_type),
            name=upload.name,
            content_type=upload.content_type,
            data=upload.data,
            signed_id=secrets.token_urlsafe(16),
        )

    def _after_create(self, message: Message, *, conversation: Conversation) -> None:
        if message.message_type == INCOMING:
            self._reopen(conversation)
            conversation.typing.pop("Contact", None)
        self.lifecycle.publish_message(
            "message_created", message=message, conversation=conversation
        )
        self._settle_waiting(message, conversation=conversation)
        if message.message_type == INCOMING:
            for draft in templates.due(self.lifecycle, conversation=conversation):
                self.create(draft, conversation=conversation)
            self._touch_contact(message)

    def _reopen(self, conversation: Conversation) -> None:
        lifecycle = self.lifecycle
        if lifecycle.store.contact_of(conversation).blocked:
            return
        if conversation.status == "snoozed":
            lifecycle.set_status(conversation, status="open", actor=SYSTEM)
        elif conversation.status == "resolved":
            inbox = lifecycle.store.inbox_of(conversation)
            status = "pending" if lifecycle.active_bot_inbox(inbox) else "open"
            lifecycle.set_status(conversation, status=status, actor=SYSTEM)

    def _settle_waiting(self, message: Message, *, conversation: Conversation) -> None:
        """waiting_since: an incoming message sets it, a public reply clears it."""
        changes: Json = {}
        if message.message_type == INCOMING:
            if conversation.waiting_since is None:
                changes["waiting_since"] = message.created_at
        elif message.message_type == OUTGOING and not message.private:
            if message.sender_type == "User":
                if conversation.first_reply_created_at is None:
                    changes["first_reply_created_at"] = message.created_at
                changes["waiting_since"] = None
                conversation.agent_last_seen_at = message.created_at
            elif message.sender_type == "AgentBot":
                changes["waiting_since"] = None
        if changes:
            self.lifecycle.save(conversation, actor=SYSTEM, changes=changes)

    def _touch_contact(self, message: Message) -> None:
        contact = self.lifecycle.store.contacts[message.sender_id or 0]
        before, contact.last_activity_at = contact.last_activity_at, message.created_at
        change = {
            "previous_value": times.iso(before),
            "current_value": times.iso(message.created_at),
        }
        self.lifecycle.publish_contact(
            "contact_updated",
            contact=contact,
            changes=[{"last_activity_at": change}, {"updated_at": change}],
        )

    # Changes of existing messages: each is one message_updated.

    def update(self, message: Message, *, changes: Json) -> None:
        conversation = self.lifecycle.store.conversations[message.conversation_id]
        for name, value in changes.items():
            setattr(message, name, value)
        message.updated_at = times.now()
        self.lifecycle.publish_message(
            "message_updated", message=message, conversation=conversation
        )

    def delete(self, message: Message) -> None:
        self.update(
            message,
            changes={
                "content": DELETED_TEXT,
                "content_type": "text",
                "content_attributes": {"deleted": True},
                "attachments": [],
            },
        )

    def seen_by_contact(self, conversation: Conversation) -> int:
        """Read receipts: every outgoing message not yet read becomes read."""
        conversation.contact_last_seen_at = times.now()
        unread = [
            message
            for message in conversation.messages
            if message.message_type in (OUTGOING, TEMPLATE)
            and not message.private
            and message.status in ("sent", "delivered")
        ]
        for message in unread:
            self.update(message, changes={"status": "read"})
        return len(unread)

    def submit(self, message: Message, *, values: Json) -> None:
        """The visitor's answer to a rich message (section 2.2)."""
        attributes = {**message.content_attributes, **values}
        self.update(message, changes={"content_attributes": attributes})
        email = values.get("submitted_email")
        if email:
            conversation = self.lifecycle.store.conversations[message.conversation_id]
            self._learn_email(
                self.lifecycle.store.contact_of(conversation), email=email
            )

    def _learn_email(self, contact: Contact, *, email: str) -> None:
        change = {"previous_value": contact.email, "current_value": email}
        contact.email = email
        self.lifecycle.publish_contact(
            "contact_updated", contact=contact, changes=[{"email": change}]
        )
