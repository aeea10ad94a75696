"""The mirror of Chatwoot's labels."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models.account import ChatwootAccount


class Label(models.Model):
    """A label that the account defines; written by `sync`."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="labels",
        verbose_name=_("account"),
    )
    chatwoot_label_id = models.PositiveBigIntegerField(_("number in Chatwoot"))
    title = models.CharField(
        _("title"),
        max_length=255,
        help_text=_("Chatwoot stores it in lower case, without spaces."),
    )
    description = models.TextField(_("description"), blank=True)
    color = models.CharField(_("colour"), max_length=20, blank=True)
    show_on_sidebar = models.BooleanField(_("in the sidebar"), default=True)

    class Meta:
        verbose_name = _("label")
        verbose_name_plural = _("labels")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_label_id"], name="label_number"
            )
        ]

    def __str__(self) -> str:
        return self.title
