"""Runs: the tries of a Dify app for a turn."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.turn import Turn
from dify_api.models import DifyApp


class PipelineRun(models.Model):
    """One try of a Dify app; the row is there before Dify is called.

    Written by `pipeline` and `answering`.
    """

    class Status(models.TextChoices):
        """How the try ended; `running` with a dead worker was cut off."""

        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        STOPPED = "stopped", _("stopped by the bridge")

    turn = models.ForeignKey(
        Turn, on_delete=models.CASCADE, related_name="runs", verbose_name=_("turn")
    )
    dify_app = models.ForeignKey(
        DifyApp,
        on_delete=models.SET_NULL,
        null=True,
        related_name="runs",
        verbose_name=_("Dify app"),
    )
    # Who was asked, if no Dify app: a name of `conversations.providers`.
    provider = models.CharField(
        _("provider"), max_length=50, blank=True, default="", db_default=""
    )
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.RUNNING
    )
    last_message_id = models.PositiveBigIntegerField(_("last message"))
    query = models.TextField(_("question"), blank=True)
    inputs = models.JSONField(_("inputs"), default=dict, blank=True)
    dify_user = models.CharField(_("user in Dify"), max_length=255, blank=True)
    dify_conversation_id = models.CharField(
        _("Dify conversation"), max_length=64, blank=True
    )
    dify_task_id = models.CharField(_("Dify task"), max_length=64, blank=True)
    dify_message_id = models.CharField(_("Dify message"), max_length=64, blank=True)
    dify_workflow_run_id = models.CharField(
        _("Dify workflow run"), max_length=64, blank=True
    )
    outcome = models.CharField(
        _("outcome"),
        max_length=20,
        blank=True,
        help_text=_("answered, stopped or paused, as Dify said."),
    )
    answer = models.TextField(_("answer"), blank=True)
    # Of the answer: [{"url", "kind", "filename", "mime_type", "size"}], and the
    # questions that Dify suggests next.
    files = models.JSONField(_("files"), default=list, db_default=[], blank=True)
    suggestions = models.JSONField(
        _("suggested questions"), default=list, db_default=[], blank=True
    )
    # What was sent along: Dify's `files[]`.
    sent_files = models.JSONField(
        _("files sent"), default=list, db_default=[], blank=True
    )
    thinking = models.TextField(_("thinking"), blank=True)
    notes = models.JSONField(_("notes"), default=list, blank=True)
    error_code = models.CharField(_("error code"), max_length=60, blank=True)
    error = models.TextField(_("error"), blank=True)
    total_tokens = models.PositiveBigIntegerField(_("tokens"), null=True, blank=True)
    total_price = models.DecimalField(
        _("cost"), max_digits=24, decimal_places=7, null=True, blank=True
    )
    currency = models.CharField(_("currency"), max_length=10, blank=True)
    first_event_ms = models.PositiveIntegerField(
        _("first event after, ms"), null=True, blank=True
    )
    first_text_ms = models.PositiveIntegerField(
        _("first text after, ms"), null=True, blank=True
    )
    duration_ms = models.PositiveIntegerField(_("took, ms"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        indexes = [
            # How many places of an app are taken.
            models.Index(
                fields=["dify_app"],
                condition=models.Q(status="running"),
                name="pipelinerun_running",
            ),
            # Search by what Dify calls it.
            models.Index(
                fields=["dify_message_id"],
                condition=~models.Q(dify_message_id=""),
                name="pipelinerun_message",
            ),
            models.Index(
                fields=["dify_workflow_run_id"],
                condition=~models.Q(dify_workflow_run_id=""),
                name="pipelinerun_workflow_run",
            ),
            # What ended within an hour: tokens and cost.
            models.Index(
                fields=["finished_at"],
                condition=models.Q(finished_at__isnull=False),
                name="pipelinerun_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
