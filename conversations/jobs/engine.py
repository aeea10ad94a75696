"""Do a job item by item, and leave it so that another worker can go on.

Nothing but the row says how far a job is. Each result is written with the lease, so
of two workers that both believe to hold a job only one notes anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError
from conversations.jobs.contract import Kind, Outcome
from conversations.jobs.kinds import KINDS
from conversations.leases import LeaseKeeper, Watch
from conversations.models import Job, JobItem
from conversations.outcomes import LEASE_LOST, SHUTDOWN

logger = logging.getLogger(__name__)

# What `work` returns besides the job's final state.
NOTHING_TO_DO = "nothing_to_do"
LET_GO = "let_go"
LOST = LEASE_LOST

# In `Job.arguments`, beside the options of its kind.
LANGUAGE = "_language"
DIED = "_died"
# So many workers ended while they did the same item: it is what ends them.
DEADLY_AFTER = 5
MAX_OUTCOME_CHARS = 2000

# What is younger is most likely on its way through Redis.
GRACE_S = 5
DUE_AT_ONCE = 50


class _JobLeases:
    """Jobs, for the keeper of leases."""

    def renew(self, leases: Iterable[UUID], *, now: datetime) -> int:
        return Job.objects.renew(leases, now=now)

    def interrupts(self, leases: Iterable[UUID]) -> dict[UUID, str]:
        """Only a lost lease ends a job in an item; a stop waits for its end."""
        rows = Job.objects.filter(status=Job.Status.RUNNING, lease__in=leases)
        return {lease: "" for lease in rows.values_list("lease", flat=True) if lease}


keeper = LeaseKeeper(_JobLeases())


def due(now: datetime) -> list[int]:
    """Return the ids of jobs that nobody is doing; oldest first."""
    patience = now - timedelta(seconds=GRACE_S)
    waiting = Job.objects.runnable(now=now).filter(created_at__lt=patience)
    return list(
        waiting.order_by("created_at").values_list("pk", flat=True)[:DUE_AT_ONCE]
    )


def work(job_id: int) -> str:
    """Do what is left of a job; return how it ended, or why it did not end here.

    Raises what the database raises: the lease expires and somebody goes on.
    """
    if keeper.is_ending:
        return NOTHING_TO_DO
    claim = Job.objects.claim(job_id, now=timezone.now())
    if claim is None:
        return NOTHING_TO_DO
    with keeper.kept(claim.lease) as watch:
        going = _Going(job_id, lease=claim.lease, watch=watch)
        if claim.was_abandoned:
            going.count_death()
        return going.on()


class _Going:
    """One worker's part of a job."""

    def __init__(self, job_id: int, *, lease: UUID, watch: Watch) -> None:
        self._held = Job.objects.held(job_id, lease=lease)
        self._lease = lease
        self._watch = watch

    def on(self) -> str:
        """Do item after item until the job ends, or this worker does."""
        while not self._watch.is_interrupted():
            job = self._held.select_related("account").first()
            if job is None:
                return LOST
            kind = KINDS.get(job.kind)
            item = _next_item(job)
            if job.stop_wanted_at is not None:
                ended = self._end(job, Job.Status.STOPPED)
            elif kind is None:
                ended = self._end(job, Job.Status.FAILED, error=_unknown(job.kind))
            elif item is None:
                ended = self._end(job, Job.Status.DONE)
            else:
                self._note(item, _do(kind, item))
                continue
            if ended is not None:
                return ended
        return self._let_go()

    def count_death(self) -> None:
        """Note that a worker ended in an item, and leave out what ends them all."""
        job = self._held.first()
        item = None if job is None else _next_item(job)
        if job is None or item is None:
            return
        died = job.arguments.get(DIED) or {}
        same = died.get("position") == item.position
        times = died["times"] + 1 if same else 1
        job.arguments[DIED] = {"position": item.position, "times": times}
        self._held.update(arguments=job.arguments)
        if times >= DEADLY_AFTER:
            self._note(item, Outcome(JobItem.Status.FAILED, _deadly(times)))

    def _note(self, item: JobItem, outcome: Outcome) -> None:
        """Write the result, if the job is still ours, and hold it for longer."""
        now = timezone.now()
        with transaction.atomic():
            if Job.objects.renew([self._lease], now=now):
                JobItem.objects.filter(pk=item.pk).update(
                    status=outcome.status,
                    outcome=_storable(outcome.text),
                    finished_at=now,
                )

    def _end(self, job: Job, status: Job.Status, *, error: str = "") -> str | None:
        """End it, unless items were added since `job` was read."""
        ended = self._held.filter(total=job.total).update(
            status=status,
            error=error,
            lease=None,
            lease_expires_at=None,
            finished_at=timezone.now(),
        )
        return str(status) if ended else None

    def _let_go(self) -> str:
        """Leave the job to the next one who takes it."""
        if self._watch.cause != SHUTDOWN:
            return LOST
        self._held.update(status=Job.Status.WAITING, lease=None, lease_expires_at=None)
        return LET_GO


def _next_item(job: Job) -> JobItem | None:
    waiting = job.items.filter(status=JobItem.Status.WAITING)
    return waiting.order_by("position").first()


def _do(kind: Kind, item: JobItem) -> Outcome:
    """Do one item, in the language of the person who ordered it."""
    language = item.job.arguments.get(LANGUAGE)
    release_connection()
    with translation.override(language) if language else nullcontext():
        try:
            return kind.run(item)
        except (OperationalError, InterfaceError):
            # Our own database: the result could not be written either.
            raise
        except (BridgeError, ImproperlyConfigured) as err:
            return Outcome(JobItem.Status.FAILED, str(err))
        except Exception:
            logger.exception("Job %s failed at item %s", item.job_id, item.position)
            return Outcome(
                JobItem.Status.FAILED,
                gettext(
                    "The bridge itself failed; the worker's log says more. What was "
                    "to be done may be done in part."
                ),
            )


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and a report needs no more than a few lines."""
    return text.replace("\x00", "")[:MAX_OUTCOME_CHARS]


def _unknown(kind: str) -> str:
    return gettext(
        "The worker that took this job does not know “%(kind)s”: it is of another "
        "version. Order it again once all processes are of the same version."
    ) % {"kind": kind}


def _deadly(times: int) -> str:
    return gettext(
        "%(times)s workers ended while they did this, so it was left out. Their logs "
        "say why: out of memory, perhaps."
    ) % {"times": times}
