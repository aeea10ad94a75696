"""What operators say to jobs: begin, take these as well, stop."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice

from django.db import transaction
from django.utils import timezone, translation

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from conversations import audit
from conversations.jobs.contract import Item
from conversations.jobs.engine import LANGUAGE
from conversations.jobs.kinds import KINDS
from conversations.jobs.task import wake_job
from conversations.models import AuditEntry, Job, JobItem
from conversations.models.job import UNFINISHED

BATCH = 1000


def start(
    kind: str,
    *,
    items: Iterable[Item],
    actor: str,
    account: ChatwootAccount | None = None,
    arguments: JsonObject | None = None,
) -> Job:
    """Order a job and wake a worker; the report speaks the language that is active.

    Raises ValueError for a kind that is not registered.
    """
    if kind not in KINDS:
        msg = f"There is no kind of job called {kind!r}"
        raise ValueError(msg)
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            actor=actor[:150],
            account=account,
            arguments={**(arguments or {}), LANGUAGE: translation.get_language()},
        )
        job.total = _append(job, items, since=0)
        audit.record(
            AuditEntry.Verb.STARTED_JOB,
            actor=actor,
            account=account,
            job=job.pk,
            kind=kind,
            items=job.total,
        )
        transaction.on_commit(partial(wake_job, job.pk))
    return job


def add_items(job: Job, items: Iterable[Item]) -> int:
    """Append items to a job that is not over; return how many items it has now.

    The row is locked meanwhile: the job cannot end in between. Raises ValueError if it
    is over.
    """
    with transaction.atomic():
        row = Job.objects.select_for_update().filter(status__in=UNFINISHED)
        fresh = row.filter(pk=job.pk).first()
        if fresh is None:
            msg = f"Job {job.pk} is over"
            raise ValueError(msg)
        job.total = _append(job, items, since=fresh.total)
    return job.total


def stop(job: Job, *, by: str) -> bool:
    """Have a job end after the item that is being done; False if it ends anyway."""
    now = timezone.now()
    rows = Job.objects.filter(pk=job.pk, stop_wanted_at=None)
    with transaction.atomic():
        # Nobody does it, so nobody has to be waited for.
        stopped = rows.filter(status=Job.Status.WAITING).update(
            status=Job.Status.STOPPED, stop_wanted_at=now, finished_at=now
        )
        # Not only one that runs: a worker may just have let go of it.
        stopped = stopped or rows.filter(status__in=UNFINISHED).update(
            stop_wanted_at=now
        )
        if stopped:
            audit.record(
                AuditEntry.Verb.STOPPED_JOB,
                actor=by,
                account=job.account_id,
                job=job.pk,
                kind=job.kind,
            )
    return bool(stopped)


def _append(job: Job, items: Iterable[Item], *, since: int) -> int:
    """Store items from the position `since` on; return how many the job has then."""
    rows = (
        JobItem(
            job=job,
            position=position,
            title=item.title[:200],
            arguments=item.arguments,
        )
        for position, item in enumerate(items, start=since)
    )
    total = since
    # A hundred thousand at once would be held in memory.
    while batch := list(islice(rows, BATCH)):
        JobItem.objects.bulk_create(batch)
        total += len(batch)
    Job.objects.filter(pk=job.pk).update(total=total)
    return total
