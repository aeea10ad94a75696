"""Numbers by the hour, so that a month is summed up without reading its events."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from conversations.models.bot import Bot


class Figure(models.Model):
    """One number of one hour and bot; written by `reports.figures` alone.

    Nothing personal, so it stays when events are pruned or a contact is erased.
    """

    class Measure(models.TextChoices):
        """What is counted; `key` tells the rest."""

        RECEIVED = "received", _("customers' messages")  # key: reason
        SKIPPED = "skipped", _("events that needed no answer")  # key: reason
        TURN = "turn", _("turns ended")  # key: "status:reason"
        LATENCY = "latency", _("times to answer")  # key: number of the bucket
        TOKENS = "tokens", _("tokens")  # key: ""
        COST = "cost", _("cost")  # key: currency

    # The hour's beginning, UTC.
    hour = models.DateTimeField(_("hour"))
    bot = models.ForeignKey(
        Bot,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="figures",
        verbose_name=_("bot"),
    )
    measure = models.CharField(_("measure"), max_length=20, choices=Measure)
    key = models.CharField(_("key"), max_length=80, blank=True)
    amount = models.DecimalField(_("amount"), max_digits=24, decimal_places=7)

    class Meta:
        verbose_name = _("figure")
        verbose_name_plural = _("figures")
        # Nobody edits numbers.
        default_permissions = ("view",)
        constraints = [
            # Also what the overview reads: hours from then on.
            models.UniqueConstraint(
                fields=["hour", "measure", "key", "bot"],
                nulls_distinct=False,
                name="figure_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.measure} {self.key} {self.hour:%Y-%m-%d %H}"
