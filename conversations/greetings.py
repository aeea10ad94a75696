"""Greetings: whether one is owed, and who gets it first.

A greeting is claimed by its row before it is said, and said in a turn of its own, so
that it comes before the answer, once, whatever happens in between.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    OutcomeUnknown,
)
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.redact import cut
from chatwoot_api import payloads
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Inbox
from chatwoot_api.payloads import ChatwootEvent, WidgetOpening
from conversations import (
    business_hours,
    contact_rules,
    mirror,
    opening_statement,
    turns,
)
from conversations.call_log import CallRecorder
from conversations.decisions import (
    Situation,
    person_of,
    replies_as,
    situation_of,
    why_no_longer,
)
from conversations.freshness import Look
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    Greeting,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.models.bot_settings import DIFY, Greets, OutsideHours

logger = logging.getLogger(__name__)

# Without news of its beginning, a conversation begins with the first message that we
# hear of; not if it is older than this by then.
BEGAN_WITHIN = timedelta(hours=1)
# A start that was cut off: Chatwoot has had time enough to finish it by then.
CUT_OFF_AFTER = timedelta(minutes=1)
# Who came longer ago than this is greeted no more.
TOO_LATE_AFTER = timedelta(minutes=5)


# --- When a conversation starts ---------------------------------------------------


def begin(
    row: WebhookEvent,
    event: ChatwootEvent,
    *,
    conversation: Conversation,
    bot: Bot,
    now: datetime,
) -> Turn | None:
    """Return the turn that greets, if this event is the beginning of a conversation.

    A customer's first message then waits for the turn after it. Called under the
    conversation's lock, once the event is decided.
    """
    if bot.greets != Greets.CONVERSATION:
        return None
    starts = event.name == "conversation_created"
    if not starts and row.reason != Reason.CUSTOMER_MESSAGE:
        return None
    if not _is_new(event, conversation=conversation, now=now):
        return None
    contact = event.conversation.contact if event.conversation else None
    if not _may_greet(conversation, contact, bot=bot, now=now):
        return None
    if not _claimed(conversation):
        return None
    turn = turns.start_greeting(conversation, bot=bot, now=now)
    if starts and turn is not None:
        _attach(row, turn=turn)
    return turn


def _is_new(event: ChatwootEvent, *, conversation: Conversation, now: datetime) -> bool:
    """Tell whether nobody has said anything to the customer yet, as far as we know."""
    current = event.conversation
    if current is None or current.created_at is None:
        return False
    message = event.message
    written_at = message.created_at if message else None
    return (
        (written_at or now) - current.created_at <= BEGAN_WITHIN
        and conversation.last_bot_message_at is None
        and conversation.last_human_message_id == 0
        and not conversation.turns.exists()
    )


def _attach(row: WebhookEvent, *, turn: Turn) -> None:
    """Let the event show which greeting it began."""
    row.action, row.reason = Action.ANSWER, Reason.GREETING
    row.conversation, row.turn = turn.conversation, turn
    row.save(update_fields=["action", "reason", "conversation", "turn"])


def _claimed(conversation: Conversation) -> bool:
    _row, is_new = Greeting.objects.get_or_create(
        conversation=conversation, defaults={"account": conversation.account}
    )
    return is_new


def _may_greet(
    conversation: Conversation,
    contact: payloads.Contact | None,
    *,
    bot: Bot,
    now: datetime,
) -> bool:
    if conversation.contact_blocked or not conversation.account.has_token:
        return False
    if not contact_rules.is_for(bot, person_of(conversation, contact)):
        return False
    situation = situation_of(conversation)
    return why_not(situation, inbox=conversation.inbox, bot=bot, now=now) is None


def why_not(
    situation: Situation, *, inbox: Inbox | None, bot: Bot, now: datetime
) -> Reason | None:
    """Return why nobody is greeted as things stand.

    Not where the bot would not answer, and not where a human is.
    """
    if not bot.enabled:
        return Reason.BOT_DISABLED
    if bot.dify_app is None or bot.provider != DIFY:
        return Reason.NOTHING_TO_SAY
    if replies_as(bot, situation, kind=Turn.Kind.GREETING) != ReplyAs.MESSAGE:
        return Reason.NOTHING_TO_SAY
    if situation.assignee_kind == "user":
        return Reason.HUMAN_IS_ASSIGNED
    answers_always = bot.outside_hours == OutsideHours.ANSWER
    if not answers_always and not business_hours.is_open(inbox, now):
        return Reason.OUTSIDE_HOURS
    return why_no_longer(situation, turn_message_id=0, bot=bot)


def why_not_now(turn: Turn, *, bot: Bot, look: Look) -> Reason | None:
    """Return why a greeting that was owed is not said, right before it would be."""
    now = timezone.now()
    if now - turn.created_at > TOO_LATE_AFTER:
        return Reason.TOO_OLD
    last = look.last
    if last is not None and last.message_type == "outgoing" and not last.private:
        return Reason.OWN_MESSAGE
    return why_not(look.situation, inbox=turn.conversation.inbox, bot=bot, now=now)


# --- When the visitor opens the widget --------------------------------------------


def take_opening(row: WebhookEvent, event: ChatwootEvent, *, now: datetime) -> bool:
    """Claim the greeting of a visitor who has opened the widget; False if none is due.

    Called where the event is decided. `say_to_visitor` does the rest.
    """
    widget = event.widget
    if widget is None or widget.has_messages:
        return False
    inbox, bot = _greeter(row, event)
    if inbox is None or bot is None or widget.contact is None:
        return False
    expected = _expected(widget, inbox=inbox, bot=bot)
    if not _may_greet(expected, widget.contact, bot=bot, now=now):
        return False
    return _claimed_visitor(row.account, widget, now=now)


def _greeter(
    row: WebhookEvent, event: ChatwootEvent
) -> tuple[Inbox | None, Bot | None]:
    """Return the inbox and its bot, if that greets those who open the widget.

    An account without any such bot costs one question to the database.
    """
    greeting = Bot.objects.filter(account=row.account_id, greets=Greets.WIDGET)
    if event.inbox_id is None or not greeting.exists():
        return None, None
    inbox = Inbox.objects.remember(
        row.account,
        chatwoot_id=event.inbox_id,
        name=event.inbox_name,
        channel="Channel::WebWidget",
    )
    bot = Bot.objects.for_inbox(inbox)
    return inbox, bot if bot is not None and bot.greets == Greets.WIDGET else None


def _expected(widget: WidgetOpening, *, inbox: Inbox, bot: Bot) -> Conversation:
    """Return the visitor's conversation as it is, or would be; stored nowhere."""
    expected = Conversation(
        account=inbox.account,
        inbox=inbox,
        channel=inbox.channel,
        status=_first_status(bot),
    )
    if widget.current is not None:
        mirror.copy_state(widget.current, conversation=expected)
    contact = widget.contact
    if contact is not None:
        expected.chatwoot_contact_id = contact.id
        expected.contact_name = contact.name
        expected.contact_blocked = contact.blocked
        expected.contact_custom_attributes = contact.custom_attributes
        expected.contact_additional_attributes = contact.additional_attributes
    return expected


def _first_status(bot: Bot) -> str:
    """Return in which status a conversation is the bot's from the start."""
    wanted = (ConversationStatus.PENDING, ConversationStatus.OPEN)
    return next((status for status in wanted if status in bot.statuses), "")


def _claimed_visitor(
    account: ChatwootAccount, widget: WidgetOpening, *, now: datetime
) -> bool:
    """Claim the visitor. A claim without a conversation was cut off.

    Chatwoot says with each opening which conversation the visitor has. If there still
    is none a while later, none was started, and it may be tried again.
    """
    greeting, is_new = Greeting.objects.get_or_create(
        account=account,
        contact_inbox_id=widget.contact_inbox_id,
        defaults={"created_at": now},
    )
    if is_new:
        return True
    cut_off = Greeting.objects.filter(
        pk=greeting.pk, conversation=None, created_at__lt=now - CUT_OFF_AFTER
    )
    return bool(cut_off.update(created_at=now))


def say_to_visitor(
    row: WebhookEvent, event: ChatwootEvent, *, now: datetime
) -> Turn | None:
    """Return the turn that greets a visitor, in a conversation started for it.

    Outside of any transaction, since Dify and Chatwoot are asked. A start that failed
    is not repeated by itself, lest there be two: the visitor may open the widget again.
    """
    widget = event.widget
    inbox, bot = _greeter(row, event)
    if widget is None or widget.contact is None or inbox is None or bot is None:
        return None
    calls: list[FinishedCall] = []
    expected = _expected(widget, inbox=inbox, bot=bot)
    current, error, is_open = widget.current, "", False
    try:
        text, _rich = opening_statement.wording(
            expected, bot=bot, call_log=calls.append
        )
        if current is None and text:
            current = _started(widget.contact.id, inbox=inbox, bot=bot, calls=calls)
    except BridgeError as err:
        logger.warning("Event %s: nobody could be greeted: %s", row.pk, err)
        error, is_open = cut(str(err)), isinstance(err, OutcomeUnknown)
    claims = Greeting.objects.filter(
        account=row.account_id, contact_inbox_id=widget.contact_inbox_id
    )
    if current is None or not text:
        if not is_open:
            claims.filter(conversation=None).delete()
        row.reason, row.error = Reason.WIDGET_OPENED, error
        row.save(update_fields=["reason", "error"])
        return None
    conversation = mirror.introduce(row.account, current)
    turn = _greeting_turn(row, claims, conversation.pk, bot=bot, now=now)
    if turn is not None:
        _keep(calls, turn=turn)
    return turn


def _started(
    contact_id: int, *, inbox: Inbox, bot: Bot, calls: list[FinishedCall]
) -> payloads.Conversation:
    """Start a conversation with a visitor and return it.

    By what Chatwoot knows the visitor opens the conversations: that is read right
    before it is needed, and the calls are kept without what was said in them.
    """

    def note(call: FinishedCall) -> None:
        calls.append(replace(call, request_excerpt="", response_excerpt=""))

    row = ChatwootAccount.objects.filter(pk=inbox.account_id)
    client = ChatwootClient(inbox.account, call_log=note, on_refused=row.note_refusal)
    number = inbox.chatwoot_inbox_id
    source_id = client.source_id_of(contact_id, inbox_id=number)
    if not source_id:
        raise ConfigurationError(
            "The visitor is known by none or several numbers in the inbox, so it is "
            "not known in whose widget a conversation would appear."
        )
    return client.begin_conversation(
        inbox_id=number,
        contact_id=contact_id,
        source_id=source_id,
        status=_first_status(bot),
    )


def _greeting_turn(
    row: WebhookEvent,
    claims: QuerySet[Greeting],
    conversation_id: int,
    *,
    bot: Bot,
    now: datetime,
) -> Turn | None:
    """Make the turn, unless the visitor was quicker, or was greeted there before."""
    with transaction.atomic():
        conversation = mirror.lock(conversation_id)
        if Greeting.objects.filter(conversation=conversation).exists():
            return None
        claims.filter(conversation=None).update(conversation=conversation)
        if conversation.turns.exists() or conversation.last_customer_message_id:
            return None
        turn = turns.start_greeting(conversation, bot=bot, now=now)
        if turn is not None:
            _attach(row, turn=turn)
        return turn


def _keep(calls: list[FinishedCall], *, turn: Turn) -> None:
    """Show at the turn what was asked before there was one."""
    recorder = CallRecorder(turn)
    for call in calls:
        recorder(call)
    recorder.flush()
