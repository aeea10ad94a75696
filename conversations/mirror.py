"""Keep `Conversation` as new as the newest event, whatever order events come in."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from chatwoot_api import payloads
from chatwoot_api.models import ChatwootAccount, Inbox
from chatwoot_api.payloads import ChatwootEvent, Message
from conversations.decisions import is_human_reply
from conversations.models import Conversation, ConversationStatus


def locked(account: ChatwootAccount, *, number: int) -> Conversation:
    """Return the mirror row, made if need be, locked until the transaction ends."""
    rows = Conversation.objects.filter(account=account, chatwoot_conversation_id=number)
    conversation = _locking(rows).first()
    if conversation is None:
        made, _created = Conversation.objects.get_or_create(
            account=account, chatwoot_conversation_id=number
        )
        return lock(made.pk)
    return conversation


def lock(conversation_id: int) -> Conversation:
    """Lock a mirror row until the transaction ends.

    All that starts, joins or ends a turn of a conversation holds this lock, so that
    no message slips in between a run that ends and the turn that follows it.
    """
    return _locking(Conversation.objects.all()).get(pk=conversation_id)


def _locking(rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
    return rows.select_for_update(of=("self",)).select_related("account", "inbox")


def introduce(account: ChatwootAccount, current: payloads.Conversation) -> Conversation:
    """Begin the mirror of a conversation with what Chatwoot answered.

    Only where no webhook told of it yet: what changes a known one are webhooks alone,
    since the flow must see each change.
    """
    with transaction.atomic():
        conversation = locked(account, number=current.id)
        if conversation.source_updated_at is None:
            if current.inbox_id is not None:
                conversation.inbox = Inbox.objects.remember(
                    account,
                    chatwoot_id=current.inbox_id,
                    name="",
                    channel=current.channel,
                )
            copy_state(current, conversation=conversation)
            conversation.save()
    return conversation


def apply(event: ChatwootEvent, *, to: Conversation) -> None:
    """Bring the locked mirror row up to date with an event and save it."""
    if event.inbox_id is not None:
        to.inbox = Inbox.objects.remember(
            to.account,
            chatwoot_id=event.inbox_id,
            name=event.inbox_name,
            channel=event.conversation.channel if event.conversation else "",
        )
    take(event, to=to)
    to.save()


def take(event: ChatwootEvent, *, to: Conversation) -> None:
    """Copy what an event tells into the mirror, unless something newer is known."""
    current = event.conversation
    if current is not None and _is_news(current.updated_at, conversation=to):
        copy_state(current, conversation=to)
    if event.message is not None and event.name == "message_created":
        _take_message(event.message, conversation=to)


def note_click(event: ChatwootEvent, *, conversation: Conversation) -> None:
    """Note that the customer was there: a click is no message, and has no number."""
    at = event.message.updated_at if event.message else None
    known = conversation.last_customer_message_at
    if at is None or (known is not None and known >= at):
        return
    conversation.last_customer_message_at = at
    conversation.save(update_fields=["last_customer_message_at"])


def _is_news(moment: datetime | None, *, conversation: Conversation) -> bool:
    """Equal times are news: one save of Chatwoot's sends several events.

    An event without a time is news only where nothing with a time is known.
    """
    known = conversation.source_updated_at
    return known is None or (moment is not None and moment >= known)


def copy_state(current: payloads.Conversation, *, conversation: Conversation) -> None:
    """Copy how the conversation stands; the caller knows that it is news."""
    if current.status in ConversationStatus.values:
        conversation.status = current.status
    conversation.channel = current.channel or conversation.channel
    conversation.priority = current.priority
    conversation.labels = list(current.labels)
    conversation.custom_attributes = current.custom_attributes
    conversation.additional_attributes = current.additional_attributes
    assignee, team, contact = current.assignee, current.team, current.contact
    conversation.assignee_kind = assignee.kind if assignee else ""
    conversation.chatwoot_assignee_id = assignee.id if assignee else None
    conversation.assignee_name = assignee.name if assignee else ""
    conversation.chatwoot_team_id = team.id if team else None
    conversation.team_name = team.name if team else ""
    if contact is not None:
        conversation.chatwoot_contact_id = contact.id
        conversation.contact_name = contact.name
        conversation.contact_blocked = contact.blocked
        conversation.contact_custom_attributes = contact.custom_attributes
        conversation.contact_additional_attributes = contact.additional_attributes
    conversation.source_updated_at = (
        current.updated_at or conversation.source_updated_at
    )


def _take_message(message: Message, *, conversation: Conversation) -> None:
    """Message numbers only ever grow, so the order of arrival does not matter."""
    if message.private:
        return
    if message.message_type == "incoming":
        if message.id > conversation.last_customer_message_id:
            conversation.last_customer_message_id = message.id
            conversation.last_customer_message_at = message.created_at
    elif is_human_reply(message):
        if message.id > conversation.last_human_message_id:
            conversation.last_human_message_id = message.id
            conversation.last_human_message_at = message.created_at
    elif message.sender.kind == "agent_bot":
        conversation.last_bot_message_at = message.created_at
