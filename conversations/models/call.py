"""Calls to Chatwoot and Dify."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.run import PipelineRun
from conversations.models.turn import Turn


class UpstreamCall(models.Model):
    """One finished HTTP call for a turn; written by `call_log`."""

    turn = models.ForeignKey(
        Turn, on_delete=models.CASCADE, related_name="calls", verbose_name=_("turn")
    )
    run = models.ForeignKey(
        PipelineRun,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="calls",
        verbose_name=_("run"),
    )
    service = models.CharField(_("service"), max_length=20)
    method = models.CharField(_("method"), max_length=10)
    path = models.TextField(_("path"))
    http_status = models.PositiveSmallIntegerField(
        _("HTTP status"), null=True, blank=True
    )
    duration_ms = models.PositiveIntegerField(_("took, ms"))
    error_code = models.CharField(_("error code"), max_length=60, blank=True)
    request_excerpt = models.TextField(_("sent"), blank=True)
    response_excerpt = models.TextField(_("received"), blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("upstream call")
        verbose_name_plural = _("upstream calls")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
