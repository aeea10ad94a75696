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
        GONE = "gone", _("the Chatwoot conversation was deleted")
        ERASED = "erased", _("the contact was erased")
        BY_OPERATOR = "by_operator", _("an operator deleted it")
        RENEWED = "renewed", _("an operator had the bot begin anew")
        UNUSED = "unused", _("it was not used any more")
        RESET = "reset", _("the customer began anew")

    # None once the bridge itself has forgotten the conversation; the row stays until
    # Dify has, too.
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="dify_conversations",
        verbose_name=_("conversation"),
    )
    app = models.ForeignKey(
        DifyApp,
        # Without the app's key nothing could be deleted in Dify any more.
        on_delete=models.PROTECT,
        related_name="conversations",
        verbose_name=_("Dify app"),
    )
    dify_conversation_id = models.CharField(_("number in Dify"), max_length=64)
    # Kept with the conversation: a merged contact gets another number in Chatwoot,
    # and under another user Dify would not know the conversation.
    dify_user = models.CharField(_("user in Dify"), max_length=255)
    # The inputs that Dify was last told; before 1.0 it keeps those of the first turn.
    told_inputs = models.JSONField(default=dict, db_default={}, blank=True)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    end_reason = models.CharField(
        _("ended because"), max_length=20, choices=End, blank=True
    )

    # Deleting it in Dify: wanted since, and tried until Dify has proven it.
    delete_wanted_at = models.DateTimeField(_("deletion wanted"), null=True, blank=True)
    next_delete_at = models.DateTimeField(_("next try"), null=True, blank=True)
    delete_attempts = models.PositiveSmallIntegerField(
        _("tries to delete"), default=0, db_default=0
    )
    delete_error = models.TextField(
        _("why it is not deleted"), blank=True, default="", db_default=""
    )
    deleted_at = models.DateTimeField(
        _("deleted"),
        null=True,
        blank=True,
        help_text=_("When Dify was asked for it and no longer knew it."),
    )
    erasure = models.ForeignKey(
        "conversations.Erasure",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="dify_conversations",
        verbose_name=_("erasure"),
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
            # What is to be deleted in Dify.
            models.Index(
                fields=["next_delete_at"],
                condition=models.Q(next_delete_at__isnull=False),
                name="difyconversation_to_delete",
            ),
            # Which of the others are due by a bot's policy.
            models.Index(
                fields=["last_used_at"],
                condition=models.Q(delete_wanted_at=None),
                name="difyconversation_kept",
            ),
        ]

    def __str__(self) -> str:
        return self.dify_conversation_id
