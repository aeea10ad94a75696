"""Make, join and end turns. The caller holds the conversation's row lock."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from conversations import mirror
from conversations.models import (
    Action,
    Bot,
    Conversation,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.turn import JOINABLE


def add_message(
    event: WebhookEvent,
    *,
    conversation: Conversation,
    bot: Bot,
    handover_reason: str = "",
) -> Turn | None:
    """Let a customer's message join the open turn, or start one.

    Returns the turn to run, or None if a run is under way: the message then waits for
    the turn after it. With `handover_reason` a new turn owes only the handover.
    """
    # Locked, since a worker's claim does not wait for the conversation's lock.
    turn = (
        Turn.objects.select_for_update(no_key=True)
        .unfinished()
        .filter(conversation=conversation)
        .first()
    )
    if turn is None:
        turn = Turn.objects.create(
            conversation=conversation,
            bot=bot,
            last_message_id=event.chatwoot_message_id or 0,
            handover_reason=handover_reason,
        )
    elif turn.status not in JOINABLE or (turn.handover_reason and not handover_reason):
        return None
    _attach([event], turn=turn)
    return turn


def finish(
    turn: Turn,
    *,
    lease: UUID,
    status: Turn.Status,
    reason: Reason,
    error: str = "",
) -> Turn | None:
    """End a run's turn for good and return the turn that follows it, if any.

    Does nothing when the lease is lost: whoever holds it now will end the turn.
    """
    with transaction.atomic():
        conversation = mirror.lock(turn.conversation_id)
        ended = Turn.objects.held(turn.pk, lease=lease).update(
            status=status,
            reason=reason,
            error=error,
            finished_at=timezone.now(),
            lease=None,
            lease_expires_at=None,
        )
        return start_waiting(conversation) if ended else None


def postpone(
    turn: Turn,
    *,
    lease: UUID,
    status: Turn.Status,
    until: datetime,
    error: str,
    handover_reason: str = "",
) -> bool:
    """Put a run's turn back for another attempt; False when the lease is lost.

    Messages that came meanwhile join it, for one answer to all of them. A handover that
    begins counts its attempts anew.
    """
    begins_handover = handover_reason != turn.handover_reason
    with transaction.atomic():
        mirror.lock(turn.conversation_id)
        held = Turn.objects.held(turn.pk, lease=lease).update(
            status=status,
            next_attempt_at=until,
            # A handover tells the agents why there is no answer, not what came after.
            error=turn.error if turn.handover_reason else error,
            handover_reason=handover_reason,
            attempts=0 if begins_handover else turn.attempts,
            lease=None,
            lease_expires_at=None,
        )
        if held and status in JOINABLE and not handover_reason:
            waiting = WebhookEvent.objects.waiting_for_turn(turn.conversation_id)
            _attach(list(waiting), turn=turn)
        return bool(held)


def start_waiting(conversation: Conversation) -> Turn | None:
    """Start the turn of messages that arrived while another was being answered."""
    waiting = list(WebhookEvent.objects.waiting_for_turn(conversation.pk))
    if not waiting:
        return None
    if Turn.objects.unfinished().filter(conversation=conversation).exists():
        return None
    # Without a bot, because it was deleted, the turn ends by saying so.
    bot = Bot.objects.for_inbox(conversation.inbox) if conversation.inbox else None
    newest = waiting[-1]
    hands_over = newest.action == Action.HAND_OVER
    turn = Turn.objects.create(
        conversation=conversation,
        bot=bot,
        last_message_id=0,
        handover_reason=newest.reason if hands_over else "",
    )
    _attach(waiting, turn=turn)
    return turn


def _attach(events: list[WebhookEvent], *, turn: Turn) -> None:
    if not events:
        return
    newest = max(event.chatwoot_message_id or 0 for event in events)
    if newest > turn.last_message_id:
        turn.last_message_id = newest
        turn.save(update_fields=["last_message_id"])
    for event in events:
        event.turn = turn
    WebhookEvent.objects.filter(pk__in=[event.pk for event in events]).update(turn=turn)
