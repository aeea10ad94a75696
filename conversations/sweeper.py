"""Does what nobody is doing: straight from PostgreSQL, in every worker, without Redis.

Redis brings work to the workers at once; this takes what it forgot, what a dead worker
left and what has become due. It runs the work itself instead of queueing it once more:
a backlog is not queued again and again, and a bridge without Redis is only slower.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from bridge_project.lib.database import release_connection
from conversations import feedback, flow_forms, jobs, sweep, tasks, trials
from conversations.tasks import Work

logger = logging.getLogger(__name__)

EVERY_S = 5.0
# Events are decided in milliseconds, turns wait for Dify.
EVENTS_AT_ONCE = 16
TURNS_AT_ONCE = 200
JOBS_AT_ONCE = 4
TRIALS_AT_ONCE = 4
FORMS_AT_ONCE = 4
FEEDBACK_AT_ONCE = 4


class Chore(NamedTuple):
    """Work besides events and turns: how it is found, and who does it."""

    work: Work
    find: Callable[[datetime], Iterable[int]]
    at_once: int


CHORES = (
    Chore(jobs.run_job, jobs.due, JOBS_AT_ONCE),
    Chore(tasks.run_trial, trials.due, TRIALS_AT_ONCE),
    Chore(tasks.attend_form, flow_forms.due, FORMS_AT_ONCE),
    Chore(tasks.send_feedback, feedback.due, FEEDBACK_AT_ONCE),
)


class Sweeper:
    """One thread that looks, and a bounded number that work."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._stopped = threading.Event()
        self._pools: dict[Work, ThreadPoolExecutor] = {
            tasks.process_event: ThreadPoolExecutor(EVENTS_AT_ONCE, "sweep-events"),
            tasks.run_turn: ThreadPoolExecutor(TURNS_AT_ONCE, "sweep-turns"),
        }
        for chore in CHORES:
            self._pools[chore.work] = ThreadPoolExecutor(chore.at_once, "sweep-chores")
        self._busy: set[tuple[Work, int]] = set()

    def start(self) -> None:
        """Begin to look every few seconds; what Redis does not take is done here."""
        tasks.publisher.without_redis = self.take
        threading.Thread(target=self._sweep_until_stopped, daemon=True).start()

    def stop(self) -> None:
        """Take nothing new, and leave what was not begun to others."""
        self._end(finishes=False)

    def sweep(self) -> int:
        """Take what is overdue; return how much of it nobody here is doing yet."""
        now = timezone.now()
        found = sweep.find(now=now)
        taken = [self.take(tasks.process_event, one) for one in found.event_ids]
        taken += [self.take(tasks.run_turn, one) for one in found.turn_ids]
        # After the customers, who must not wait for a fault in here.
        for chore in CHORES:
            taken += [self.take(chore.work, one) for one in chore.find(now)]
        return sum(taken)

    def take(self, work: Work, object_id: int) -> bool:
        """Have one piece of work done by this process, unless it is doing it."""
        key = (work, object_id)
        if self._stopped.is_set() or key in self._busy:
            return False
        self._busy.add(key)
        with suppress(RuntimeError):  # stopped in this very moment
            self._pools[work].submit(self._do, work, object_id)
        return True

    def wait(self) -> None:
        """Return when all that was taken is done; takes nothing more."""
        self._end(finishes=True)

    def _end(self, *, finishes: bool) -> None:
        self._stopped.set()
        tasks.publisher.without_redis = None
        for pool in self._pools.values():
            pool.shutdown(wait=finishes, cancel_futures=not finishes)

    def _do(self, work: Work, object_id: int) -> None:
        try:
            work(object_id)
        except Exception:
            # It is stored with the row, and tried again.
            logger.exception("%s(%s) failed", work.__name__, object_id)
        finally:
            self._busy.discard((work, object_id))
            release_connection()

    def _sweep_until_stopped(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self.sweep()
            except Exception as err:  # the thread must outlive every fault
                logger.warning("The sweep failed and is tried again: %s", err)
            finally:
                release_connection()
