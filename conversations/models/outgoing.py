"""Messages that the bridge posts."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.turn import Turn


class OutgoingMessage(models.Model):
    """The intent to post one message, written before the post; by `posting` alone.

    Once the row is there, the message may have reached the customer. Its `mark`
    travels with it and comes back in Chatwoot's webhook and history. That is how a
    post whose outcome is unknown is found again.
    """

    class Part(models.TextChoices):
        """What the message is for; each part is posted once per turn and number."""

        ANSWER = "answer", _("answer")
        FAILURE_TEXT = "failure_text", _("text to the customer on failure")
        FAILURE_NOTE = "failure_note", _("note to the agents on failure")
        GREETING = "greeting", _("greeting")
        CHOICES = "choices", _("choices for the customer")
        TRANSCRIPT = "transcript", _("what was understood of a voice message")
        FORM = "form", _("a flow's form")
        FORM_REMINDER = "form_reminder", _("reminder about a flow's form")

    turn = models.ForeignKey(
        Turn,
        on_delete=models.CASCADE,
        related_name="outgoing_messages",
        verbose_name=_("turn"),
    )
    part = models.CharField(_("part"), max_length=20, choices=Part)
    # The messages of a split answer are counted from 0.
    number = models.PositiveSmallIntegerField(_("number"), default=0, db_default=0)
    mark = models.UUIDField(_("mark"), default=uuid4, unique=True, editable=False)
    content = models.TextField(_("content"))
    # {"content_type", "items"} of a rich message, {"files": [{"name", "url"}]} of one
    # with files, {"of": 3} of one of several.
    rich = models.JSONField(
        _("besides the text"), default=dict, db_default={}, blank=True
    )
    private = models.BooleanField(_("private note"), default=False)
    chatwoot_message_id = models.PositiveBigIntegerField(
        _("message in Chatwoot"), null=True, blank=True
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    # When it was last sent. None after Chatwoot surely did not take it.
    attempted_at = models.DateTimeField(_("attempted"), null=True, blank=True)
    posted_at = models.DateTimeField(_("posted"), null=True, blank=True)

    class Meta:
        verbose_name = _("outgoing message")
        verbose_name_plural = _("outgoing messages")
        constraints = [
            models.UniqueConstraint(
                fields=["turn", "part", "number"], name="outgoingmessage_once_each"
            )
        ]
        indexes = [
            # Search by Chatwoot's number.
            models.Index(
                fields=["chatwoot_message_id"],
                condition=models.Q(chatwoot_message_id__isnull=False),
                name="outgoingmessage_message",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_part_display()} {self.pk}"
