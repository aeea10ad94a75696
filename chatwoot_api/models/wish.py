"""What an account's teams, labels and attributes shall be, as wanted here."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models.account import ChatwootAccount


class Wish(models.Model):
    """One team, label or attribute as it is wanted; edited in the admin or by a file.

    The mirrors (`Team`, `Label`, `AttributeDefinition`) say what Chatwoot has. What
    is only here is missing there; what is only there is unknown here.
    """

    class Kind(models.TextChoices):
        """What is wanted."""

        TEAM = "team", _("team")
        LABEL = "label", _("label")
        ATTRIBUTE = "attribute", _("attribute")

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="wishes",
        verbose_name=_("account"),
    )
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # As `seed_files.Wanted.identity`: how it is found among what Chatwoot has.
    identity = models.CharField(_("identity"), max_length=255, editable=False)
    name = models.CharField(_("name"), max_length=255)
    # Chatwoot's fields as they shall be; a field that is not here stays as it is.
    fields = models.JSONField(_("fields"), default=dict, blank=True)
    # For teams: the members' e-mail addresses; None: whoever is in it stays.
    members = models.JSONField(_("members"), null=True, blank=True)
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True)
    created_at = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("wanted setting")
        verbose_name_plural = _("wanted settings")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "kind", "identity"], name="wish_once"
            )
        ]

    def __str__(self) -> str:
        return self.name
