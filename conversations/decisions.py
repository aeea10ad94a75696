"""What to do with an event, and whether a turn may still be answered. Pure.

Nothing here touches the database or the network: the caller brings what is known, and
gets an action with a reason from a closed list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import payloads, submitted
from chatwoot_api.payloads import ChatwootEvent, Contact, Message
from conversations import agent_notes, contact_rules, reset_words, support_mode
from conversations.contact_rules import Person
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    Reason,
    ReplyAs,
    Turn,
)
from conversations.models.bot_settings import DIFY
from conversations.models.turn import ALL_OF
from conversations.support_mode import Choice


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
    known: Reason | None,
    now: datetime,
    despite_message_id: int = 0,
    at_any_age: bool = False,
) -> Decision:
    """Decide about one event.

    `conversation` is the mirror with this event already applied, `bot` the one that
    owns the inbox. `known` says why the message is settled by an earlier event:
    DUPLICATE_MESSAGE or MESSAGE_DELETED. An operator may want an answer in spite of a
    human's reply up to `despite_message_id`, and `at_any_age`.
    """
    message, is_click = event.message, is_choice(event)
    since = despite_message_id
    if is_click and conversation is not None:
        # Its number is that of the bot's question, but it was made only now.
        since = max(since, conversation.last_customer_message_id)
    reason = _why_not_a_customers_message(event) or (known if is_click else None)
    reason = reason or _why_not_ours(
        message, conversation=conversation, bot=bot, since=since
    )
    reason = reason or known
    if not (message and conversation and bot):
        return Decision(Action.IGNORE, reason or Reason.UNKNOWN_EVENT)
    of_people = _of_people(event, message=message, bot=bot, known=known)
    if of_people is not None:
        return of_people
    now_or_any = None if at_any_age else now
    if reason is None:
        reason = _why_silenced(
            message, conversation=conversation, bot=bot, since=since
        ) or _why_unanswerable(
            event, message=message, conversation=conversation, bot=bot, now=now_or_any
        )
    if reason is None:
        resets = not is_click and reset_words.asks_for_it(message, bot=bot)
        asks = Reason.CUSTOMER_CHOICE if is_click else Reason.CUSTOMER_MESSAGE
        return Decision(Action.ANSWER, Reason.RESET if resets else asks)
    if known is None and _is_drafted(
        event, reason, message=message, conversation=conversation, bot=bot, now=now
    ):
        return Decision(Action.ANSWER, Reason.DRAFT_WANTED)
    # A human who answered before the click does not see it where only the bot looks.
    is_unseen = is_click and reason == Reason.HUMAN_HAS_TAKEN_OVER
    if reason not in _LEFT_TO_BOT and not is_unseen:
        return Decision(Action.IGNORE, reason)
    hides = hides_from_humans(status=conversation.status, bot=bot)
    return Decision(Action.HAND_OVER if hides else Action.IGNORE, reason)


def _of_people(
    event: ChatwootEvent, *, message: Message, bot: Bot, known: Reason | None
) -> Decision | None:
    """Decide about an agent's word to the bot, and about feedback on its answers."""
    is_new = event.name == "message_created"
    if is_new and bot.enabled and agent_notes.asked(message, bot=bot) is not None:
        if known is not None:
            return Decision(Action.IGNORE, known)
        return Decision(Action.ANSWER, Reason.AGENT_ASKED)
    if agent_notes.feedback_in(message, is_new=is_new, bot=bot) is not None:
        return Decision(Action.IGNORE, Reason.FEEDBACK)
    return None


# Which kind of turn an event asks for; all others want an answer.
_KINDS: Mapping[str, Turn.Kind] = {
    Reason.DRAFT_WANTED: Turn.Kind.DRAFT,
    Reason.AGENT_ASKED: Turn.Kind.HELP,
    Reason.GREETING: Turn.Kind.GREETING,
}


def kind_of(reason: str) -> Turn.Kind:
    """Return which kind of turn an event with this reason belongs to."""
    return _KINDS.get(reason, Turn.Kind.ANSWER)


def leads(bot: Bot) -> bool:
    """Tell whether conversations are the bot's first, and it gives them to humans.

    A bot that only writes notes has nobody waiting for it.
    """
    return bot.shadow or bot.reply_as != ReplyAs.PRIVATE_NOTE


def hides_from_humans(*, status: str, bot: Bot) -> bool:
    """Tell whether only the bot sees a conversation.

    Chatwoot shows pending ones to no agent by default. Open ones agents see anyway.
    """
    return status == ConversationStatus.PENDING and leads(bot)


@dataclass(frozen=True)
class Situation:
    """How a conversation stands, by the mirror or by Chatwoot itself right now."""

    status: str
    labels: tuple[str, ...]
    custom_attributes: JsonObject
    assignee_kind: str
    paused: bool
    human_message_id: int
    assignee_id: int | None = None
    additional_attributes: JsonObject = field(default_factory=dict)
    contact_custom_attributes: JsonObject = field(default_factory=dict)
    contact_additional_attributes: JsonObject = field(default_factory=dict)


def situation_of(conversation: Conversation) -> Situation:
    """Return how the conversation stands by the mirror."""
    return Situation(
        status=conversation.status,
        labels=tuple(conversation.labels),
        custom_attributes=conversation.custom_attributes,
        assignee_kind=conversation.assignee_kind,
        paused=conversation.paused,
        human_message_id=conversation.last_human_message_id,
        assignee_id=conversation.chatwoot_assignee_id,
        additional_attributes=conversation.additional_attributes,
        contact_custom_attributes=conversation.contact_custom_attributes,
        contact_additional_attributes=conversation.contact_additional_attributes,
    )


def person_of(conversation: Conversation, contact: Contact | None) -> Person:
    """Return what a bot's rules may ask about; the mirror has no number or e-mail."""
    return Person(
        contact_id=conversation.chatwoot_contact_id,
        phone=contact.phone_number if contact else "",
        email=contact.email if contact else "",
        labels=tuple(conversation.labels),
        attributes=(
            conversation.custom_attributes,
            conversation.contact_custom_attributes,
        ),
    )


def choice_sources(situation: Situation) -> tuple[JsonObject, ...]:
    """Return where the customer's choice is looked up, the first that counts first."""
    return (
        situation.custom_attributes,
        situation.additional_attributes,
        situation.contact_custom_attributes,
        situation.contact_additional_attributes,
    )


def replies_as(bot: Bot, situation: Situation, *, kind: str) -> ReplyAs:
    """Return in which form an answer reaches Chatwoot, as things stand.

    Where the customer chooses, no choice means a human: the bot writes notes.
    """
    if kind in (Turn.Kind.DRAFT, Turn.Kind.HELP) or bot.shadow:
        return ReplyAs.PRIVATE_NOTE
    if bot.reply_as != ReplyAs.BY_SUPPORT_MODE:
        return ReplyAs(bot.reply_as)
    choice = support_mode.chosen(bot, *choice_sources(situation))
    return ReplyAs.MESSAGE if choice == Choice.BOT else ReplyAs.PRIVATE_NOTE


@dataclass(frozen=True)
class FlowMarks:
    """What the bot's own flow did during the turn that it answers.

    `statuses` are those in which the conversation still is that turn's, `assignees` the
    agents that the flow itself gave it to; `assigned`: it may be any, a team's.
    """

    statuses: frozenset[str] = frozenset()
    assignees: frozenset[int] = frozenset()
    assigned: bool = False
    paused: bool = False
    spoke: bool = False


NO_MARKS = FlowMarks()


def marks_of(by_flow: JsonObject, *, by_webhook: bool = False) -> FlowMarks:
    """Return what `Turn.by_flow` says.

    As Chatwoot shows it now, only the status and the agent count that the flow set
    last. Webhooks of those before may come late: `by_webhook` lets them count, too.
    """
    statuses = _noted(by_flow, "status", with_former=by_webhook)
    agents = _noted(by_flow, "assignee", with_former=by_webhook)
    return FlowMarks(
        statuses=frozenset(name for name in statuses if isinstance(name, str)),
        assignees=frozenset(
            agent
            for agent in agents
            if isinstance(agent, int) and not isinstance(agent, bool)
        ),
        assigned=any(agent is True for agent in agents),
        paused=bool(by_flow.get("pause")),
        spoke=bool(by_flow.get("spoke")),
    )


def _noted(by_flow: JsonObject, name: str, *, with_former: bool) -> list[JsonValue]:
    former = by_flow.get(ALL_OF[name]) if with_former else None
    return [by_flow.get(name), *(former if isinstance(former, list) else [])]


# In which no agent is waiting for a conversation, and none is meant to.
CLOSED = frozenset({ConversationStatus.RESOLVED, ConversationStatus.SNOOZED})


def is_settled_by_flow(left: Reason | None, *, status: str, spoke: bool) -> bool:
    """Tell whether a handover leaves the status as the bot's own flow has set it.

    `left` is why the conversation no longer would be the bot's but for its flow. What
    the flow has opened is open. What it has resolved or snoozed stays so if the
    customer got an answer (`spoke`), but nobody is left with silence in a closed
    conversation.
    """
    if left != Reason.STATUS_NOT_ALLOWED:
        return False
    return status == ConversationStatus.OPEN or (spoke and status in CLOSED)


# The conversation still is the bot's, but the bot is to be silent: if only the bot sees
# the conversation, the humans have to be told.
SILENCED = frozenset({Reason.PAUSED, Reason.HUMAN_IS_ASSIGNED})


def why_no_longer(
    situation: Situation,
    *,
    turn_message_id: int,
    bot: Bot,
    marks: FlowMarks = NO_MARKS,
    kind: str = Turn.Kind.ANSWER,
) -> Reason | None:
    """Return why a turn may not be answered any more, or None if it may.

    A public human reply after the customer's last message takes over. An assignee alone
    does so only where the bot says so, since reopened conversations keep last week's
    (reference/chatwoot.md section 4). What the turn's own flow did (`marks`) takes
    nothing from it; an operator's pause here in the admin does.

    A draft is for the human who has the conversation and has not answered yet; what an
    agent asked is answered in any case.
    """
    if kind == Turn.Kind.HELP:
        return None
    if situation.human_message_id > turn_message_id:
        return Reason.HUMAN_HAS_TAKEN_OVER
    if kind == Turn.Kind.DRAFT:
        return _why_no_draft(situation, bot=bot)
    return _why_not_the_bots(situation, bot=bot, marks=marks)


def _why_not_the_bots(
    situation: Situation, *, bot: Bot, marks: FlowMarks = NO_MARKS
) -> Reason | None:
    if situation.status not in {*bot.statuses, *marks.statuses}:
        return Reason.STATUS_NOT_ALLOWED
    if situation.paused or (not marks.paused and is_paused(situation, bot=bot)):
        return Reason.PAUSED
    is_flows = marks.assigned or situation.assignee_id in marks.assignees
    # On a trial run it writes notes beside whoever is assigned.
    yields = bot.yields_to_assignee and not bot.shadow and not is_flows
    if yields and situation.assignee_kind == "user":
        return Reason.HUMAN_IS_ASSIGNED
    return None


def _why_no_draft(situation: Situation, *, bot: Bot) -> Reason | None:
    if situation.status != ConversationStatus.OPEN:
        return Reason.STATUS_NOT_ALLOWED
    if is_paused(situation, bot=bot):
        return Reason.PAUSED
    # Where the bot may speak by itself, the customer gets the answer.
    is_bots = _why_not_the_bots(situation, bot=bot) is None
    return Reason.STATUS_NOT_ALLOWED if is_bots else None


def is_paused(situation: Situation, *, bot: Bot) -> bool:
    """Tell whether somebody paused the bot: in our admin, by label or attribute."""
    if situation.paused or (bot.pause_label and bot.pause_label in situation.labels):
        return True
    value = situation.custom_attributes.get(bot.pause_attribute)
    if isinstance(value, str):
        return value.strip().lower() not in NOT_SET
    return bool(value)


# What people and flows write for "no".
NOT_SET = frozenset({"", "false", "0", "no", "off", "none", "null"})


def is_human_reply(message: Message) -> bool:
    """Tell whether a human said this to the customer.

    A reply typed on a phone (WhatsApp echo) has no sender at all, and neither have
    messages of automation rules, which carry the rule's number. With a person's token
    in place of a bot's, our own messages come back as that person's.
    """
    if message.message_type != "outgoing" or message.private:
        return False
    if message.is_from_automation or _is_ours(message):
        return False
    return message.sender.kind in ("user", "nobody")


def is_choice(event: ChatwootEvent) -> bool:
    """Tell whether a customer's click or form on a message of ours is told.

    Chatwoot tells it as a change of that message, and tells it again with each later
    one.
    """
    message = event.message
    if event.name != "message_updated" or message is None or message.is_deleted:
        return False
    if message.message_type != "outgoing" or message.private:
        return False
    is_bots = message.sender.kind == "agent_bot" or _is_ours(message)
    return is_bots and bool(submitted.text_of(message))


def _is_ours(message: Message) -> bool:
    return payloads.MARK_KEY in message.content_attributes


def _why_not_a_customers_message(event: ChatwootEvent) -> Reason | None:
    name, message = event.name, event.message
    if message is None:
        return _reason_of_other_event(name)
    if name == "message_updated":
        gone = message.is_deleted
        other = None if is_choice(event) else Reason.MESSAGE_UPDATED
        return Reason.MESSAGE_DELETED if gone else other
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
    message: Message | None,
    *,
    conversation: Conversation | None,
    bot: Bot | None,
    since: int,
) -> Reason | None:
    """Say why a customer's message is not the bridge's to care for."""
    if message is None or conversation is None:
        return Reason.UNKNOWN_EVENT
    is_empty = not message.text.strip() and not message.attachments
    if is_empty and not submitted.text_of(message):
        return Reason.EMPTY_MESSAGE
    if bot is None:
        return Reason.NO_BOT_FOR_INBOX
    if conversation.contact_blocked:
        return Reason.CONTACT_BLOCKED
    reason = _why_silenced(message, conversation=conversation, bot=bot, since=since)
    return None if reason in SILENCED else reason


# Nobody else cares for the message while only the bot sees the conversation.
_LEFT_TO_BOT = SILENCED | {
    Reason.BOT_DISABLED,
    Reason.BOT_HAS_NO_APP,
    Reason.TOO_OLD,
    Reason.NOT_FOR_CONTACT,
}
# A human has the conversation.
_HUMANS = frozenset({Reason.STATUS_NOT_ALLOWED, Reason.HUMAN_IS_ASSIGNED})


def _is_drafted(
    event: ChatwootEvent,
    reason: Reason,
    *,
    message: Message,
    conversation: Conversation,
    bot: Bot,
    now: datetime,
) -> bool:
    """Tell whether a customer's message that a human answers gets a draft."""
    if not bot.draft_notes or reason not in _HUMANS:
        return False
    if _why_no_draft(situation_of(conversation), bot=bot) is not None:
        return False
    why_not = _why_unanswerable(
        event, message=message, conversation=conversation, bot=bot, now=now
    )
    return why_not is None


def _why_silenced(
    message: Message, *, conversation: Conversation, bot: Bot, since: int
) -> Reason | None:
    situation = situation_of(conversation)
    return why_no_longer(situation, turn_message_id=max(message.id, since), bot=bot)


def _why_unanswerable(
    event: ChatwootEvent,
    *,
    message: Message,
    conversation: Conversation,
    bot: Bot,
    now: datetime | None,
) -> Reason | None:
    """Say why a message that waits for the bot is for the humans all the same."""
    if not bot.enabled:
        return Reason.BOT_DISABLED
    if bot.provider == DIFY and bot.dify_app is None:
        return Reason.BOT_HAS_NO_APP
    contact = event.conversation.contact if event.conversation else None
    if not contact_rules.is_for(bot, person_of(conversation, contact)):
        return Reason.NOT_FOR_CONTACT
    if now is not None and _age_s(message, now=now) > bot.max_message_age_s:
        return Reason.TOO_OLD
    return None


def _age_s(message: Message, *, now: datetime) -> float:
    """A message without a time is as old as its delivery: new.

    A click is as old as the change of the message that it was made on.
    """
    is_click = bool(submitted.text_of(message))
    written = message.updated_at if is_click else message.created_at
    return (now - written).total_seconds() if written else 0.0
