"""Signs of life of workers and beat, in PostgreSQL: they count without Redis, too."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Heartbeat(models.Model):
    """When a process last said that it lives; written by `heartbeats`."""

    class Kind(models.TextChoices):
        """Whose it is."""

        WORKER = "worker", _("worker")
        BEAT = "beat", _("beat")

    kind = models.CharField(_("process"), max_length=20, choices=Kind)
    # Host and process number; a process that starts anew is another one.
    name = models.CharField(_("name"), max_length=200)
    started_at = models.DateTimeField(_("started"))
    beat_at = models.DateTimeField(_("last sign of life"))
    # {"version": ..., "pool": ..., "concurrency": ..., "turns": ...}
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="heartbeat_process")
        ]

    def __str__(self) -> str:
        return self.name
