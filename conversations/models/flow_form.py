"""Forms that paused Dify flows wait for (Human Input nodes, Dify 1.14 and newer)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField
from conversations.models.bot import Bot
from conversations.models.bot_settings import FormsGoTo
from conversations.models.conversation import Conversation
from conversations.models.run import PipelineRun
from conversations.models.turn import Turn


class FlowForm(models.Model):
    """One form, from the pause of its run to the answer that resumes it."""

    class Status(models.TextChoices):
        """How far it is."""

        WAITING = "waiting", _("waits for an answer")
        ANSWERED = "answered", _("answered")
        EXPIRED = "expired", _("not answered in time")
        WITHDRAWN = "withdrawn", _("no longer wanted")

    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="flow_forms",
        verbose_name=_("conversation"),
    )
    bot = models.ForeignKey(
        Bot,
        on_delete=models.SET_NULL,
        null=True,
        related_name="flow_forms",
        verbose_name=_("bot"),
    )
    # The turn that paused, and the run to be resumed.
    turn = models.ForeignKey(
        Turn,
        on_delete=models.CASCADE,
        related_name="flow_forms",
        verbose_name=_("turn"),
    )
    run = models.ForeignKey(
        PipelineRun,
        on_delete=models.CASCADE,
        related_name="flow_forms",
        verbose_name=_("run"),
    )
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.WAITING
    )
    goes_to = models.CharField(_("asked"), max_length=20, choices=FormsGoTo)
    form_id = models.CharField(_("form in Dify"), max_length=64, blank=True)
    # Whoever has it may answer the form.
    form_token = EncryptedTextField(blank=True, default="", editable=False)
    title = models.CharField(_("node"), max_length=255, blank=True)
    content = models.TextField(_("question"), blank=True)
    # [{"name", "type", "label", "default", "options"}] and [{"id", "title"}]
    fields = models.JSONField(default=list, blank=True)
    actions = models.JSONField(default=list, blank=True)
    answer = models.JSONField(_("answer"), default=dict, blank=True)
    answered_by = models.CharField(_("answered by"), max_length=150, blank=True)
    chatwoot_message_id = models.PositiveBigIntegerField(
        _("message in Chatwoot"), null=True, blank=True
    )
    expires_at = models.DateTimeField(_("expires"))
    remind_at = models.DateTimeField(_("reminder"), null=True, blank=True)
    created_at = models.DateTimeField(_("asked"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("form of a flow")
        verbose_name_plural = _("forms of flows")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(status="waiting"),
                name="flowform_one_waiting",
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(status="waiting"),
                name="flowform_expiring",
            ),
            models.Index(
                fields=["remind_at"],
                condition=Q(status="waiting", remind_at__isnull=False),
                name="flowform_reminding",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.pk}"
