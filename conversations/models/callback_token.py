"""The tokens with which Dify flows call the bridge."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.bot import Bot


class CallbackTokenQuerySet(models.QuerySet["CallbackToken"]):
    """What `callback_tokens` and the admin ask of tokens."""

    def valid(self, *, now: datetime) -> Self:
        """Return the tokens that open something now."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))


class CallbackToken(models.Model):
    """One token of a bot; made by `callback_tokens`, which alone ever sees it whole.

    Several may be valid at once, so that flows can be moved from one to the next.
    """

    bot = models.ForeignKey(
        Bot,
        on_delete=models.CASCADE,
        related_name="callback_tokens",
        verbose_name=_("bot"),
    )
    # SHA-256, in hex. The token has 256 bits of its own, so nothing slower is needed.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The beginning, by which people tell tokens apart.
    prefix = models.CharField(_("begins with"), max_length=20, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    created_by = models.CharField(_("by"), max_length=150, blank=True)
    expires_at = models.DateTimeField(_("valid until"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    objects = CallbackTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("callback token")
        verbose_name_plural = _("callback tokens")

    def __str__(self) -> str:
        return f"{self.prefix}…"
