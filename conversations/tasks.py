"""Celery's entry points: each takes an id, calls one function and wakes what follows.

Waking is best effort. PostgreSQL knows what is to be done, and the sweep finds what
Redis lost.
"""

from __future__ import annotations

import logging
from time import monotonic

from celery import Task, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from conversations import pipeline, processing
from conversations import sweep as sweeping

logger = logging.getLogger(__name__)

# Longer pauses stay in the row (`next_attempt_at`) and are the sweep's.
MAX_COUNTDOWN_S = 60.0
SILENT_AFTER_FAILURE_S = 5.0


@shared_task(ignore_result=True)
def process_event(event_id: int) -> None:
    """Decide about a stored event."""
    turn = processing.process(event_id, now=timezone.now())
    if turn is not None:
        wake_turn(turn.pk)


@shared_task(ignore_result=True)
def run_turn(turn_id: int) -> str:
    """Run a turn. Only failures leave a result row: the turn itself tells the rest."""
    result = pipeline.run(turn_id)
    if result.next_turn_id is not None:
        wake_turn(result.next_turn_id, delay_s=result.delay_s)
    if result.fault is not None:
        raise result.fault
    return result.summary


@shared_task
def sweep() -> dict[str, int]:
    """Find what was left lying and wake it; returns how much there was."""
    found = sweeping.find(now=timezone.now())
    for event_id in found.event_ids:
        wake_event(event_id)
    for turn_id in found.turn_ids:
        wake_turn(turn_id)
    return {"events": len(found.event_ids), "turns": len(found.turn_ids)}


def wake_event(event_id: int) -> None:
    """Ask a worker to process an event; quietly, if Redis is away."""
    _publisher.send(process_event, event_id, delay_s=0.0)


def wake_turn(turn_id: int, *, delay_s: float = 0.0) -> None:
    """Ask a worker to run a turn, now or soon."""
    if delay_s <= MAX_COUNTDOWN_S:
        _publisher.send(run_turn, turn_id, delay_s=delay_s)


class Publisher:
    """Sends tasks while Redis is there, and does not wait for it while it is not.

    A Redis that hangs takes 2 s for each try. So after a failure nobody tries for some
    seconds: webhooks are answered at once, and the sweep does the work.
    """

    def __init__(self) -> None:
        self._silent_until = 0.0

    def send(self, task: Task[..., object], object_id: int, *, delay_s: float) -> None:
        if monotonic() < self._silent_until:
            return
        try:
            task.apply_async((object_id,), countdown=delay_s)
        except OperationalError as err:
            self._silent_until = monotonic() + SILENT_AFTER_FAILURE_S
            logger.warning("Redis is away, the sweep takes over: %s", err)


_publisher = Publisher()
