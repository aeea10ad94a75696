"""Whom to tell when something needs a person, and what was told."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField


class AlertCause(models.TextChoices):
    """What an alert may be about; each has one alert at a time per subject."""

    REFUSED_KEY = "refused_key", _("a key or token is refused")
    FAILING_RATE = "failing_rate", _("too many turns fail")
    OLDEST_WAITING = "oldest_waiting", _("a customer waits too long")
    OVERDUE_DELETION = "overdue_deletion", _("a deletion in Dify is overdue")


def all_causes() -> list[str]:
    """Return every cause: a new channel hears of all."""
    return list(AlertCause.values)


class AlertChannel(models.Model):
    """One place that is told: a webhook or a mail address; edited in the admin."""

    class Kind(models.TextChoices):
        """How it is told."""

        WEBHOOK = "webhook", _("signed webhook")
        EMAIL = "email", _("e-mail")

    name = models.CharField(_("name"), max_length=100)
    enabled = models.BooleanField(_("switched on"), default=True)
    kind = models.CharField(_("how"), max_length=20, choices=Kind)
    url = models.CharField(
        _("webhook address"),
        max_length=500,
        blank=True,
        validators=[
            RegexValidator(r"^https?://[^\s?#]+", _("Begin with http:// or https://."))
        ],
    )
    secret = EncryptedTextField(
        _("signing secret"),
        blank=True,
        help_text=_(
            "Signs webhooks as the Standard Webhooks specification says. Left empty, "
            "one is made and shown once."
        ),
    )
    email = models.EmailField(_("e-mail address"), blank=True)
    causes = ArrayField(
        models.CharField(max_length=40, choices=AlertCause),
        default=all_causes,
        verbose_name=_("tells of"),
    )
    language = models.CharField(
        _("language"),
        max_length=10,
        choices=settings.LANGUAGES,
        default="en",
    )
    failing_percent = models.PositiveSmallIntegerField(
        _("too many failures: percent"),
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Of the turns that ended within the last hour; at least 5 failed."),
    )
    waiting_minutes = models.PositiveIntegerField(
        _("waits too long: minutes"), default=30, validators=[MinValueValidator(1)]
    )
    deletion_hours = models.PositiveIntegerField(
        _("overdue deletion: hours"), default=24, validators=[MinValueValidator(1)]
    )
    created_at = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """One trouble told to one channel, from its beginning to its end.

    Written by `alerts`. Open at most once for a channel, cause and subject: that is
    what keeps a thousand failures from being a thousand alerts.
    """

    channel = models.ForeignKey(
        AlertChannel,
        on_delete=models.CASCADE,
        related_name="alerts",
        verbose_name=_("channel"),
    )
    cause = models.CharField(_("cause"), max_length=40, choices=AlertCause)
    # What it is about, such as "difyapp:3"; "" for the bridge as a whole.
    subject = models.CharField(_("about"), max_length=100, blank=True)
    # {"count": 7, "since": "...", "name": "..."}: what the texts are made of.
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    began_at = models.DateTimeField(_("began"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "cause", "subject"],
                condition=models.Q(ended_at=None),
                name="alert_once_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_cause_display()} {self.pk}"


class AlertDelivery(models.Model):
    """One message of an alert: its beginning, its end, or a test; until it arrived."""

    class Kind(models.TextChoices):
        """What it says."""

        BEGAN = "began", _("began")
        ENDED = "ended", _("is over")
        TEST = "test", _("test")

    channel = models.ForeignKey(
        AlertChannel,
        on_delete=models.CASCADE,
        related_name="deliveries",
        verbose_name=_("channel"),
    )
    alert = models.ForeignKey(
        Alert,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("alert"),
    )
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # `webhook-id` of the specification, the same at each try.
    mark = models.UUIDField(default=uuid4, unique=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        constraints = [
            models.UniqueConstraint(fields=["alert", "kind"], name="alertdelivery_once")
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="alertdelivery_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class Seen(models.Model):
    """Up to when an operator has seen what the overview warns of; by `attention`."""

    # Which warning, such as "refused_callbacks".
    warning = models.CharField(max_length=60, unique=True)
    seen_at = models.DateTimeField(default=timezone.now)
    seen_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return self.warning
