"""Find work that nobody is doing: forgotten by Redis, left by the dead, or late."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, ExpressionWrapper, F, OuterRef
from django.db.models.fields import DurationField

from conversations import mirror, turns
from conversations.models import Reason, Turn, WebhookEvent
from conversations.models.event import OWED
from conversations.models.turn import WAITING

logger = logging.getLogger(__name__)

# What is younger is most likely on its way through Redis.
GRACE_S = 5
# Each look takes so many at most; the next one comes in seconds.
BATCH = 500


@dataclass(frozen=True)
class Found:
    """Ids of events to process and of turns to run."""

    event_ids: list[int]
    turn_ids: list[int]


def find(*, now: datetime) -> Found:
    """Return up to 500 events and turns each that are overdue; oldest first."""
    patience = now - timedelta(seconds=GRACE_S)
    events = WebhookEvent.objects.filter(
        status=WebhookEvent.Status.RECEIVED, received_at__lt=patience
    ).order_by("received_at")
    give_up_late(now=now)
    overdue = Turn.objects.runnable(now=patience).order_by("pk")
    started = _start_forgotten(before=patience)
    return Found(
        event_ids=list(events.values_list("pk", flat=True)[:BATCH]),
        turn_ids=[*started, *overdue.values_list("pk", flat=True)[:BATCH]],
    )


def give_up_late(*, now: datetime) -> int:
    """Send turns to the humans that were not answered in the time their bot allows.

    One that waits is made due; one that runs is interrupted and then does the same.
    """
    allowed = ExpressionWrapper(
        F("bot__max_turn_minutes") * timedelta(minutes=1), output_field=DurationField()
    )
    late = Turn.objects.unfinished().filter(
        handover_reason="",
        bot__isnull=False,
        started_at__lt=now - allowed,
    )
    with transaction.atomic():
        # Somebody who holds a row is at work on it; the next look is soon.
        rows = late.select_for_update(skip_locked=True, of=("self",), no_key=True)
        ids = list(rows.values_list("pk", flat=True)[:BATCH])
        found = Turn.objects.filter(pk__in=ids)
        given_up = found.filter(status__in=WAITING).update(
            handover_reason=Reason.TOOK_TOO_LONG, attempts=0, next_attempt_at=now
        )
        given_up += found.filter(
            status=Turn.Status.RUNNING, interrupt="", posting_at=None
        ).update(interrupt=Reason.TOOK_TOO_LONG)
    return given_up


def _start_forgotten(*, before: datetime) -> list[int]:
    """Start turns for messages whose turn should have followed another one."""
    unfinished = Turn.objects.unfinished().filter(conversation=OuterRef("conversation"))
    waiting = (
        WebhookEvent.objects.filter(
            ~Exists(unfinished),
            action__in=OWED,
            turn=None,
            conversation__isnull=False,
            processed_at__lt=before,
        )
        .values_list("conversation", flat=True)
        .distinct()[:BATCH]
    )
    started = []
    for conversation_id in list(waiting):
        try:
            with transaction.atomic():
                turn = turns.start_waiting(mirror.lock(conversation_id))
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # One conversation whose account cannot be read must not stop the others.
            logger.exception("The turn of conversation %s waits", conversation_id)
            continue
        if turn is not None:
            started.append(turn.pk)
    return started
