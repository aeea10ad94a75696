"""Decide about one stored event: mirror, decision, turn, in one transaction."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from bridge_project.lib.redact import cut
from chatwoot_api.payloads import parse_event
from conversations import deletion, mirror, turns, waiting
from conversations.decisions import (
    NO_MARKS,
    Decision,
    FlowMarks,
    Situation,
    decide,
    marks_of,
    situation_of,
    why_no_longer,
)
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    OutgoingMessage,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.event import OWED
from conversations.turns import MAX_JOINED

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
# A bot that fails each time it is given a message back is not asked for ever.
MAX_TAKEN_BACK = 2


def process(event_id: int, *, now: datetime) -> Turn | None:
    """Process a stored event and return the turn that it began, or ended, if any.

    An event that is being processed elsewhere, or was, is left alone. One that cannot
    be processed stays for the sweep and after ten attempts becomes `failed`; a
    database that is away or busy says nothing about the event and does not count.
    """
    try:
        with transaction.atomic():
            row = _lock_received(event_id)
            return None if row is None else _process(row, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:
        _note_failure(event_id, err)
        raise


def _lock_received(event_id: int) -> WebhookEvent | None:
    """Without its account: an account that cannot be read is a failure that counts."""
    return (
        WebhookEvent.objects.select_for_update(skip_locked=True)
        .filter(pk=event_id, status=WebhookEvent.Status.RECEIVED)
        .first()
    )


def _process(row: WebhookEvent, *, now: datetime) -> Turn | None:
    event = parse_event(row.payload)
    if event.account_id not in (None, row.account.account_id):
        decision = Decision(Action.IGNORE, Reason.UNKNOWN_ACCOUNT)
        store(row, decision=decision, now=now)
        return None
    if event.conversation is None:
        decision = decide(event, conversation=None, bot=None, known=None, now=now)
        store(row, decision=decision, now=now)
        return None
    conversation = mirror.locked(row.account, number=event.conversation.id)
    before, waited = situation_of(conversation), waiting.known_of(conversation)
    mirror.apply(event, to=conversation)
    bot = Bot.objects.for_inbox(conversation.inbox) if conversation.inbox else None
    _forget_if_resolved(before.status, conversation=conversation, bot=bot)
    decision = decide(
        event,
        conversation=conversation,
        bot=bot,
        known=known(row),
        now=now,
    )
    row.conversation = conversation
    store(row, decision=decision, now=now)
    waiting.follow(
        event, conversation=conversation, before=waited, bot=bot, reason=decision.reason
    )
    ended = None
    if decision.reason == Reason.MESSAGE_DELETED and event.message:
        ended = turns.withdraw(conversation, message_id=event.message.id)
    if bot is None or ended is not None:
        return ended
    if decision.action not in OWED:
        return _follow(conversation, before=before, bot=bot, now=now)
    if decision.action == Action.ANSWER and _is_given_back(
        conversation, before=before, bot=bot
    ):
        # The customer's own message is the first news of it.
        _take_back(conversation, before=before, bot=bot, now=now)
    hands_over = decision.action == Action.HAND_OVER
    return turns.add_message(
        row,
        conversation=conversation,
        bot=bot,
        now=now,
        handover_reason=decision.reason if hands_over else "",
    )


def _follow(
    conversation: Conversation, *, before: Situation, bot: Bot, now: datetime
) -> Turn | None:
    """Stop a run whose answer is no longer wanted, or go on where the bot may again.

    What the run's own flow has changed neither stops the run nor, as long as it is so,
    gives anything back.
    """
    current = situation_of(conversation)
    newest = conversation.last_customer_message_id
    reason = why_no_longer(current, turn_message_id=newest, bot=bot)
    if reason is not None:
        turn = Turn.objects.running_turn(conversation.pk)
        since = max(newest, turn.despite_message_id if turn else 0)
        reason = why_no_longer(
            current,
            turn_message_id=since,
            bot=bot,
            marks=_marks(turn),
            kind=turn.kind if turn else Turn.Kind.ANSWER,
        )
        if reason is not None:
            Turn.objects.interrupt_running(conversation.pk, cause=reason)
        return None
    if not _is_given_back(conversation, before=before, bot=bot):
        return None
    return _take_back(conversation, before=before, bot=bot, now=now)


def _marks(turn: Turn | None) -> FlowMarks:
    return marks_of(turn.by_flow, by_webhook=True) if turn else NO_MARKS


def _is_given_back(conversation: Conversation, *, before: Situation, bot: Bot) -> bool:
    """Tell whether the bot had to be silent until now.

    Not after a resolve: what was open then is settled, and what comes is new.
    """
    if before.status in ("", ConversationStatus.RESOLVED):
        return False
    newest = conversation.last_customer_message_id
    return why_no_longer(before, turn_message_id=newest, bot=bot) is not None


def _take_back(
    conversation: Conversation, *, before: Situation, bot: Bot, now: datetime
) -> Turn | None:
    """Owe an answer to what is unanswered in a conversation that the bot has again.

    Whoever gives it back expects the bot to go on, and nobody else sees it. What a
    human answered is left alone; so is what the bot could only hand over again, and
    what it may have answered although nobody could find that out.
    """
    turns.drop_drafts(conversation)
    answers = conversation.turns.filter(kind=Turn.Kind.ANSWER)
    drafts = conversation.turns.filter(kind=Turn.Kind.DRAFT)
    in_vain = answers.filter(
        status__in=[Turn.Status.HANDED_OVER, Turn.Status.FAILED],
        last_message_id__gte=conversation.last_customer_message_id,
    )
    if in_vain.count() >= MAX_TAKEN_BACK:
        return None
    open_ends = [Turn.Status.SKIPPED, Turn.Status.HANDED_OVER, Turn.Status.FAILED]
    answered = answers.filter(status=Turn.Status.ANSWERED)
    newest = answered.aggregate(newest=Max("last_message_id"))["newest"] or 0
    spoke = answers.filter(
        outgoing_messages__part=OutgoingMessage.Part.ANSWER,
        outgoing_messages__attempted_at__isnull=False,
    )
    rows = (
        WebhookEvent.objects.filter(
            Q(turn=None)
            | Q(turn__in=drafts)
            | Q(turn__in=answers.filter(status__in=open_ends)) & ~Q(turn__in=spoke),
            conversation=conversation,
            name="message_created",
            payload__message_type__in=["incoming", 0],
            status=WebhookEvent.Status.PROCESSED,
            chatwoot_message_id__gt=max(
                newest,
                conversation.last_human_message_id,
                _settled_by_flow(conversation, before=before, bot=bot),
            ),
        )
        .exclude(payload={})
        .order_by("-chatwoot_message_id")[:MAX_JOINED]
    )
    for row in rows:
        decision = decide(
            parse_event(row.payload),
            conversation=conversation,
            bot=bot,
            known=known(row),
            now=now,
        )
        if decision.action == Action.ANSWER:
            row.turn = None
            row.save(update_fields=["turn"])
            store(row, decision=decision, now=now)
    return turns.start_waiting(conversation)


def _settled_by_flow(conversation: Conversation, *, before: Situation, bot: Bot) -> int:
    """Return up to which message a flow that took and gave back settles nothing anew.

    It opened the conversation and set it to pending again within one run: only what
    came in between was missed.
    """
    turn = Turn.objects.running_turn(conversation.pk)
    if turn is None:
        return 0
    newest = conversation.last_customer_message_id
    by_others = why_no_longer(
        before, turn_message_id=newest, bot=bot, marks=_marks(turn)
    )
    return turn.last_message_id if by_others is None else 0


def known(row: WebhookEvent) -> Reason | None:
    """Tell whether an earlier event settled this message, and how.

    Another delivery may have brought it to be answered, and the news of its deletion
    may have come before the message itself.
    """
    if row.chatwoot_message_id is None:
        return None
    same = WebhookEvent.objects.filter(
        account=row.account_id, chatwoot_message_id=row.chatwoot_message_id
    ).exclude(pk=row.pk)
    if same.filter(reason=Reason.MESSAGE_DELETED).exists():
        return Reason.MESSAGE_DELETED
    if same.filter(action__in=OWED).exists():
        return Reason.DUPLICATE_MESSAGE
    return None


def _forget_if_resolved(
    status_before: str, *, conversation: Conversation, bot: Bot | None
) -> None:
    """A conversation that comes back next month is about something else."""
    resolved = ConversationStatus.RESOLVED
    if conversation.status != resolved or status_before == resolved:
        return
    if bot is not None:
        deletion.on_resolved(conversation, bot=bot)


def store(row: WebhookEvent, *, decision: Decision, now: datetime) -> None:
    row.status = WebhookEvent.Status.PROCESSED
    row.action = decision.action
    row.reason = decision.reason
    row.processed_at = now
    row.error = ""
    row.save(
        update_fields=[
            "status",
            "action",
            "reason",
            "processed_at",
            "error",
            "conversation",
        ]
    )


def _note_failure(event_id: int, err: Exception) -> None:
    with transaction.atomic():
        row = _lock_received(event_id)
        if row is None:
            return
        row.attempts += 1
        row.error = cut(f"{type(err).__name__}: {err}")
        row.save(update_fields=["attempts", "error"])
        if row.attempts >= MAX_ATTEMPTS:
            logger.error("Event %s failed too often and is given up", row.pk)
            _give_up(row)


def _give_up(row: WebhookEvent) -> None:
    """Mark the event as failed; a customer's message goes to the humans."""
    row.status, row.processed_at = WebhookEvent.Status.FAILED, timezone.now()
    row.save(update_fields=["status", "processed_at"])
    is_new = row.name == "message_created"
    if not is_new or row.payload.get("message_type") not in ("incoming", 0):
        return
    try:
        with transaction.atomic():
            _owe_handover(row)
    except Exception:
        logger.exception("Event %s cannot even be handed over", row.pk)


def _owe_handover(row: WebhookEvent) -> None:
    """Make the turn without what could not be processed: ids are enough for it."""
    if row.chatwoot_conversation_id is None or row.chatwoot_message_id is None:
        return
    conversation = mirror.locked(row.account, number=row.chatwoot_conversation_id)
    inbox = conversation.inbox
    bot = Bot.objects.for_inbox(inbox) if inbox else row.account.bots.first()
    if bot is None or known(row):
        return
    row.conversation = conversation
    row.action, row.reason = Action.HAND_OVER, Reason.INTERNAL_ERROR
    row.save(update_fields=["action", "reason", "conversation"])
    waiting.begin(conversation, at=row.received_at)
    turns.add_message(
        row,
        conversation=conversation,
        bot=bot,
        now=timezone.now(),
        handover_reason=Reason.INTERNAL_ERROR,
    )
