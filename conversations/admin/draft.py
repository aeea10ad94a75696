"""Drafts: what the bot would have said, beside what the human sent."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    StoryAdmin,
    admin_link,
    badge,
    moment,
)
from conversations import drafts
from conversations.admin import draft_numbers
from conversations.admin.base import (
    chatwoot_link,
    conversation_link,
    conversations_numbered,
    number_in,
    turn_link,
)
from conversations.admin.draft_numbers import PERIOD_NAMES, percent
from conversations.models import Draft, Turn
from conversations.reports.drafts import NEARLY_UNCHANGED, PERIODS, period_of, report

# Of each text in the list; the draft's page has them whole.
MAX_CHARS = 400
_BOT = "bot__id__exact"


class PeriodFilter(admin.SimpleListFilter):
    """The numbers' period, and the list's."""

    title = _("period")
    parameter_name = "period"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Draft]
    ) -> list[tuple[str, str]]:
        return [(one.name, str(PERIOD_NAMES[one.name])) for one in PERIODS]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Draft]
    ) -> QuerySet[Draft]:
        if not self.value():
            return queryset
        period = period_of(self.value() or "")
        return queryset.filter(created_at__gte=period.moments(timezone.now())[0])


class OutcomeFilter(admin.SimpleListFilter):
    """Drafts by what became of them."""

    title = _("what became of it")
    parameter_name = "outcome"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Draft]
    ) -> list[tuple[str, str]]:
        return [
            ("unchanged", gettext("sent nearly unchanged")),
            ("changed", gettext("something else was sent")),
            ("unused", gettext("not used")),
            ("waiting", gettext("no reply yet")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Draft]
    ) -> QuerySet[Draft]:
        found = {
            "unchanged": Q(similarity__gte=NEARLY_UNCHANGED),
            "changed": Q(similarity__lt=NEARLY_UNCHANGED),
            "unused": Q(human_message_id=drafts.NOT_USED),
            "waiting": Q(human_message_id=None),
        }.get(self.value() or "")
        return queryset if found is None else queryset.filter(found)


@admin.register(Draft)
class DraftAdmin(StoryAdmin[Draft]):
    """When to let the bot speak."""

    list_display = (
        "created",
        "draft_text",
        "sent_text",
        "likeness",
        "edited",
        "conversation_number",
        "bot_link",
    )
    list_display_links = ("created",)
    list_filter = (PeriodFilter, "bot", OutcomeFilter)
    list_per_page = 20
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = _("Conversation number")
    list_before_template = "admin/conversations/draft/numbers.html"
    change_form_template = "admin/conversations/draft/change_form.html"

    @admin.display(description=_("created"))
    def created(self, draft: Draft) -> SafeString:
        return moment(draft.created_at)

    @admin.display(description=_("draft"))
    def draft_text(self, draft: Draft) -> SafeString:
        return _beginning(draft.text)

    @admin.display(description=_("what the human sent"))
    def sent_text(self, draft: Draft) -> SafeString:
        if not draft.human_text:
            return what_became(draft)
        return _beginning(draft.human_text)

    @admin.display(description=_("similarity"))
    def likeness(self, draft: Draft) -> SafeString:
        if draft.similarity is None:
            return format_html("{}", percent(None))
        is_good = draft.similarity >= NEARLY_UNCHANGED
        return badge(percent(draft.similarity), tone="good" if is_good else "calm")

    @admin.display(description=_("edited"))
    def edited(self, draft: Draft) -> str:
        return percent(draft.edit_rate)

    @admin.display(description=_("conversation"))
    def conversation_number(self, draft: Draft) -> SafeString:
        return conversation_link(draft.conversation)

    @admin.display(description=_("bot"))
    def bot_link(self, draft: Draft) -> SafeString:
        return admin_link(draft.bot)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Draft]:
        rows = super().get_queryset(request)
        return rows.select_related("bot", "conversation__account", "turn")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Draft], search_term: str
    ) -> tuple[QuerySet[Draft], bool]:
        if not search_term.strip():
            return queryset, False
        number = number_in(search_term)
        if number is None:
            return queryset.none(), False
        found = queryset.filter(conversation__in=conversations_numbered(number))
        return found, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the numbers above the list, of the same bot and period."""
        bot = request.GET.get(_BOT, "")
        found = report(
            period_of(request.GET.get("period", "")),
            now=timezone.now(),
            bot_id=int(bot)
            if bot.isascii() and bot.isdigit() and len(bot) < 19
            else None,
        )
        context = {"numbers": draft_numbers.shown(found), **(extra_context or {})}
        return super().changelist_view(request, context)

    def story(self, row: Draft) -> dict[str, object]:
        """Return the draft as its page shows it."""
        return {
            "draft": row,
            "title": gettext("Draft %(id)s") % {"id": row.pk},
            "kind": _kind(row.turn),
            "similarity": self.likeness(row),
            "edited": self.edited(row),
            "became": what_became(row),
            "turn_link": turn_link(row.turn),
            "bot_link": admin_link(row.bot),
            "conversation_link": conversation_link(row.conversation),
            "chatwoot_link": chatwoot_link(row.conversation),
        }


def what_became(draft: Draft) -> SafeString:
    """Say what became of a draft, as a label."""
    if draft.human_message_id is None:
        return badge(_("no reply yet"), tone="busy")
    if draft.human_message_id == drafts.NOT_USED:
        return badge(_("not used: resolved without a reply"), tone="calm")
    if draft.similarity is None:
        return badge(_("the texts are no longer stored"), tone="calm")
    if draft.similarity >= NEARLY_UNCHANGED:
        return badge(_("sent nearly unchanged"), tone="good")
    return badge(_("something else was sent"), tone="warn")


def _kind(turn: Turn) -> str:
    if turn.kind == Turn.Kind.DRAFT:
        return gettext("While a human had the conversation")
    return gettext("In place of an answer: on a trial run, or for a customer who chose")


def _beginning(text: str) -> SafeString:
    short = text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
    return format_html('<div class="bridge-text bridge-draft">{}</div>', short or "–")
