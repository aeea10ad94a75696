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
        """What the message is for; each part is posted once per turn."""

        ANSWER = "answer", _("answer")
        FAILURE_TEXT = "failure_text", _("text to the customer on failure")
        FAILURE_NOTE = "failure_note", _("note to the agents on failure")

    turn = models.ForeignKey(
        Turn,
        on_delete=models.CASCADE,
        related_name="outgoing_messages",
        verbose_name=_("turn"),
    )
    part = models.CharField(_("part"), max_length=20, choices=Part)
    mark = models.UUIDField(_("mark"), default=uuid4, unique=True, editable=False)
    content = models.TextField(_("content"))
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
                fields=["turn", "part"], name="outgoingmessage_once"
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
