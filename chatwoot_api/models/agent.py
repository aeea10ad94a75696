"""The mirror of Chatwoot's agents."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models.account import ChatwootAccount


class Agent(models.Model):
    """A human who answers in Chatwoot; written by `sync`."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="agents",
        verbose_name=_("account"),
    )
    chatwoot_agent_id = models.PositiveBigIntegerField(_("number in Chatwoot"))
    name = models.CharField(_("name"), max_length=255, blank=True)
    available_name = models.CharField(
        _("name for customers"), max_length=255, blank=True
    )
    email = models.CharField(_("e-mail"), max_length=255, blank=True)
    role = models.CharField(_("role"), max_length=50, blank=True)

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_agent_id"], name="agent_number"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.email or f"#{self.chatwoot_agent_id}"
