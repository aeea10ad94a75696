"""Drafts: what a bot suggested, beside what the human sent."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.bot import Bot
from conversations.models.conversation import Conversation
from conversations.models.turn import Turn


class Draft(models.Model):
    """A suggestion posted as a note; the human's next reply is noted beside it."""

    turn = models.OneToOneField(
        Turn, on_delete=models.CASCADE, related_name="draft", verbose_name=_("turn")
    )
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="drafts",
        verbose_name=_("conversation"),
    )
    bot = models.ForeignKey(
        Bot,
        on_delete=models.SET_NULL,
        null=True,
        related_name="drafts",
        verbose_name=_("bot"),
    )
    # The newest customer message that it would have answered.
    last_message_id = models.PositiveBigIntegerField(default=0)
    text = models.TextField(_("draft"), blank=True)
    human_message_id = models.PositiveBigIntegerField(
        _("human's message"), null=True, blank=True
    )
    human_text = models.TextField(_("what the human sent"), blank=True)
    replied_at = models.DateTimeField(_("human replied"), null=True, blank=True)
    similarity = models.FloatField(
        _("similarity"),
        null=True,
        blank=True,
        help_text=_("1 is the same text, 0 has nothing in common."),
    )
    edit_rate = models.FloatField(
        _("edited"),
        null=True,
        blank=True,
        help_text=_("The part of the draft's words that were changed; 0 is none."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("draft")
        verbose_name_plural = _("drafts")
        indexes = [
            # The human's reply looks for the drafts that wait for it.
            models.Index(
                fields=["conversation"],
                condition=models.Q(human_message_id__isnull=True),
                name="draft_waiting",
            ),
            # By bot over time.
            models.Index(fields=["bot", "-created_at"], name="draft_bot_time"),
            models.Index(fields=["-created_at"], name="draft_time"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
