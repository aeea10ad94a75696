"""Find work that nobody is doing: Redis forgot it, or a worker died."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from conversations import mirror, turns
from conversations.models import Turn, WebhookEvent
from conversations.models.event import OWED

# What is younger is most likely on its way through Redis.
GRACE_S = 10
BATCH = 5000


@dataclass(frozen=True)
class Found:
    """Ids of events to process and of turns to run."""

    event_ids: list[int]
    turn_ids: list[int]


def find(*, now: datetime) -> Found:
    """Return up to 5000 events and turns each that are overdue; oldest first."""
    patience = now - timedelta(seconds=GRACE_S)
    events = WebhookEvent.objects.filter(
        status=WebhookEvent.Status.RECEIVED, received_at__lt=patience
    ).order_by("received_at")
    overdue = Turn.objects.runnable(now=patience).order_by("pk")
    started = _start_forgotten(before=patience)
    return Found(
        event_ids=list(events.values_list("pk", flat=True)[:BATCH]),
        turn_ids=[*started, *overdue.values_list("pk", flat=True)[:BATCH]],
    )


def _start_forgotten(*, before: datetime) -> list[int]:
    """Start turns for messages whose turn should have followed another one."""
    unfinished = Turn.objects.unfinished().filter(conversation=OuterRef("conversation"))
    waiting = (
        WebhookEvent.objects.filter(
            ~Exists(unfinished),
            action__in=OWED,
            turn=None,
            processed_at__lt=before,
        )
        .values_list("conversation", flat=True)
        .distinct()[:BATCH]
    )
    started = []
    for conversation_id in list(waiting):
        if conversation_id is None:
            continue
        with transaction.atomic():
            turn = turns.start_waiting(mirror.lock(conversation_id))
        if turn is not None:
            started.append(turn.pk)
    return started
