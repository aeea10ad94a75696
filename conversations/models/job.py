"""Long work that an operator started: what is to be done, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from django.db import models
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount

# A worker renews its leases every 5 s; what is older belongs to a dead one.
LEASE_S = 30


class Claim(NamedTuple):
    """A job that was taken; `was_abandoned` by a worker that died in it."""

    lease: UUID
    was_abandoned: bool


class JobQuerySet(models.QuerySet["Job"]):
    """Claims, leases and what the workers look for."""

    def claim(self, job_id: int, *, now: datetime) -> Claim | None:
        """Take a job that waits or was abandoned; None if there is nothing to take.

        Conditional updates: of two workers one changes the row. The lease goes with
        every later change, so a worker that lost it changes nothing.
        """
        rows = self.filter(pk=job_id)
        lease = uuid4()
        values = {
            "status": Job.Status.RUNNING,
            "lease": lease,
            "lease_expires_at": now + timedelta(seconds=LEASE_S),
            "started_at": Coalesce("started_at", models.Value(now)),
        }
        if rows.filter(status=Job.Status.WAITING).update(**values):
            return Claim(lease, was_abandoned=False)
        if rows.filter(_abandoned(now)).update(**values):
            return Claim(lease, was_abandoned=True)
        return None

    def held(self, job_id: int, *, lease: UUID) -> JobQuerySet:
        """Return the job if the lease still holds, else nothing."""
        return self.filter(pk=job_id, status=Job.Status.RUNNING, lease=lease)

    def renew(self, leases: Iterable[UUID], *, now: datetime) -> int:
        """Prolong the leases of jobs that are being done; return how many hold."""
        return self.filter(status=Job.Status.RUNNING, lease__in=leases).update(
            lease_expires_at=now + timedelta(seconds=LEASE_S)
        )

    def runnable(self, *, now: datetime) -> JobQuerySet:
        """Return jobs that a worker may take now."""
        return self.filter(
            # The first condition is the one that the partial index serves.
            models.Q(status__in=UNFINISHED)
            & (models.Q(status=Job.Status.WAITING) | _abandoned(now))
        )


class Job(models.Model):
    """One order of an operator, done item by item by a worker; written by `jobs`.

    Progress lives in PostgreSQL: it survives a reload, a dead worker and an empty
    Redis. A running job holds a lease; whoever finds it expired goes on.
    """

    class Status(models.TextChoices):
        """`waiting → running → done | stopped | failed`."""

        WAITING = "waiting", _("waiting for a worker")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        STOPPED = "stopped", _("stopped")
        FAILED = "failed", _("failed")

    # A name from `jobs.kinds`; one that is no longer known is shown as it is.
    kind = models.CharField(_("what"), max_length=40)
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.WAITING
    )
    actor = models.CharField(_("who"), max_length=150)
    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="jobs",
        verbose_name=_("account"),
    )
    # Options of the whole job; ids and choices, never a secret.
    arguments = models.JSONField(_("options"), default=dict, blank=True)
    total = models.PositiveIntegerField(_("items"), default=0)
    # Why the job as a whole could not go on.
    error = models.TextField(_("error"), blank=True)
    stop_wanted_at = models.DateTimeField(_("to be stopped"), null=True, blank=True)
    lease = models.UUIDField(null=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("ordered"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        indexes = [
            # What a worker has to take.
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=["waiting", "running"]),
                name="job_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


UNFINISHED = (Job.Status.WAITING, Job.Status.RUNNING)


def _abandoned(now: datetime) -> models.Q:
    return models.Q(status=Job.Status.RUNNING, lease_expires_at__lt=now)


class JobItem(models.Model):
    """One step of a job, done once; the report is made of them."""

    class Status(models.TextChoices):
        """What became of it; `skipped` says that there was nothing to do, or not."""

        WAITING = "waiting", _("waiting")
        DONE = "done", _("done")
        SKIPPED = "skipped", _("left out")
        FAILED = "failed", _("failed")

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="items", verbose_name=_("job")
    )
    position = models.PositiveIntegerField(_("number"))
    # What a person calls it: numbers and names of settings, no customer's name.
    title = models.CharField(_("what"), max_length=200)
    # What the kind needs to do it: ids.
    arguments = models.JSONField(default=dict, blank=True)
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.WAITING
    )
    # A sentence for the report.
    outcome = models.TextField(_("result"), blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("job item")
        verbose_name_plural = _("job items")
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="jobitem_once")
        ]
        indexes = [
            # Which items are left, how many ended how, and the report's failures.
            models.Index(fields=["job", "status", "position"], name="jobitem_state")
        ]

    def __str__(self) -> str:
        return self.title
