"""Bots: who answers which inboxes, when, and in whose voice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Max, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    admin_link,
    badge,
    health_badge,
    moment,
)
from conversations.admin.bot_actions import BotActions, record_switch
from conversations.admin.bot_advice import ask_dify
from conversations.admin.bot_form import BotForm
from conversations.admin.bot_preview import PreviewPages
from conversations.admin.bot_tokens import TokenPages
from conversations.models import Bot, Turn
from dify_api.models import DifyApp

# What is older is not looked for: the list would read all turns.
LATELY = timedelta(hours=24)


@admin.register(Bot)
class BotAdmin(BotActions, PreviewPages, TokenPages):
    """Changes are in force at once, without a restart."""

    form = BotForm
    change_form_template = "admin/conversations/bot/change_form.html"
    list_display = (
        "name",
        "state",
        "account",
        "inbox_names",
        "app",
        "reply_as",
        "last_answer",
        "last_day",
    )
    list_filter = ("enabled", "account")
    search_fields = ("name",)
    ordering = ("name", "pk")
    actions = ("switch_on", "switch_off", "duplicate")
    fieldsets = (
        (
            _("Who answers"),
            {
                "classes": ["tab"],
                "fields": (
                    "name",
                    "enabled",
                    "account",
                    "inboxes",
                    "dify_app",
                    "reply_as",
                    "created_at",
                    "updated_at",
                ),
            },
        ),
        (
            _("When"),
            {
                "classes": ["tab"],
                "description": _(
                    "A human who answers the customer always stops the bot. Setting "
                    "the conversation to “pending” gives it back. Single conversations "
                    "are paused in the list of conversations."
                ),
                "fields": (
                    "speak_in_statuses",
                    "debounce_s",
                    "on_new_message",
                    "yields_to_assignee",
                    "pause_label",
                    "pause_attribute",
                    "idle_hours",
                    "idle_action",
                ),
            },
        ),
        (
            _("Inputs"),
            {
                "classes": ["tab"],
                "description": _(
                    "Before each answer the bridge fills in the inputs that the Dify "
                    "app declares. Saving reads the declaration anew."
                ),
                "fields": ("inputs", "preview", "new_dify_conversation_after_resolve"),
            },
        ),
        (
            _("Texts"),
            {
                "classes": ["tab"],
                "description": _(
                    "When it cannot answer: after its last attempt the bot says one "
                    "line to the customer, leaves a note for the agents and sets the "
                    "conversation to open."
                ),
                "fields": ("failure_public_text", "failure_private_text", "language"),
            },
        ),
        (
            _("Limits"),
            {
                "classes": ["tab"],
                "description": _(
                    "How long Dify may take and how many runs there may be at once is "
                    "set at the Dify app."
                ),
                "fields": ("max_turn_minutes", "max_message_age_s", "limits_of_app"),
            },
        ),
        (
            _("Privacy"),
            {
                "classes": ["tab"],
                "description": _(
                    "Deleting is repeated until Dify has proven that it no longer "
                    "knows the conversation. The list of Dify conversations shows "
                    "what is still to be proven."
                ),
                "fields": ("dify_delete_policy", "dify_delete_after_days"),
            },
        ),
        (
            _("What its flows may do"),
            {
                "classes": ["tab"],
                "description": _(
                    "Flows call the bridge to set statuses, teams, labels and "
                    "attributes, and to write messages, in the conversations of this "
                    "bot's inboxes."
                ),
                "fields": ("unknown_names", "strict_statuses", "tokens"),
            },
        ),
    )
    readonly_fields = (
        "tokens",
        "preview",
        "limits_of_app",
        "created_at",
        "updated_at",
    )

    @admin.display(description=_("state"))
    def state(self, bot: Bot) -> SafeString:
        if not bot.enabled:
            return badge(_("switched off"), tone="calm")
        if bot.dify_app is None:
            return badge(_("no Dify app"), tone="bad")
        return badge(_("switched on"), tone="good")

    @admin.display(description=_("inboxes"))
    def inbox_names(self, bot: Bot) -> str:
        names = [str(inbox) for inbox in bot.inboxes.all()]
        return ", ".join(names) if names else gettext("all")

    @admin.display(description=_("Dify app"))
    def app(self, bot: Bot) -> SafeString:
        """Show the app with its health, unless that is good."""
        if bot.dify_app is None or bot.dify_app.health == DifyApp.Health.OK:
            return admin_link(bot.dify_app)
        health = health_badge(bot.dify_app)
        return format_html("{} {}", admin_link(bot.dify_app), health)

    @admin.display(description=_("last answer"))
    def last_answer(self, bot: Bot) -> SafeString:
        """Show when it last answered, if that is no day ago."""
        at: datetime | None = getattr(bot, "last_answer_at", None)
        return moment(at) if at else format_html("{}", gettext("not in 24 h"))

    @admin.display(description=_("answered in 24 h"))
    def last_day(self, bot: Bot) -> str:
        """Show how many turns were answered, of those that ended."""
        ended = getattr(bot, "ended_lately", 0)
        if not ended:
            return NOTHING
        values = {"answered": getattr(bot, "answered_lately", 0), "ended": ended}
        return gettext("%(answered)d of %(ended)d") % values

    @admin.display(description=_("limits of the Dify app"))
    def limits_of_app(self, bot: Bot) -> SafeString:
        app = bot.dify_app
        if app is None:
            return format_html("{}", NOTHING)
        text = gettext(
            "a run takes at most %(total)d s and says nothing for at most %(idle)d s; "
            "%(runs)d runs at once"
        ) % {
            "total": app.total_timeout_s,
            "idle": app.idle_timeout_s,
            "runs": app.current_limit,
        }
        return format_html("{}: {}", admin_link(app), text)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bot]:
        return (
            super()
            .get_queryset(request)
            .select_related("account", "dify_app")
            .prefetch_related("inboxes")
        )

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Add the numbers of the bots on this page: one query each, however many."""
        changelist = super().get_changelist_instance(request)
        add_numbers(changelist.result_list)
        return changelist

    def save_model(
        self, request: HttpRequest, obj: Bot, form: ModelForm[Bot], change: bool
    ) -> None:
        """Record a switch like one from the list."""
        super().save_model(request, obj, form, change)
        if change and "enabled" in form.changed_data:
            record_switch(obj, by=request.user.get_username())

    def save_related(
        self, request: HttpRequest, form: ModelForm[Bot], formsets: Any, change: bool
    ) -> None:
        """Warn once everything is saved: two bots on an inbox are no error."""
        super().save_related(request, form, formsets, change)
        self.warn_of_rivals(request, form.instance)
        _saved_by(request).append(form.instance)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        """Ask Dify about what was saved, after the transaction: it may take seconds."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        for bot in _saved_by(request):
            for level, sentence in ask_dify(bot):
                self.message_user(request, sentence, level)
        return response


def _saved_by(request: HttpRequest) -> list[Bot]:
    """Return the list in which this request notes what it saved."""
    noted: list[Bot] = request.META.setdefault("bridge.saved_bots", [])
    return noted


def add_numbers(bots: Iterable[Bot]) -> None:
    """Note at each bot how its last day went."""
    answered = Q(status=Turn.Status.ANSWERED)
    rows = (
        Turn.objects.filter(
            bot__in=[bot.pk for bot in bots],
            finished_at__gte=timezone.now() - LATELY,
        )
        .values_list("bot")
        .annotate(
            last=Max("finished_at", filter=answered),
            answered=Count("pk", filter=answered),
            ended=Count("pk"),
        )
    )
    found = {bot: numbers for bot, *numbers in rows}
    for bot in bots:
        last, count, ended = found.get(bot.pk, (None, 0, 0))
        bot.last_answer_at = last  # type: ignore[attr-defined]
        bot.answered_lately = count  # type: ignore[attr-defined]
        bot.ended_lately = ended  # type: ignore[attr-defined]
