"""Answers of the REST API (the jbuilder views), which differ from the webhooks."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot.auth import Caller
from sandbox.chatwoot.errors import crashed
from sandbox.chatwoot.payloads import Payloads, unread_count
from sandbox.chatwoot.records import (
    ACTIVITY,
    AccountWebhook,
    Agent,
    AttributeDefinition,
    Bot,
    Contact,
    ContactInbox,
    Conversation,
    Inbox,
    Label,
    Message,
    Team,
)
from sandbox.chatwoot.store import ChatwootStore
from sandbox.json_types import Json


class RestShapes:
    """One method per view; ``payloads`` supplies the parts that are shared."""

    def __init__(self, store: ChatwootStore, *, payloads: Payloads) -> None:
        self.store = store
        self.payloads = payloads

    def message(self, message: Message, *, echo_id: str | None = None) -> Json:
        shape: Json = {
            "id": message.id,
            "content": message.content,
            "inbox_id": message.inbox_id,
        }
        if echo_id is not None:
            shape["echo_id"] = echo_id
        shape |= {
            "conversation_id": message.conversation_id,
            "message_type": message.message_type,
            "content_type": message.content_type,
            "status": message.status,
            "content_attributes": dict(message.content_attributes),
            "created_at": times.sec(message.created_at),
            "private": message.private,
            "source_id": message.source_id,
        }
        if (sender := self.payloads.sender_push(message)) is not None:
            shape["sender"] = sender
        if message.attachments:
            shape["attachments"] = [
                self.payloads.attachment(a) for a in message.attachments
            ]
        return shape

    def conversation(
        self, conversation: Conversation, *, caller: Caller, team_bug: bool
    ) -> Json:
        """Raises ApiError 500 for a bot when the conversation has a team (the bug)."""
        push = self.payloads.message_push
        messages = conversation.messages
        spoken = [m for m in messages if m.message_type != ACTIVITY]
        return {
            "meta": self._meta(conversation, caller=caller, team_bug=team_bug),
            "id": conversation.id,
            "messages": [push(m, conversation=conversation) for m in messages[-1:]],
            "account_id": self.store.account.id,
            "uuid": conversation.uuid,
            "additional_attributes": dict(conversation.additional_attributes),
            "agent_last_seen_at": times.sec(conversation.agent_last_seen_at),
            "assignee_last_seen_at": times.sec(conversation.assignee_last_seen_at),
            "can_reply": True,
            "contact_last_seen_at": times.sec(conversation.contact_last_seen_at),
            "custom_attributes": dict(conversation.custom_attributes),
            "inbox_id": conversation.inbox_id,
            "labels": list(conversation.labels),
            "muted": conversation.muted,
            "snoozed_until": times.iso(conversation.snoozed_until),
            "status": conversation.status,
            "created_at": times.sec(conversation.created_at),
            "updated_at": times.micro(conversation.updated_at),
            "timestamp": times.sec(conversation.last_activity_at),
            "first_reply_created_at": times.sec(conversation.first_reply_created_at),
            "unread_count": unread_count(conversation),
            "last_non_activity_message": push(spoken[-1], conversation=conversation)
            if spoken
            else None,
            "last_activity_at": times.sec(conversation.last_activity_at),
            "priority": conversation.priority,
            "waiting_since": times.sec(conversation.waiting_since),
            "sla_policy_id": None,
        }

    def _meta(
        self, conversation: Conversation, *, caller: Caller, team_bug: bool
    ) -> Json:
        meta: Json = {
            "sender": self.contact(self.store.contact_of(conversation)),
            "channel": self.store.inbox_of(conversation).channel,
        }
        if conversation.assignee_id is not None:
            meta["assignee"] = self.agent(self.store.agents[conversation.assignee_id])
            meta["assignee_type"] = "User"
        elif conversation.assignee_bot_id is not None:
            meta["assignee"] = self.slim_bot(
                self.store.bots[conversation.assignee_bot_id]
            )
            meta["assignee_type"] = "AgentBot"
        team = self.store.team_of(conversation)
        if team is not None:
            if caller.bot is not None and team_bug:
                raise crashed()
            meta["team"] = self.team(team, caller=caller)
        row = self.store.contact_inbox_of(conversation)
        return {**meta, "hmac_verified": row.hmac_verified}

    def contact(self, contact: Contact) -> Json:
        return {
            "additional_attributes": dict(contact.additional_attributes),
            "availability_status": "online",
            "email": contact.email,
            "id": contact.id,
            "name": contact.name,
            "phone_number": contact.phone_number,
            "blocked": contact.blocked,
            "identifier": contact.identifier,
            "thumbnail": "",
            "custom_attributes": dict(contact.custom_attributes),
            "last_activity_at": times.sec(contact.last_activity_at),
            "created_at": times.sec(contact.created_at),
        }

    def contact_with_inboxes(self, contact: Contact) -> Json:
        rows = [
            row
            for row in self.store.contact_inboxes.values()
            if row.contact_id == contact.id
        ]
        return {
            **self.contact(contact),
            "contact_inboxes": [self.contact_inbox(row) for row in rows],
        }

    def contact_inbox(self, row: ContactInbox) -> Json:
        inbox = self.store.inboxes[row.inbox_id]
        return {
            "source_id": row.source_id,
            "inbox": {
                "id": inbox.id,
                "avatar_url": "",
                "channel_id": inbox.id,
                "name": inbox.name,
                "channel_type": inbox.channel,
                "provider": None,
            },
        }

    def agent(self, agent: Agent) -> Json:
        return {
            "id": agent.id,
            "account_id": self.store.account.id,
            "availability_status": agent.availability_status,
            "auto_offline": True,
            "confirmed": True,
            "email": agent.email,
            "provider": "email",
            "available_name": agent.available_name,
            "name": agent.name,
            "role": agent.role,
            "thumbnail": "",
            "custom_role_id": None,
        }

    def slim_bot(self, bot: Bot) -> Json:
        return {
            "id": bot.id,
            "name": bot.name,
            "description": bot.description,
            "thumbnail": "",
            "outgoing_url": bot.outgoing_url,
            "bot_type": "webhook",
            "bot_config": {},
        }

    def agent_bot(self, bot: Bot, *, caller: Caller) -> Json:
        shape = {
            **self.slim_bot(bot),
            "account_id": self.store.account.id,
            "access_token": bot.access_token,
        }
        if caller.is_admin:
            shape["secret"] = bot.secret
        return {**shape, "system_bot": False}

    def team(self, team: Team, *, caller: Caller) -> Json:
        agent = caller.agent
        return {
            "id": team.id,
            "name": team.name,
            "description": team.description,
            "allow_auto_assign": team.allow_auto_assign,
            "account_id": self.store.account.id,
            "is_member": agent is not None and agent.id in team.member_ids,
        }

    def team_row(self, team: Team) -> Json:
        """The raw record that assignments answers with."""
        return {
            "id": team.id,
            "name": team.name,
            "description": team.description,
            "allow_auto_assign": team.allow_auto_assign,
            "account_id": self.store.account.id,
            "created_at": times.iso(team.created_at),
            "updated_at": times.iso(team.created_at),
        }

    def label(self, label: Label) -> Json:
        return {
            "id": label.id,
            "title": label.title,
            "description": label.description,
            "color": label.color,
            "show_on_sidebar": label.show_on_sidebar,
        }

    def inbox(self, inbox: Inbox, *, caller: Caller | None = None) -> Json:
        shape: Json = {
            "id": inbox.id,
            "avatar_url": "",
            "channel_id": inbox.id,
            "name": inbox.name,
            "channel_type": inbox.channel,
            "greeting_enabled": False,
            "greeting_message": None,
            "working_hours_enabled": inbox.working_hours_enabled,
            "working_hours": inbox.working_hours,
            "enable_email_collect": False,
            "csat_survey_enabled": False,
            "enable_auto_assignment": False,
            "auto_assignment_config": {},
            "out_of_office_message": None,
            "timezone": inbox.timezone,
            "callback_webhook_url": None,
            "allow_messages_after_resolved": True,
            "lock_to_single_conversation": inbox.lock_to_single_conversation,
            "sender_name_type": "friendly",
            "business_name": None,
        }
        if inbox.channel == "Channel::Api":
            shape |= {
                "webhook_url": inbox.webhook_url,
                "inbox_identifier": inbox.identifier,
            }
            if caller is not None and caller.is_admin:
                shape["secret"] = inbox.secret
        return shape

    def attribute_definition(self, row: AttributeDefinition) -> Json:
        return {
            "id": row.id,
            "attribute_display_name": row.display_name,
            "attribute_display_type": row.display_type,
            "attribute_description": row.description,
            "attribute_key": row.key,
            "regex_pattern": row.regex_pattern,
            "regex_cue": row.regex_cue,
            "attribute_values": list(row.values),
            "attribute_model": row.model,
            "default_value": None,
            "created_at": times.iso(row.created_at),
            "updated_at": times.iso(row.created_at),
        }

    def webhook(self, webhook: AccountWebhook) -> Json:
        shape: Json = {
            "id": webhook.id,
            "name": webhook.name,
            "url": webhook.url,
            "account_id": self.store.account.id,
            "subscriptions": list(webhook.subscriptions),
            "secret": webhook.secret,
        }
        if webhook.inbox_id is not None:
            shape["inbox"] = self.payloads.inbox(webhook.inbox_id)
        return shape
