"""Dify conversations that the bridge started."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.conversation import Conversation
from dify_api.models import DifyApp


class DifyConversation(models.Model):
    """One memory in Dify; at most one per conversation and app is current.

    Rows stay after the end, since only ids that we stored ourselves may ever be deleted
    in Dify: version 1.12 deletes whatever id it is given (recordings, point 6).
    """

    class End(models.TextChoices):
        """Why a Dify conversation is no longer continued."""

        RESOLVED = "resolved", _("the Chatwoot conversation was resolved")
        VANISHED = "vanished", _("Dify no longer knew it")

    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="dify_conversations",
        verbose_name=_("conversation"),
    )
    app = models.ForeignKey(
        DifyApp,
        on_delete=models.CASCADE,
        related_name="conversations",
        verbose_name=_("Dify app"),
    )
    dify_conversation_id = models.CharField(_("number in Dify"), max_length=64)
    # Kept with the conversation: a merged contact gets another number in Chatwoot,
    # and under another user Dify would not know the conversation.
    dify_user = models.CharField(_("user in Dify"), max_length=255)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    end_reason = models.CharField(
        _("ended because"), max_length=20, choices=End, blank=True
    )

    class Meta:
        verbose_name = _("Dify conversation")
        verbose_name_plural = _("Dify conversations")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "app"],
                condition=models.Q(ended_at=None),
                name="difyconversation_current",
            )
        ]
        indexes = [
            # GET /api/v1/conversations/dify/{id} and the admin's search.
            models.Index(fields=["dify_conversation_id"], name="difyconversation_id"),
        ]

    def __str__(self) -> str:
        return self.dify_conversation_id
