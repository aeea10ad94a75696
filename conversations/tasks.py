"""Celery's entry points: each takes an id, calls one function and wakes what follows.

Waking is best effort. PostgreSQL knows what is to be done, and the workers' `sweeper`
finds what Redis lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from celery import Task, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from conversations import feedback, flow_forms, pipeline, processing, slots, trials

logger = logging.getLogger(__name__)

# One of the tasks below, or a job.
Work = Task[[int], object]

# Longer pauses stay in the row (`next_attempt_at`) and are the sweep's.
MAX_COUNTDOWN_S = 60.0
SILENT_AFTER_FAILURE_S = 5.0


@shared_task(ignore_result=True)
def process_event(event_id: int) -> None:
    """Decide about a stored event."""
    now = timezone.now()
    turn = processing.process(event_id, now=now, wake_feedback=wake_feedback)
    if turn is None:
        return
    pause_s = max((turn.next_attempt_at - now).total_seconds(), 0.0)
    if turn.finished_at is None:
        wake_turn(turn.pk, delay_s=pause_s)
    if pause_s and turn.started_at is None:
        pipeline.show_waiting(turn, on=turn.finished_at is None)


@shared_task(ignore_result=True)
def run_turn(turn_id: int) -> str:
    """Run a turn. Only failures leave a result row: the turn itself tells the rest."""
    result = pipeline.run(turn_id)
    if result.next_turn_id is not None:
        wake_turn(result.next_turn_id, delay_s=result.delay_s)
    if result.app_id is not None:
        for next_id in slots.next_in_line(result.app_id, now=timezone.now()):
            wake_turn(next_id)
    if result.fault is not None:
        raise result.fault
    return result.summary


@shared_task(ignore_result=True)
def send_feedback(event_id: int) -> None:
    """Tell Dify what an agent or a customer thought of an answer."""
    feedback.send(event_id, now=timezone.now())


@shared_task(ignore_result=True)
def run_trial(trial_id: int) -> str:
    """Ask a bot what somebody asked in the playground; the trial tells the rest."""
    return trials.run(trial_id)


@shared_task(ignore_result=True)
def attend_form(form_id: int) -> None:
    """Remind of a flow's form, or end it when its time is over."""
    turn = flow_forms.attend(form_id, now=timezone.now())
    if turn is not None:
        wake_turn(turn.pk)


def wake_event(event_id: int) -> None:
    """Ask a worker to process an event; quietly, if Redis is away."""
    publisher.send(process_event, event_id, delay_s=0.0)


def wake_turn(turn_id: int, *, delay_s: float = 0.0) -> None:
    """Ask a worker to run a turn, now or soon."""
    if delay_s <= MAX_COUNTDOWN_S:
        publisher.send(run_turn, turn_id, delay_s=delay_s)


def wake_feedback(event_id: int) -> None:
    """Ask a worker to tell Dify; without Redis the sweep does it in seconds."""
    publisher.send(send_feedback, event_id, delay_s=0.0)


def wake_trial(trial_id: int) -> None:
    """Ask a worker to run a trial; without Redis the sweep does it in seconds."""
    publisher.send(run_trial, trial_id, delay_s=0.0)


class Publisher:
    """Sends tasks while Redis is there, and does not wait for it while it is not.

    A Redis that hangs takes 2 s for each try. So after a failure nobody tries for some
    seconds: webhooks are answered at once. A worker then does the work itself, and a
    web process leaves it to the workers' sweep.
    """

    def __init__(self) -> None:
        self._silent_until = 0.0
        self.without_redis: Callable[[Work, int], bool] | None = None

    def send(self, work: Work, object_id: int, *, delay_s: float) -> None:
        if monotonic() < self._silent_until:
            return self._do_without(work, object_id, delay_s=delay_s)
        try:
            work.apply_async((object_id,), countdown=delay_s)
        except OperationalError as err:
            self._silent_until = monotonic() + SILENT_AFTER_FAILURE_S
            logger.warning("Redis is away, the sweep takes over: %s", err)
            self._do_without(work, object_id, delay_s=delay_s)

    def _do_without(self, work: Work, object_id: int, *, delay_s: float) -> None:
        if self.without_redis is not None and not delay_s:
            self.without_redis(work, object_id)


publisher = Publisher()
