"""How long the bridge keeps what it stored."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount


class Retention(models.Model):
    """The limits of one Chatwoot account, in days; without a row the defaults hold."""

    account = models.OneToOneField(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="retention",
        verbose_name=_("Chatwoot account"),
    )
    payload_days = models.PositiveSmallIntegerField(
        _("webhooks as received, days"),
        default=30,
        db_default=30,
        validators=[MinValueValidator(1)],
        help_text=_("Afterwards only ids, decisions and times are left of them."),
    )
    text_days = models.PositiveSmallIntegerField(
        _("texts, days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "Questions, answers, excerpts of calls and contacts' names. Empty: as long "
            "as events and runs."
        ),
    )
    history_days = models.PositiveSmallIntegerField(
        _("events and runs, days"),
        default=180,
        db_default=180,
        validators=[MinValueValidator(1)],
        help_text=_("Afterwards the rows are deleted."),
    )
    # What is older has been emptied already; written by `retention`.
    payloads_done_until = models.DateTimeField(null=True, editable=False)
    texts_done_until = models.DateTimeField(null=True, editable=False)
    names_done_until = models.DateTimeField(null=True, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("retention")
        verbose_name_plural = _("retention")

    def __str__(self) -> str:
        return str(self.account)
