"""Greetings: who was greeted, so that nobody is twice."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount
from conversations.models.conversation import Conversation


class Greeting(models.Model):
    """One greeting of a visitor, or of a conversation, claimed before it is said."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="greetings",
        verbose_name=_("account"),
    )
    # The visitor: Chatwoot's contact inbox. None for a conversation that began
    # without one.
    contact_inbox_id = models.PositiveBigIntegerField(null=True, blank=True)
    conversation = models.OneToOneField(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="greeting",
        verbose_name=_("conversation"),
    )
    created_at = models.DateTimeField(_("greeted"), default=timezone.now)

    class Meta:
        verbose_name = _("greeting")
        verbose_name_plural = _("greetings")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "contact_inbox_id"], name="greeting_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
