"""Bots: who answers which inboxes, when, and in whose voice."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, admin_link, badge
from conversations.admin.bot_form import BotForm
from conversations.admin.bot_tokens import TokenPages
from conversations.models import Bot, ConversationStatus


@admin.register(Bot)
class BotAdmin(TokenPages):
    """Changes are in force at once, without a restart."""

    form = BotForm
    list_display = (
        "name",
        "state",
        "account",
        "inbox_names",
        "app",
        "reply_as",
        "statuses",
    )
    list_filter = ("enabled", "account")
    search_fields = ("name",)
    ordering = ("name", "pk")
    actions = ("switch_on", "switch_off")
    fieldsets = (
        (
            None,
            {"fields": ("name", "enabled", "account", "inboxes", "dify_app")},
        ),
        (
            _("When and how it speaks"),
            {
                "fields": (
                    "speak_in_statuses",
                    "reply_as",
                    "debounce_s",
                    "on_new_message",
                    "max_turn_minutes",
                    "max_message_age_s",
                )
            },
        ),
        (
            _("When it is silent"),
            {
                "description": _(
                    "A human who answers the customer always stops the bot. Setting "
                    "the conversation to “pending” gives it back. Single conversations "
                    "are paused in the list of conversations."
                ),
                "fields": ("yields_to_assignee", "pause_label", "pause_attribute"),
            },
        ),
        (
            _("What Dify is told"),
            {
                "description": _(
                    "Before each answer the bridge fills in the inputs that the Dify "
                    "app declares. The page of the Dify app lists them."
                ),
                "fields": ("inputs", "new_dify_conversation_after_resolve"),
            },
        ),
        (
            _("What its flows may do"),
            {
                "description": _(
                    "Flows call the bridge to set statuses, teams, labels and "
                    "attributes, and to write messages, in the conversations of this "
                    "bot's inboxes."
                ),
                "fields": ("unknown_names", "strict_statuses", "tokens"),
            },
        ),
        (
            _("When it cannot answer"),
            {
                "description": _(
                    "After its last attempt the bot says one line to the customer, "
                    "leaves a note for the agents and sets the conversation to open."
                ),
                "fields": ("failure_public_text", "failure_private_text"),
            },
        ),
        (
            _("When nobody says anything any more"),
            {"fields": ("idle_hours", "idle_action")},
        ),
        (
            _("What Dify forgets"),
            {
                "description": _(
                    "Deleting is repeated until Dify has proven that it no longer "
                    "knows the conversation. The list of Dify conversations shows "
                    "what is still to be proven."
                ),
                "fields": ("dify_delete_policy", "dify_delete_after_days"),
            },
        ),
        (_("Dates"), {"fields": ("created_at", "updated_at")}),
    )
    readonly_fields = ("tokens", "created_at", "updated_at")

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
        return admin_link(bot.dify_app)

    @admin.display(description=_("speaks in"))
    def statuses(self, bot: Bot) -> str:
        names = dict(ConversationStatus.choices)
        return (
            ", ".join(
                str(names.get(status, status)) for status in bot.speak_in_statuses
            )
            or NOTHING
        )

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        changed = queryset.filter(enabled=False).update(enabled=True)
        self.message_user(
            request,
            ngettext(
                "%(count)d bot was switched on. It answers from the next message on.",
                "%(count)d bots were switched on. They answer from the next message "
                "on.",
                changed,
            )
            % {"count": changed},
            messages.SUCCESS,
        )

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        changed = queryset.filter(enabled=True).update(enabled=False)
        self.message_user(
            request,
            ngettext(
                "%(count)d bot was switched off. All messages are left to the humans.",
                "%(count)d bots were switched off. All messages are left to the "
                "humans.",
                changed,
            )
            % {"count": changed},
            messages.SUCCESS,
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bot]:
        return (
            super()
            .get_queryset(request)
            .select_related("account", "dify_app")
            .prefetch_related("inboxes")
        )

    def save_related(
        self, request: HttpRequest, form: ModelForm[Bot], formsets: Any, change: bool
    ) -> None:
        """Warn once everything is saved: two bots on an inbox are no error."""
        super().save_related(request, form, formsets, change)
        for rival in rivals_of(form.instance):
            self.message_user(
                request,
                gettext(
                    "“%(rival)s” is switched on for some of the same inboxes. Only the "
                    "older of the two answers there. Leave each inbox to one bot."
                )
                % {"rival": rival},
                messages.WARNING,
            )


def rivals_of(bot: Bot) -> list[Bot]:
    """Return other enabled bots that claim an inbox in just the same way.

    A bot for all inboxes beside one for a single inbox is a common and clear setting.
    """
    if not bot.enabled:
        return []
    inboxes = list(bot.inboxes.all())
    same = Q(inboxes__in=inboxes) if inboxes else Q(inboxes=None)
    return list(
        Bot.objects.filter(same, account=bot.account_id, enabled=True)
        .exclude(pk=bot.pk)
        .distinct()
        .order_by("pk")
    )
