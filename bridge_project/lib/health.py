"""What the last calls to a service told us; for rows that stand for one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.errors import BridgeError, Unauthorized, UpstreamError
from bridge_project.lib.redact import cut

RowT = TypeVar("RowT", bound="WithHealth")

# How often a service that refuses our token is tried, by one worker of all.
PROBE_EVERY_S = 60
_PROBE_EVERY = timedelta(seconds=PROBE_EVERY_S)


class HealthQuerySet(models.QuerySet[RowT]):
    """Writes only what is news, so that a thousand good calls cost nothing."""

    def usable(self) -> Self:
        """Leave out services that refuse our token: calls would only hammer them."""
        return self.exclude(health=WithHealth.Health.REFUSED)

    def mark_ok(self) -> int:
        """Note that a call worked."""
        return self.exclude(health=WithHealth.Health.OK).update(
            health=WithHealth.Health.OK, next_probe_at=None, updated_at=timezone.now()
        )

    def mark_failing(self, error: str) -> int:
        """Note a failed call. A refused token stays refused until a call works."""
        return self.usable().update(
            health=WithHealth.Health.FAILING, **_error_fields(error)
        )

    def mark_refused(self, error: str) -> int:
        """Note that the service does not accept our token (any more).

        From now on only a probe tries it, the first one after `PROBE_EVERY_S`.
        """
        return self.update(
            health=WithHealth.Health.REFUSED,
            next_probe_at=timezone.now() + _PROBE_EVERY,
            **_error_fields(error),
        )

    def to_probe(self, now: datetime) -> Self:
        """Keep the services that refuse our token and are to be tried again."""
        return self.filter(
            Q(next_probe_at=None) | Q(next_probe_at__lte=now),
            health=WithHealth.Health.REFUSED,
        )

    def claim_probe(self, pk: int, now: datetime) -> bool:
        """Take the probe of one service; of several workers one is told True."""
        return bool(
            self.to_probe(now).filter(pk=pk).update(next_probe_at=now + _PROBE_EVERY)
        )

    def note(self, err: BridgeError) -> int:
        """Note the failure of a run, if it tells of the service and not of the run."""
        if isinstance(err, Unauthorized):
            return self.mark_refused(describe(err))
        if isinstance(err, UpstreamError) and err.retryable:
            return self.mark_failing(describe(err))
        return 0


class WithHealth(models.Model):
    """Columns of a row that stands for a service; needs an `updated_at` beside them."""

    class Health(models.TextChoices):
        """How the service fares."""

        UNKNOWN = "unknown", _("not tried yet")
        OK = "ok", _("works")
        FAILING = "failing", _("fails")
        REFUSED = "refused", _("token refused")

    health = models.CharField(
        _("health"),
        max_length=20,
        choices=Health,
        default=Health.UNKNOWN,
        editable=False,
        help_text=_("What the last calls told us."),
    )
    last_error = models.TextField(
        _("last error"),
        blank=True,
        editable=False,
        help_text=_("What the last failed call said."),
    )
    last_error_at = models.DateTimeField(
        _("last error at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When the last call failed."),
    )
    # While the token is refused only the probe tries it, from this moment on.
    next_probe_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def forget_health(self) -> None:
        """Give another token or address a new chance; the caller saves."""
        self.health = self.Health.UNKNOWN
        self.last_error, self.last_error_at = "", None
        self.next_probe_at = None


Health = WithHealth.Health


def describe(err: BridgeError) -> str:
    """Return the error and what the service said, for an operator to read."""
    excerpt = err.excerpt if isinstance(err, UpstreamError) else ""
    return cut(f"{err} — {excerpt}" if excerpt else str(err))


def _error_fields(error: str) -> dict[str, Any]:
    now = timezone.now()
    return {"last_error": error, "last_error_at": now, "updated_at": now}
