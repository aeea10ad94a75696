"""The mirror of Chatwoot's teams."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models.account import ChatwootAccount


class Team(models.Model):
    """A team that a conversation may be assigned to; written by `sync`."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="teams",
        verbose_name=_("account"),
    )
    chatwoot_team_id = models.PositiveBigIntegerField(_("number in Chatwoot"))
    name = models.CharField(
        _("name"), max_length=255, help_text=_("Chatwoot stores it in lower case.")
    )
    description = models.TextField(_("description"), blank=True)
    allow_auto_assign = models.BooleanField(
        _("assigns by itself"),
        default=True,
        help_text=_("Chatwoot assigns an online member along with the team."),
    )

    # NULL until they were read: not each reading asks for members.
    member_ids = ArrayField(
        models.PositiveBigIntegerField(),
        null=True,
        blank=True,
        db_default=None,
        verbose_name=_("members' numbers"),
    )

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_team_id"], name="team_number"
            )
        ]

    def __str__(self) -> str:
        return self.name
