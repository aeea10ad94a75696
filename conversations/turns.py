"""Make, join and end turns. The caller holds the conversation's row lock."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from conversations import form_rows, mirror, waiting
from conversations.decisions import kind_of
from conversations.models import (
    Action,
    Bot,
    Conversation,
    OnNewMessage,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.models.bot import MAX_DEBOUNCE_S
from conversations.models.event import OWED
from conversations.models.turn import JOINABLE
from conversations.outcomes import NEW_MESSAGE

# More messages than this are not joined into one answer.
MAX_JOINED = 20
# Whose turns messages may join; each of the others is about one event.
_COLLECTING = (Turn.Kind.ANSWER, Turn.Kind.DRAFT)


def add_message(
    event: WebhookEvent,
    *,
    conversation: Conversation,
    bot: Bot,
    now: datetime,
    handover_reason: str = "",
    at_least_s: float = 0.0,
) -> Turn | None:
    """Let a customer's message join the open turn, or start one.

    Returns the turn to run at its `next_attempt_at`, or None if a run is under way: the
    message then waits for the turn after it, or stops the run, as the bot says. With
    `handover_reason` a new turn owes only the handover. Drafts, what agents ask and
    answers to customers have turns of their own, and so has the answer to a form.
    """
    kind = kind_of(event.reason)
    collects = kind in _COLLECTING and event.reason != Reason.FORM_ANSWERED
    # Locked, since a worker's claim does not wait for the conversation's lock.
    turn = (
        Turn.objects.select_for_update(no_key=True)
        .unfinished()
        .filter(conversation=conversation)
        .first()
    )
    if turn is not None and kind == Turn.Kind.ANSWER and step_aside(turn):
        turn = None
    if turn is None:
        waits = collects and not handover_reason
        pause_s = max(bot.debounce_s, at_least_s) if waits else 0
        turn = Turn.objects.create(
            conversation=conversation,
            bot=bot,
            kind=kind,
            last_message_id=event.chatwoot_message_id or 0,
            handover_reason=handover_reason,
            created_at=now,
            next_attempt_at=now + timedelta(seconds=pause_s),
            **form_rows.turn_values(event),
        )
        _attach([event], turn=turn)
        return turn
    if turn.kind != kind or not collects or turn.flow_form_id is not None:
        return None
    if turn.handover_reason and not handover_reason:
        return None
    if turn.status == Turn.Status.RUNNING and not handover_reason:
        _restart_with(event, turn=turn, bot=bot)
        return None
    if turn.status not in JOINABLE:
        return None
    _attach([event], turn=turn)
    _wait_for_more(turn, bot=bot, now=now)
    return turn


def start_greeting(
    conversation: Conversation, *, bot: Bot, now: datetime
) -> Turn | None:
    """Start the turn that greets; None if the conversation has an open turn already."""
    if Turn.objects.unfinished().filter(conversation=conversation).exists():
        return None
    return Turn.objects.create(
        conversation=conversation,
        bot=bot,
        kind=Turn.Kind.GREETING,
        last_message_id=0,
        created_at=now,
        next_attempt_at=now,
    )


def _wait_for_more(turn: Turn, *, bot: Bot, now: datetime) -> None:
    """Let a turn that was not tried yet wait a little longer, within limits."""
    if turn.started_at is not None or not bot.debounce_s:
        return
    due = min(
        now + timedelta(seconds=bot.debounce_s),
        turn.created_at + timedelta(seconds=MAX_DEBOUNCE_S),
    )
    is_full = turn.events.count() >= MAX_JOINED
    # It may wait for something else, too, such as a form's late choice.
    due = max(due, turn.next_attempt_at)
    turn.next_attempt_at = now if is_full else max(now, due)
    turn.save(update_fields=["next_attempt_at"])


def _restart_with(event: WebhookEvent, *, turn: Turn, bot: Bot) -> None:
    """Have the run stopped and begun anew with this message, unless it has posted."""
    if bot.on_new_message != OnNewMessage.RESTART or turn.handover_reason:
        return
    if turn.posting_at is not None or turn.interrupt not in ("", NEW_MESSAGE):
        return
    if turn.events.count() >= MAX_JOINED or turn.outgoing_messages.exists():
        return
    if turn.by_flow.get("spoke"):
        # What the flow has told the customer it would tell again.
        return
    _attach([event], turn=turn)
    Turn.objects.filter(pk=turn.pk).update(interrupt=NEW_MESSAGE)


def drop_drafts(conversation: Conversation) -> None:
    """Give up a draft: the bot has the conversation, and answers by itself."""
    drafts = Turn.objects.filter(conversation=conversation, kind=Turn.Kind.DRAFT)
    drafts.filter(status=Turn.Status.RUNNING, posting_at=None).update(
        interrupt=Reason.STATUS_NOT_ALLOWED
    )
    drafts.filter(status__in=JOINABLE).update(
        status=Turn.Status.SKIPPED,
        reason=Reason.STATUS_NOT_ALLOWED,
        finished_at=timezone.now(),
        queued_for=None,
    )


def step_aside(turn: Turn) -> bool:
    """End what waits for the agents' sake, so that no customer waits for it.

    True if the conversation has no open turn any more. A draft is not wanted when the
    bot answers by itself. What an agent asked is asked anew afterwards, unless the
    answer to it, or the note about its failure, is on its way. What runs is told to
    stop, and steps aside then.
    """
    if turn.kind == Turn.Kind.DRAFT:
        drop_drafts(turn.conversation)
        return turn.status in JOINABLE
    if turn.kind != Turn.Kind.HELP or turn.handover_reason:
        return False
    if turn.status == Turn.Status.RUNNING and turn.posting_at is None:
        rows = Turn.objects.filter(pk=turn.pk, interrupt="")
        rows.update(interrupt=NEW_MESSAGE)
    if turn.status not in JOINABLE or turn.outgoing_messages.exists():
        return False
    turn.status, turn.reason = Turn.Status.SKIPPED, Reason.CUSTOMER_MESSAGE
    turn.finished_at, turn.queued_for = timezone.now(), None
    turn.save(update_fields=["status", "reason", "finished_at", "queued_for"])
    turn.events.update(turn=None)
    return True


def withdraw(conversation: Conversation, *, message_id: int) -> Turn | None:
    """Take back a message that was deleted, unless its answer was on its way.

    A turn that has no message left ends as skipped, and is returned.
    """
    turn = (
        Turn.objects.select_for_update(no_key=True)
        .filter(conversation=conversation, status__in=JOINABLE, handover_reason="")
        .first()
    )
    if turn is not None and turn.outgoing_messages.exists():
        turn = None
    # The answer to a form is given: its flow has to go on.
    gone = (
        WebhookEvent.objects.filter(
            Q(turn=None) | Q(turn=turn),
            conversation=conversation,
            chatwoot_message_id=message_id,
            action__in=OWED,
        )
        .exclude(reason=Reason.FORM_ANSWERED)
        .update(action=Action.IGNORE, reason=Reason.MESSAGE_DELETED, turn=None)
    )
    if not gone or turn is None:
        return None
    newest = turn.events.aggregate(newest=Max("chatwoot_message_id"))["newest"]
    if newest is not None:
        Turn.objects.filter(pk=turn.pk).update(last_message_id=newest)
        return None
    turn.status, turn.reason = Turn.Status.SKIPPED, Reason.MESSAGE_DELETED
    turn.finished_at, turn.queued_for = timezone.now(), None
    turn.save(update_fields=["status", "reason", "finished_at", "queued_for"])
    return turn


def finish(
    turn: Turn,
    *,
    lease: UUID,
    status: Turn.Status,
    reason: Reason,
    error: str = "",
    replied_as: str = "",
    about: Iterable[WebhookEvent],
) -> Turn | None:
    """End a run's turn for good and return the turn that follows it, if any.

    It ends for the messages that the run was `about`; one that joined it later, to have
    it begin anew, gets the turn that follows. Does nothing when the lease is lost:
    whoever holds it now will end the turn. Nor when the contact was erased meanwhile,
    and the turn with it.
    """
    about = list(about)
    numbers = [event.chatwoot_message_id or 0 for event in about]
    with transaction.atomic(), suppress(Conversation.DoesNotExist):
        conversation = mirror.lock(turn.conversation_id)
        ended = Turn.objects.held(turn.pk, lease=lease).update(
            last_message_id=max(numbers, default=turn.last_message_id),
            status=status,
            reason=reason,
            error=error,
            replied_as=replied_as,
            finished_at=timezone.now(),
            lease=None,
            lease_expires_at=None,
        )
        if not ended:
            return None
        is_told = status == Turn.Status.ANSWERED and replied_as == ReplyAs.MESSAGE
        # Opened for the humans, a word that begins anew is theirs to answer.
        is_forgotten = status == Turn.Status.SKIPPED and reason == Reason.RESET
        if is_told or is_forgotten:
            # A private note is no answer: the customer does not see it.
            up_to = max(numbers, default=turn.last_message_id)
            # Who clicks has read, and passed over, what was said after the question.
            up_to = max(up_to, turn.despite_message_id)
            waiting.answered(conversation, up_to=up_to)
        joined = turn.events.exclude(pk__in=[event.pk for event in about])
        # Who was greeted before the first message may write more of them.
        is_first = turn.kind == Turn.Kind.GREETING
        return start_waiting(conversation, and_also=joined, is_first=is_first)
    return None


def postpone(
    turn: Turn,
    *,
    lease: UUID,
    status: Turn.Status,
    until: datetime,
    error: str,
    handover_reason: str = "",
    counts: bool = True,
    queued_for: int | None = None,
) -> Turn | None:
    """Put a run's turn back for another attempt; None when the lease is lost.

    Messages that came meanwhile join it, for one answer to all of them. A handover that
    begins counts its attempts anew; without `counts` the last one was none. Returns the
    turn to be run next: another one, if a customer waits for what an agent asked.
    `queued_for` is the number of the Dify app that has no place.
    """
    begins_handover = handover_reason != turn.handover_reason
    attempts = turn.attempts if counts else max(turn.attempts - 1, 0)
    with transaction.atomic(), suppress(Conversation.DoesNotExist):
        conversation = mirror.lock(turn.conversation_id)
        held = Turn.objects.held(turn.pk, lease=lease).update(
            status=status,
            next_attempt_at=until,
            # A handover tells the agents why there is no answer, not what came after.
            error=turn.error if turn.handover_reason else error,
            handover_reason=handover_reason,
            attempts=0 if begins_handover else attempts,
            queued_for=queued_for,
            lease=None,
            lease_expires_at=None,
        )
        if not held:
            return None
        if status in JOINABLE and not handover_reason:
            waiting = WebhookEvent.objects.waiting_for_turn(turn.conversation_id)
            _attach([row for row in waiting if _may_join(row, turn)], turn=turn)
        return start_waiting(conversation) or turn
    return None


def start_waiting(
    conversation: Conversation,
    *,
    and_also: QuerySet[WebhookEvent] | None = None,
    is_first: bool = False,
) -> Turn | None:
    """Start the turn of messages that arrived while another was being answered.

    The first of a conversation waits for more messages; a later one has waited.
    """
    events = WebhookEvent.objects.waiting_for_turn(conversation.pk)
    if and_also is not None:
        events = events.union(and_also)
    waiting = _of_one_kind(
        sorted(events, key=lambda event: event.chatwoot_message_id or 0)
    )
    if not waiting:
        return None
    newest = waiting[-1]
    kind = kind_of(newest.reason)
    # Locked, since a worker's claim does not wait for the conversation's lock.
    open_ = Turn.objects.select_for_update(no_key=True).unfinished()
    turn = open_.filter(conversation=conversation).first()
    if turn is not None and not (kind == Turn.Kind.ANSWER and step_aside(turn)):
        return None
    # Without a bot, because it was deleted, the turn ends by saying so.
    bot = Bot.objects.for_inbox(conversation.inbox) if conversation.inbox else None
    hands_over = newest.action == Action.HAND_OVER
    pause_s = bot.debounce_s if bot and is_first and not hands_over else 0
    turn = Turn.objects.create(
        conversation=conversation,
        bot=bot,
        kind=kind,
        last_message_id=0,
        handover_reason=newest.reason if hands_over else "",
        next_attempt_at=timezone.now() + timedelta(seconds=pause_s),
        **form_rows.turn_values(newest),
    )
    _attach(waiting, turn=turn)
    for event in waiting:
        date_click(event, conversation=conversation)
    return turn


def date_click(event: WebhookEvent, *, conversation: Conversation) -> None:
    """Let a click's turn begin after all that was written before the click.

    Its number is that of the bot's question, and a human may have written since. Whom
    the humans' answer has not reached is handed to them.
    """
    since = conversation.last_customer_message_id
    if event.action == Action.HAND_OVER:
        since = max(since, conversation.last_human_message_id)
    is_click = event.name == "message_updated"
    is_newer = since > (event.chatwoot_message_id or 0)
    if event.turn_id is None or not is_click or not is_newer:
        return
    Turn.objects.filter(pk=event.turn_id).update(
        despite_message_id=Greatest("despite_message_id", since)
    )


def pause_s(turn: Turn | None) -> float:
    """Return how long it is until a turn that was just made is due."""
    if turn is None:
        return 0.0
    return max((turn.next_attempt_at - timezone.now()).total_seconds(), 0.0)


def _of_one_kind(events: list[WebhookEvent]) -> list[WebhookEvent]:
    """Return those that one turn is made for; customers come before agents.

    The answer to a form comes first: its flow waits for it.
    """
    answers = [event for event in events if event.reason == Reason.FORM_ANSWERED]
    if answers:
        return answers[:1]
    kinds = {kind_of(event.reason) for event in events}
    kind = next((kind for kind in Turn.Kind if kind in kinds), None)
    same = [event for event in events if kind_of(event.reason) == kind]
    return same if kind in _COLLECTING else same[:1]


def _may_join(event: WebhookEvent, turn: Turn) -> bool:
    """Tell whether a message is one of those that a turn collects."""
    if turn.flow_form_id is not None or event.reason == Reason.FORM_ANSWERED:
        return False
    return turn.kind in _COLLECTING and kind_of(event.reason) == turn.kind


def _attach(events: list[WebhookEvent], *, turn: Turn) -> None:
    if not events:
        return
    newest = max(event.chatwoot_message_id or 0 for event in events)
    turn.last_message_id = max(newest, turn.last_message_id)
    Turn.objects.filter(pk=turn.pk).update(
        last_message_id=Greatest("last_message_id", newest)
    )
    for event in events:
        event.turn = turn
    WebhookEvent.objects.filter(pk__in=[event.pk for event in events]).update(turn=turn)
