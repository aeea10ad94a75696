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
from conversations.admin.bot_tabs import SHOWN_ONLY, TABS
from conversations.admin.bot_tokens import TokenPages
from conversations.models import Bot, Turn
from conversations.models.bot_settings import DIFY, OPENAI
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
    fieldsets = TABS
    readonly_fields = tuple(sorted(SHOWN_ONLY))

    @admin.display(description=_("state"))
    def state(self, bot: Bot) -> SafeString:
        if not bot.enabled:
            return badge(_("switched off"), tone="calm")
        if bot.provider == DIFY and bot.dify_app is None:
            return badge(_("no Dify app"), tone="bad")
        if bot.shadow:
            return badge(_("trial run: notes only"), tone="warn")
        if bot.test_only:
            return badge(_("test only"), tone="warn")
        return badge(_("switched on"), tone="good")

    @admin.display(description=_("inboxes"))
    def inbox_names(self, bot: Bot) -> str:
        names = [str(inbox) for inbox in bot.inboxes.all()]
        return ", ".join(names) if names else gettext("all")

    @admin.display(description=_("answers come from"))
    def app(self, bot: Bot) -> SafeString:
        """Show the Dify app with its health, unless that is good, or who it is else."""
        if bot.provider == OPENAI:
            return admin_link(bot.openai_server)
        if bot.provider != DIFY:
            return format_html("{}", bot.provider)
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
        if app is None or bot.provider != DIFY:
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
            .select_related("account", "dify_app", "openai_server")
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
        # Drafts, greetings and agents' requests are no answers to customers.
        Turn.objects.filter(
            bot__in=[bot.pk for bot in bots],
            kind=Turn.Kind.ANSWER,
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
