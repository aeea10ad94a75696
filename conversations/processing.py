"""Decide about one stored event: mirror, decision, turn, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from bridge_project.lib.redact import cut
from chatwoot_api import submitted
from chatwoot_api.payloads import ChatwootEvent, parse_event
from conversations import (
    deletion,
    drafts,
    feedback,
    flow_forms,
    form_data,
    form_rows,
    greetings,
    mirror,
    support_mode,
    turns,
    waiting,
)
from conversations.decisions import (
    NO_MARKS,
    Decision,
    FlowMarks,
    Situation,
    choice_sources,
    decide,
    is_choice,
    kind_of,
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
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.models.event import OWED
from conversations.turns import MAX_JOINED

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
# A bot that fails each time it is given a message back is not asked for ever.
MAX_TAKEN_BACK = 2
# A form's contact attributes come with a request of their own, right after the message.
WAITS_FOR_CHOICE_S = 3.0
# No question, whoever has the conversation.
_NEVER_OPEN = (Reason.FORM_DATA,)
# News of a message that was clicked, but not the click itself.
_NO_CLICK = (
    Reason.MESSAGE_UPDATED,
    Reason.DUPLICATE_MESSAGE,
    Reason.MESSAGE_DELETED,
)
_EVER = datetime.min.replace(tzinfo=UTC)


def process(
    event_id: int,
    *,
    now: datetime,
    wake_feedback: Callable[[int], object] | None = None,
) -> Turn | None:
    """Process a stored event and return the turn that it began, or ended, if any.

    An event that is being processed elsewhere, or was, is left alone. One that cannot
    be processed stays for the sweep and after ten attempts becomes `failed`; a
    database that is away or busy says nothing about the event and does not count.
    `wake_feedback` is called with an event that is feedback, once that is stored.
    """
    try:
        with transaction.atomic():
            row = _lock_received(event_id)
            turn = None if row is None else _process(row, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:
        _note_failure(event_id, err)
        raise
    if row is not None and row.reason == Reason.FEEDBACK and wake_feedback:
        wake_feedback(event_id)
    if row is not None and row.name == "webwidget_triggered":
        return _greet_visitor(row, now=now)
    return turn


def _greet_visitor(row: WebhookEvent, *, now: datetime) -> Turn | None:
    """Say hello to who has opened the widget, if that was found to be owed."""
    if row.reason != Reason.GREETING:
        return None
    return greetings.say_to_visitor(row, parse_event(row.payload), now=now)


def _lock_received(event_id: int) -> WebhookEvent | None:
    """Without its account: an account that cannot be read is a failure that counts."""
    return (
        WebhookEvent.objects.select_for_update(skip_locked=True)
        .filter(pk=event_id, status=WebhookEvent.Status.RECEIVED)
        .first()
    )


def event_of(row: WebhookEvent) -> ChatwootEvent:
    """Return what a stored event tells; a click is at least as old as its delivery."""
    event = parse_event(row.payload)
    message = event.message
    if message is None or message.updated_at is not None or not is_choice(event):
        return event
    return replace(event, message=replace(message, updated_at=row.received_at))


def _process(row: WebhookEvent, *, now: datetime) -> Turn | None:
    event = event_of(row)
    if event.account_id not in (None, row.account.account_id):
        decision = Decision(Action.IGNORE, Reason.UNKNOWN_ACCOUNT)
        store(row, decision=decision, now=now)
        return None
    if event.conversation is None:
        decision = decide(event, conversation=None, bot=None, known=None, now=now)
        if greetings.take_opening(row, event, now=now):
            decision = Decision(Action.IGNORE, Reason.GREETING)
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
        known=known(row)
        or form_data.why(
            event,
            conversation=conversation,
            known_message_id=waited.last_customer_message_id,
        ),
        now=now,
    )
    decision = _if_possible(decision, conversation=conversation)
    row.conversation = conversation
    if bot is not None:
        decision = flow_forms.about(
            event, row=row, conversation=conversation, bot=bot, decision=decision
        )
    if is_choice(event) and decision.reason not in _NO_CLICK:
        mirror.note_click(event, conversation=conversation)
    store(row, decision=decision, now=now)
    if decision.reason == Reason.FEEDBACK:
        feedback.begin(row)
    _follow_drafts(event, decision=decision, conversation=conversation, bot=bot)
    waiting.follow(
        event, conversation=conversation, before=waited, bot=bot, reason=decision.reason
    )
    ended = None
    if decision.reason == Reason.MESSAGE_DELETED and event.message:
        ended = turns.withdraw(conversation, message_id=event.message.id)
    if bot is None or ended is not None:
        return ended
    greeting = greetings.begin(row, event, conversation=conversation, bot=bot, now=now)
    if greeting is not None:
        return greeting
    if decision.action not in OWED:
        return _follow(conversation, before=before, bot=bot, now=now)
    is_question = kind_of(decision.reason) == Turn.Kind.ANSWER
    is_question = is_question and decision.reason != Reason.FORM_ANSWERED
    if (
        decision.action == Action.ANSWER
        and is_question
        and _is_given_back(conversation, before=before, bot=bot)
    ):
        # The customer's own message is the first news of it.
        _take_back(conversation, before=before, bot=bot, now=now)
    hands_over = decision.action == Action.HAND_OVER
    turn = turns.add_message(
        row,
        conversation=conversation,
        bot=bot,
        now=now,
        handover_reason=decision.reason if hands_over else "",
        at_least_s=_waits_for_choice_s(conversation, bot=bot),
    )
    turns.date_click(row, conversation=conversation)
    return turn


def _if_possible(decision: Decision, *, conversation: Conversation) -> Decision:
    """Leave what nobody can post where it is: without a token there is no way."""
    account = conversation.account
    if decision.action not in OWED or account.has_token:
        return decision
    logger.warning(
        "Conversation %s: nothing is posted, since the Chatwoot account “%s” has no "
        "token. Enter one at the account; it works for the next message.",
        conversation,
        account,
    )
    return Decision(Action.IGNORE, Reason.NO_CREDENTIALS)


def _waits_for_choice_s(conversation: Conversation, *, bot: Bot) -> float:
    """Return how long a conversation's first message waits for the form's choice.

    The look at Chatwoot when the turn is due decides then.
    """
    if bot.reply_as != ReplyAs.BY_SUPPORT_MODE or bot.shadow:
        return 0.0
    if support_mode.is_set(bot, *choice_sources(situation_of(conversation))):
        return 0.0
    return 0.0 if conversation.turns.exists() else WAITS_FOR_CHOICE_S


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
        since = max(newest, turn.takeover_after_id if turn else 0)
        reason = why_no_longer(
            current,
            turn_message_id=since,
            bot=bot,
            marks=_marks(turn),
            kind=turn.kind if turn else Turn.Kind.ANSWER,
        )
        is_for_note = turn is not None and form_rows.is_agents(turn)
        if reason == Reason.HUMAN_HAS_TAKEN_OVER and is_for_note:
            # An agent had the flow go on; what it says is for the agents then.
            return None
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
            Q(
                name="message_created",
                payload__message_type__in=["incoming", 0],
                chatwoot_message_id__gt=max(
                    newest,
                    conversation.last_human_message_id,
                    _settled_by_flow(conversation, before=before, bot=bot),
                ),
            )
            | _clicks_since(_last_answered_at(conversation, answered=answered)),
            conversation=conversation,
            status=WebhookEvent.Status.PROCESSED,
        )
        .exclude(payload={})
        .exclude(reason__in=_NEVER_OPEN)
        .order_by("-chatwoot_message_id")[:MAX_JOINED]
    )
    for row in rows:
        decision = decide(
            event_of(row),
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


def _last_answered_at(
    conversation: Conversation, *, answered: QuerySet[Turn]
) -> datetime:
    """Return until when bot or human answered what there was: clicks have no number."""
    last = answered.aggregate(last=Max(Coalesce("finished_at", "created_at")))["last"]
    return max(last or _EVER, conversation.last_human_message_at or _EVER)


def _clicks_since(moment: datetime) -> Q:
    """Match the news of clicks and forms after a moment, each click once."""
    return Q(
        ~Q(reason__in=_NO_CLICK),
        name="message_updated",
        payload__content_type__in=["input_select", "form"],
        received_at__gt=moment,
    )


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
    if row.name == "message_updated" and submitted.is_in(row.payload):
        # Read receipts and edits tell of the click again, whatever became of it.
        news = same.filter(name="message_updated", status=WebhookEvent.Status.PROCESSED)
        if news.exclude(reason__in=_NO_CLICK).exists():
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
        if drafts.may_have_drafts(bot):
            drafts.settle(conversation)


def _follow_drafts(
    event: ChatwootEvent,
    *,
    decision: Decision,
    conversation: Conversation,
    bot: Bot | None,
) -> None:
    """Note a human's reply beside what the bot suggested."""
    message = event.message
    if message is None or decision.reason != Reason.HUMAN_REPLY:
        return
    if bot is not None and drafts.may_have_drafts(bot):
        at = message.created_at or timezone.now()
        drafts.note_reply(conversation, message=message, at=at)


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
    is_new = is_new and row.payload.get("message_type") in ("incoming", 0)
    is_click = row.name == "message_updated" and submitted.is_in(row.payload)
    if not is_new and not (is_click and row.payload.get("message_type") == "outgoing"):
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
