"""Dify apps: where they are, how long to wait for them, and how they fare."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Least, NullIf
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField, readable
from bridge_project.lib.health import HealthQuerySet, WithHealth
from dify_api.connection import DifyConnection
from dify_api.payloads import AppMode, InputField, parse_parameters

MAX_TOTAL_TIMEOUT_S = 1800


# One overload refuses many runs at once; they count as one.
SLOW_DOWN_EVERY = timedelta(seconds=5)
# Slowly enough to notice the next overload before the limit is far above it.
SPEED_UP_EVERY = timedelta(seconds=10)


class DifyAppQuerySet(HealthQuerySet["DifyApp"]):
    """What happens to Dify apps."""

    def slow_down(self, now: datetime) -> int:
        """Halve the number of runs at once: Dify said that it is overloaded."""
        most = F("max_concurrent_runs")
        current = Least(Coalesce("lowered_limit", most), most)
        return self._limit_unchanged_since(now - SLOW_DOWN_EVERY).update(
            lowered_limit=Greatest(current / 2, 1), limit_changed_at=now
        )

    def speed_up(self, now: datetime) -> int:
        """Allow one more run at once after a success, until nothing is lowered.

        Not worth a statement for a row whose `lowered_limit` is None.
        """
        most = F("max_concurrent_runs")
        return (
            self._limit_unchanged_since(now - SPEED_UP_EVERY)
            .filter(lowered_limit__isnull=False)
            .update(
                lowered_limit=NullIf(Least(F("lowered_limit") + 1, most), most),
                limit_changed_at=now,
            )
        )

    def _limit_unchanged_since(self, moment: datetime) -> DifyAppQuerySet:
        return self.filter(Q(limit_changed_at=None) | Q(limit_changed_at__lte=moment))


class DifyApp(WithHealth):
    """An app of a Dify server; made by `bootstrap` or in the admin.

    Its declared inputs and health are written by `app_info.refresh` and by the flow.
    """

    class Mode(models.TextChoices):
        """The kinds of app, as GET /info calls them."""

        CHAT = AppMode.CHAT.value, _("chatbot")
        AGENT_CHAT = AppMode.AGENT_CHAT.value, _("agent (classic)")
        AGENT = AppMode.AGENT.value, _("agent")
        ADVANCED_CHAT = AppMode.ADVANCED_CHAT.value, _("chatflow")
        WORKFLOW = AppMode.WORKFLOW.value, _("workflow")
        COMPLETION = AppMode.COMPLETION.value, _("text generator")

    name = models.CharField(_("name"), max_length=100)
    base_url = models.CharField(
        _("address"),
        max_length=500,
        validators=[
            RegexValidator(r"^https?://[^\s?#]+$", _("Begin with http:// or https://."))
        ],
        help_text=_(
            "The API address that Dify shows under “API Access”, for example "
            "https://api.dify.ai/v1. With or without /v1."
        ),
    )
    api_key = EncryptedTextField(
        _("API key"),
        help_text=_(
            "Begins with app-. One key belongs to one app; make it in Dify under “API "
            "Access”, “API Key”."
        ),
    )
    console_url = models.CharField(
        _("page in Dify"),
        max_length=500,
        blank=True,
        default="",
        db_default="",
        validators=[
            RegexValidator(r"^https?://[^\s?#]+$", _("Begin with http:// or https://."))
        ],
        help_text=_(
            "The app's own page in Dify, copied from the browser's address bar, such "
            "as https://dify.example.com/app/…/workflow. Conversations here then link "
            "to Dify's log."
        ),
    )
    mode = models.CharField(
        _("kind of app"),
        max_length=20,
        choices=Mode,
        blank=True,
        help_text=_(
            "Read from Dify. Dify before 1.0 does not tell it: then choose it here."
        ),
    )
    answer_output = models.CharField(
        _("answer output"),
        max_length=100,
        blank=True,
        help_text=_(
            "For workflows: the output that is the answer. Empty: text, answer or "
            "result, else the only text there is."
        ),
    )
    query_input = models.CharField(
        _("query input"),
        max_length=100,
        default="query",
        help_text=_(
            "For workflows and text generators: the input that takes the customer's "
            "text."
        ),
    )
    first_event_timeout_s = models.PositiveSmallIntegerField(
        _("first event limit, seconds"),
        default=60,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
        help_text=_(
            "How long a run may wait in Dify's queue before it says anything. Below 60 "
            "a busy server is mistaken for a silent one."
        ),
    )
    idle_timeout_s = models.PositiveSmallIntegerField(
        _("idle limit, seconds"),
        default=60,
        validators=[MinValueValidator(20), MaxValueValidator(600)],
        help_text=_(
            "How long a started run may send nothing at all. Dify sends a sign of life "
            "every 10 seconds."
        ),
    )
    total_timeout_s = models.PositiveSmallIntegerField(
        _("total limit, seconds"),
        default=600,
        validators=[MinValueValidator(10), MaxValueValidator(MAX_TOTAL_TIMEOUT_S)],
        help_text=_(
            "How long a run may take in all. Dify itself stops runs after 1200 seconds "
            "by default."
        ),
    )
    max_concurrent_runs = models.PositiveSmallIntegerField(
        _("runs at once"),
        default=8,
        db_default=8,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_(
            "More wait for their turn. A self-hosted Dify takes 10 connections by "
            "default (SERVER_WORKER_CONNECTIONS); raise both together."
        ),
    )
    # While Dify says that it is overloaded, fewer than `max_concurrent_runs`.
    lowered_limit = models.PositiveSmallIntegerField(
        _("runs at once, for now"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Lowered because Dify was overloaded; it recovers by itself."),
    )
    limit_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    parameters = models.JSONField(
        _("declared by the app"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("Inputs and file settings, as the app declares them."),
    )
    parameters_read_at = models.DateTimeField(
        _("read from Dify at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When kind and inputs were last read from Dify."),
    )
    server_version = models.CharField(
        _("Dify version"),
        max_length=40,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("As the server says with its answers."),
    )
    # Fingerprints of what `manage.py bootstrap` wrote: what an operator has changed
    # since then differs, and is left alone.
    bootstrapped = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(
        _("created"),
        default=timezone.now,
        editable=False,
        help_text=_("When the app was entered here."),
    )
    updated_at = models.DateTimeField(
        _("changed"), auto_now=True, help_text=_("When anything here last changed.")
    )

    objects = DifyAppQuerySet.as_manager()

    class Meta:
        verbose_name = _("Dify app")
        verbose_name_plural = _("Dify apps")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="difyapp_total_timeout",
                condition=models.Q(total_timeout_s__lte=MAX_TOTAL_TIMEOUT_S),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current_limit(self) -> int:
        """Return how many runs there may be at once, for now."""
        most = self.max_concurrent_runs
        return min(self.lowered_limit or most, most)

    def log_url(self) -> str:
        """Return the address of the app's log in Dify's console; "" if unknown.

        The console has it at /app/<id>/logs, seen in Dify 1.0 to 1.17.
        """
        head, found, rest = self.console_url.partition("/app/")
        app_id = rest.partition("/")[0]
        return f"{head}/app/{app_id}/logs" if found and app_id else ""

    def connection(self) -> DifyConnection:
        """Return what a `DifyClient` for this app is built from."""
        return DifyConnection(
            base_url=self.base_url,
            api_key=readable(self.api_key),
            mode=self.mode,
            first_event_timeout_s=float(self.first_event_timeout_s),
            idle_timeout_s=float(self.idle_timeout_s),
            total_timeout_s=float(self.total_timeout_s),
            answer_output=self.answer_output,
        )

    def declared_inputs(self) -> tuple[InputField, ...]:
        """Return the inputs as last read; () when that has not happened yet."""
        if not self.parameters:
            return ()
        return parse_parameters(self.parameters).inputs
