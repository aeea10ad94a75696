"""Callbacks: what Dify flows asked the bridge to do."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount
from conversations.models.bot import Bot
from conversations.models.conversation import Conversation
from conversations.models.run import PipelineRun
from conversations.models.turn import Turn


class Callback(models.Model):
    """One request of a flow that changes something; written by `callbacks.journal`.

    The row is there before Chatwoot is called, and keeps the answer, which a repeat of
    the same request gets again.
    """

    class Status(models.TextChoices):
        """How it ended; `running` without an end was cut off by a restart."""

        RUNNING = "running", _("running")
        SUCCESS = "success", _("done")
        SKIPPED = "skipped", _("nothing to do")
        PARTIAL = "partial", _("done in part")
        ERROR = "error", _("refused")

    class Caller(models.TextChoices):
        """By what the caller was recognised."""

        BOT_TOKEN = "bot_token", _("bot's token")
        CONVERSATION_TOKEN = "conversation_token", _("conversation token")
        NOBODY = "nobody", _("not at all")

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="callbacks",
        verbose_name=_("account"),
    )
    bot = models.ForeignKey(
        Bot,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="callbacks",
        verbose_name=_("bot"),
    )
    # None where there is none (yet): a list of teams, a conversation to be started.
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="callbacks",
        verbose_name=_("conversation"),
    )
    turn = models.ForeignKey(
        Turn,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="callbacks",
        verbose_name=_("turn"),
    )
    run = models.ForeignKey(
        PipelineRun,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="callbacks",
        verbose_name=_("run"),
    )
    caller = models.CharField(_("recognised by"), max_length=20, choices=Caller)
    operation = models.CharField(_("operation"), max_length=64)
    arguments = models.JSONField(_("arguments"), default=dict, blank=True)
    before = models.JSONField(_("before"), default=dict, blank=True)
    after = models.JSONField(_("after"), default=dict, blank=True)
    status = models.CharField(
        _("result"), max_length=20, choices=Status, default=Status.RUNNING
    )
    code = models.CharField(_("code"), max_length=60, blank=True)
    message = models.TextField(_("message"), blank=True)
    answer = models.JSONField(_("answer"), default=dict, blank=True)
    http_status = models.PositiveSmallIntegerField(
        _("HTTP status"), null=True, blank=True
    )
    # Chatwoot's answers: [{"method", "path", "status", "ms", "error"}].
    calls = models.JSONField(_("calls to Chatwoot"), default=list, blank=True)
    # Travels with a message that is posted, as `OutgoingMessage.mark` does.
    mark = models.UUIDField(default=uuid4, editable=False)
    # Of a row that is being served: the same request was cut off before, and may have
    # done its work. Not stored.
    follows_cut_off = False
    # While it is set, a request with the same key gets this row's answer.
    once_key = models.CharField(  # noqa: DJ001 # unique, and most rows have none
        max_length=200, null=True, unique=True, editable=False, default=None
    )
    repeats = models.PositiveIntegerField(
        _("repeated"),
        default=0,
        help_text=_("How often the same request came again and got this answer."),
    )
    # SHA-256 of operation and arguments: one key belongs to one request.
    fingerprint = models.CharField(max_length=64, editable=False, blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    duration_ms = models.PositiveIntegerField(_("took, ms"), null=True, blank=True)

    class Meta:
        verbose_name = _("callback")
        verbose_name_plural = _("callbacks")
        indexes = [
            # The admin's list, newest first, and pruning.
            models.Index(fields=["account", "-created_at"], name="callback_time"),
            models.Index(fields=["-created_at"], name="callback_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.operation or self._meta.verbose_name} {self.pk}"
