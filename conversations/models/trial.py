"""The playground: questions that an operator asked a bot without Chatwoot."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models.bot import Bot
from conversations.models.dify_conversation import DifyConversation

# How the `user` of every talk begins in Dify; no customer is called so. Dify
# conversations of such users belong to no conversation in Chatwoot.
PLAYGROUND_USER = "bridge-playground-"


class Trial(models.Model):
    """One question of an operator to a bot's Dify app, and its answer.

    Written by `trials`. Questions of one talk share `dify_conversation`, which is
    deleted in Dify afterwards. Nothing of it reaches Chatwoot or a customer.
    """

    class Status(models.TextChoices):
        """`waiting → running → answered | failed | stopped`."""

        WAITING = "waiting", _("waiting for a worker")
        RUNNING = "running", _("running")
        ANSWERED = "answered", _("answered")
        FAILED = "failed", _("failed")
        STOPPED = "stopped", _("stopped")

    bot = models.ForeignKey(
        Bot, on_delete=models.CASCADE, related_name="trials", verbose_name=_("bot")
    )
    actor = models.CharField(_("who"), max_length=150)
    # All questions of one talk.
    talk = models.UUIDField(_("talk"))
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.WAITING
    )
    question = models.TextField(_("question"))
    # All about the inputs and what has no column: "given" by the operator, "sent" to
    # Dify, "notes", "steps" of agents, "error_code", and whose values they are:
    # "conversation_id" and "contact_id" (Chatwoot's), by which an erasure finds them.
    inputs = models.JSONField(_("inputs"), default=dict, blank=True)
    dify_conversation = models.ForeignKey(
        DifyConversation,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="trials",
        verbose_name=_("Dify conversation"),
    )
    answer = models.TextField(_("answer"), blank=True)
    thinking = models.TextField(_("thinking"), blank=True)
    # What Dify's stream said, in order: [{"at_ms": 120, "event": "message", ...}]
    events = models.JSONField(_("events"), default=list, blank=True)
    total_tokens = models.PositiveBigIntegerField(_("tokens"), null=True, blank=True)
    total_price = models.DecimalField(
        _("cost"), max_digits=24, decimal_places=7, null=True, blank=True
    )
    currency = models.CharField(_("currency"), max_length=10, blank=True)
    error = models.TextField(_("error"), blank=True)
    first_text_ms = models.PositiveIntegerField(
        _("first text after, ms"), null=True, blank=True
    )
    duration_ms = models.PositiveIntegerField(_("took, ms"), null=True, blank=True)
    stop_wanted_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("asked"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("trial")
        verbose_name_plural = _("trials")
        constraints = [
            models.UniqueConstraint(
                fields=["talk"],
                condition=models.Q(status__in=["waiting", "running"]),
                name="trial_one_at_a_time",
            )
        ]
        indexes = [
            models.Index(fields=["talk", "id"], name="trial_talk"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=["waiting", "running"]),
                name="trial_unfinished",
            ),
            models.Index(fields=["created_at"], name="trial_time"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.status not in (self.Status.WAITING, self.Status.RUNNING)

    @property
    def dify_user(self) -> str:
        """Return the user that Dify knows the talk under: one for each talk."""
        return f"{PLAYGROUND_USER}{self.talk}"
