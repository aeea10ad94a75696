"""What to do with an event, and whether a turn may still be answered. Pure.

Nothing here touches the database or the network: the caller brings what is known, and
gets an action with a reason from a closed list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chatwoot_api import payloads
from chatwoot_api.payloads import ChatwootEvent, Message
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    Reason,
    ReplyAs,
)


@dataclass(frozen=True)
class Decision:
    """What to do with an event, and why."""

    action: Action
    reason: Reason


def decide(
    event: ChatwootEvent,
    *,
    conversation: Conversation | None,
    bot: Bot | None,
    seen_before: bool,
    now: datetime,
) -> Decision:
    """Decide about one event.

    `conversation` is the mirror with this event already applied, `bot` the one that
    owns the inbox, `seen_before` whether another event brought the same message to be
    answered.
    """
    reason = _why_not_a_customers_message(event) or _why_not_ours(
        event.message, conversation=conversation, bot=bot
    )
    if reason is None and seen_before:
        reason = Reason.DUPLICATE_MESSAGE
    if reason is not None or not (event.message and conversation and bot):
        return Decision(Action.IGNORE, reason or Reason.UNKNOWN_EVENT)
    reason = _why_unanswerable(event.message, bot=bot, now=now)
    if reason is None:
        return Decision(Action.ANSWER, Reason.CUSTOMER_MESSAGE)
    hides = hides_from_humans(status=conversation.status, bot=bot)
    return Decision(Action.HAND_OVER if hides else Action.IGNORE, reason)


def hides_from_humans(*, status: str, bot: Bot) -> bool:
    """Tell whether only the bot sees a conversation.

    Chatwoot shows pending ones to no agent by default. Open ones agents see anyway, and
    a bot that only writes notes has nobody waiting for it.
    """
    return status == ConversationStatus.PENDING and bot.reply_as == ReplyAs.MESSAGE


def why_no_longer(
    *,
    status: str,
    human_message_id: int,
    turn_message_id: int,
    bot: Bot,
) -> Reason | None:
    """Return why a turn may not be answered any more, or None if it may.

    An assignee alone is no takeover: reopened conversations keep last week's
    (reference/chatwoot.md section 4). A public human reply after the customer's last
    message is one.
    """
    if human_message_id > turn_message_id:
        return Reason.HUMAN_HAS_TAKEN_OVER
    if status not in bot.speak_in_statuses:
        return Reason.STATUS_NOT_ALLOWED
    return None


def is_human_reply(message: Message) -> bool:
    """Tell whether a human said this to the customer.

    A reply typed on a phone (WhatsApp echo) has no sender at all, and neither have
    messages of automation rules, which carry the rule's number.
    """
    if message.message_type != "outgoing" or message.private:
        return False
    if message.is_from_automation:
        return False
    if message.sender.kind == "user":
        return True
    return message.sender.kind == "nobody" and not _is_ours(message)


def _is_ours(message: Message) -> bool:
    return payloads.MARK_KEY in message.content_attributes


def _why_not_a_customers_message(event: ChatwootEvent) -> Reason | None:
    name, message = event.name, event.message
    if message is None:
        return _reason_of_other_event(name)
    if name == "message_updated":
        return Reason.MESSAGE_UPDATED
    if message.message_type == "template":
        return Reason.WIDGET_MESSAGE
    if message.message_type == "activity":
        return Reason.ACTIVITY
    if message.message_type == "outgoing":
        return _reason_of_outgoing(message)
    return Reason.PRIVATE_NOTE if message.private else None


def _reason_of_other_event(name: str) -> Reason:
    if name in payloads.CONVERSATION_EVENTS:
        return Reason.CONVERSATION_EVENT
    if name in payloads.TYPING_EVENTS:
        return Reason.TYPING
    if name in payloads.CONTACT_EVENTS:
        return Reason.CONTACT_EVENT
    if name == "webwidget_triggered":
        return Reason.WIDGET_OPENED
    if name.startswith(payloads.AUTOMATION_PREFIXES):
        return Reason.AUTOMATION_EVENT
    return Reason.UNKNOWN_EVENT


def _reason_of_outgoing(message: Message) -> Reason:
    if message.private:
        return Reason.PRIVATE_NOTE
    if is_human_reply(message):
        return Reason.HUMAN_REPLY
    if message.is_from_automation:
        return Reason.AUTOMATION_MESSAGE
    if message.sender.kind == "captain":
        return Reason.OTHER_BOT
    return Reason.OWN_MESSAGE


def _why_not_ours(
    message: Message | None, *, conversation: Conversation | None, bot: Bot | None
) -> Reason | None:
    """Say why a customer's message is not the bridge's to care for."""
    if message is None or conversation is None:
        return Reason.UNKNOWN_EVENT
    if not message.text.strip() and not message.attachments:
        return Reason.EMPTY_MESSAGE
    if bot is None:
        return Reason.NO_BOT_FOR_INBOX
    if conversation.contact_blocked:
        return Reason.CONTACT_BLOCKED
    return why_no_longer(
        status=conversation.status,
        human_message_id=conversation.last_human_message_id,
        turn_message_id=message.id,
        bot=bot,
    )


def _why_unanswerable(message: Message, *, bot: Bot, now: datetime) -> Reason | None:
    """Say why a message that waits for the bot is for the humans all the same."""
    if not bot.enabled:
        return Reason.BOT_DISABLED
    if bot.dify_app is None:
        return Reason.BOT_HAS_NO_APP
    if _age_s(message, now=now) > bot.max_message_age_s:
        return Reason.TOO_OLD
    return None


def _age_s(message: Message, *, now: datetime) -> float:
    """A message without a time is as old as its delivery: new."""
    return (now - message.created_at).total_seconds() if message.created_at else 0.0
