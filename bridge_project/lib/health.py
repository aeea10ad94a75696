"""What the last calls to a service told us; for rows that stand for one."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.errors import BridgeError, Unauthorized, UpstreamError
from bridge_project.lib.redact import cut

RowT = TypeVar("RowT", bound="WithHealth")


class HealthQuerySet(models.QuerySet[RowT]):
    """Writes only what is news, so that a thousand good calls cost nothing."""

    def usable(self) -> Self:
        """Leave out services that refuse our token: calls would only hammer them."""
        return self.exclude(health=WithHealth.Health.REFUSED)

    def mark_ok(self) -> int:
        """Note that a call worked."""
        return self.exclude(health=WithHealth.Health.OK).update(
            health=WithHealth.Health.OK, updated_at=timezone.now()
        )

    def mark_failing(self, error: str) -> int:
        """Note a failed call. A refused token stays refused until a call works."""
        return self.usable().update(
            health=WithHealth.Health.FAILING, **_error_fields(error)
        )

    def mark_refused(self, error: str) -> int:
        """Note that the service does not accept our token (any more)."""
        return self.update(health=WithHealth.Health.REFUSED, **_error_fields(error))

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

    class Meta:
        abstract = True


Health = WithHealth.Health


def describe(err: BridgeError) -> str:
    """Return the error and what the service said, for an operator to read."""
    excerpt = err.excerpt if isinstance(err, UpstreamError) else ""
    return cut(f"{err} — {excerpt}" if excerpt else str(err))


def _error_fields(error: str) -> dict[str, Any]:
    now = timezone.now()
    return {"last_error": error, "last_error_at": now, "updated_at": now}
