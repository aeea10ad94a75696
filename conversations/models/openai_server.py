"""Servers that speak OpenAI's HTTP API: answers, and voice to text."""

from __future__ import annotations

from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField


class OpenAIServer(models.Model):
    """One OpenAI-compatible server; edited in the admin."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    base_url = models.CharField(
        _("address"),
        max_length=500,
        validators=[
            RegexValidator(r"^https?://[^\s?#]+$", _("Begin with http:// or https://."))
        ],
        help_text=_(
            "Up to and with /v1, for example https://api.openai.com/v1 or "
            "http://ollama:11434/v1."
        ),
    )
    api_key = EncryptedTextField(
        _("API key"),
        blank=True,
        default="",
        help_text=_("Empty for servers that want none."),
    )
    chat_model = models.CharField(
        _("model for answers"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("As the server calls it, for example gpt-4o-mini."),
    )
    system_prompt = models.TextField(
        _("instructions for the model"),
        blank=True,
        default="",
        help_text=_("What the model is told before the conversation."),
    )
    transcription_model = models.CharField(
        _("model for voice"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("For POST /audio/transcriptions, for example whisper-1."),
    )
    history_messages = models.PositiveSmallIntegerField(
        _("messages of the conversation"),
        default=20,
        validators=[MaxValueValidator(100)],
        help_text=_("How many the model is told. 0: only the question."),
    )
    timeout_s = models.PositiveSmallIntegerField(
        _("time limit, seconds"),
        default=120,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
    )
    created_at = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("OpenAI-compatible server")
        verbose_name_plural = _("OpenAI-compatible servers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
