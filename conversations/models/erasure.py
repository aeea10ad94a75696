"""Contacts that were erased, and what of them is still to be proven."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount


class Erasure(models.Model):
    """The report on one erased contact: ids and counts, nothing personal."""

    class Status(models.TextChoices):
        """How far it is."""

        WANTED = "wanted", _("requested")
        WAITING_FOR_DIFY = "waiting_for_dify", _("erased here, not yet in Dify")
        DONE = "done", _("done")

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="erasures",
        verbose_name=_("account"),
    )
    chatwoot_contact_id = models.PositiveBigIntegerField(_("contact"))
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.WANTED
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    # Number of deleted rows by kind: {"conversations": 2, "events": 31, ...}
    counts = models.JSONField(_("deleted"), default=dict, blank=True)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("requested"), default=timezone.now)
    erased_here_at = models.DateTimeField(_("erased here"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_contact_id"],
                condition=models.Q(status="wanted"),
                name="erasure_once_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.chatwoot_contact_id}"
