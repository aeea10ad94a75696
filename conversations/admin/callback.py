"""Callbacks: what Dify flows asked the bridge to do, and what became of it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    StoryAdmin,
    admin_link,
    badge,
    json_block,
    moment,
    shortened,
    two_lines,
)
from bridge_project.lib.types import JsonValue
from conversations.admin.base import (
    callback_badge,
    chatwoot_link,
    conversation_link,
    number_in,
    seconds,
    turn_link,
)
from conversations.admin.callback_words import (
    ENDINGS,
    EXPECTED_REFUSALS,
    OPERATIONS,
    caller_words,
    operation_words,
    repeat_words,
)
from conversations.admin.error_words import error_words
from conversations.admin.story import CallbackView
from conversations.models import Callback

# Long, and only a callback's own page shows them.
_DETAILS = ("arguments", "before", "after", "answer", "calls")


class OperationFilter(admin.SimpleListFilter):
    """What was asked for; the table is not read to find the choices."""

    title = _("operation")
    parameter_name = "operation"
    field_path = "operation"
    template = "admin/dropdown_filter.html"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Callback]
    ) -> list[tuple[str, str]]:
        return [(name, str(words)) for name, words in OPERATIONS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Callback]
    ) -> QuerySet[Callback]:
        operation = self.value()
        return queryset.filter(operation=operation) if operation else queryset


class AttentionFilter(admin.SimpleListFilter):
    """Refusals that the author of the flow should look at."""

    title = _("worth a look")
    parameter_name = "look"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Callback]
    ) -> list[tuple[str, str]]:
        return [("refused", str(_("refused, unless a human was in charge")))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Callback]
    ) -> QuerySet[Callback]:
        return worth_a_look(queryset) if self.value() else queryset


def worth_a_look(rows: QuerySet[Callback]) -> QuerySet[Callback]:
    """Leave the refusals that do not happen in good order."""
    refused = rows.filter(status=Callback.Status.ERROR)
    return refused.exclude(code__in=EXPECTED_REFUSALS)


@admin.register(Callback)
class CallbackAdmin(StoryAdmin[Callback]):
    """The first place to look when a flow says it did something, and did not."""

    list_display = (
        "time",
        "what",
        "state",
        "told",
        "conversation_number",
        "bot_link",
        "took",
    )
    list_display_links = ("time", "what")
    list_filter = (
        "status",
        AttentionFilter,
        OperationFilter,
        "bot",
        "account",
        "created_at",
    )
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("code",)
    search_help_text = _("Conversation number, or a code such as unknown_team")
    change_form_template = "admin/conversations/callback/change_form.html"

    @admin.display(description=_("time"))
    def time(self, callback: Callback) -> SafeString:
        return moment(callback.created_at)

    @admin.display(description=_("operation"))
    def what(self, callback: Callback) -> str:
        return operation_words(callback.operation)

    @admin.display(description=_("result"))
    def state(self, callback: Callback) -> SafeString:
        return callback_badge(callback)

    @admin.display(description=_("the flow was told"))
    def told(self, callback: Callback) -> SafeString | str:
        message = shortened(callback.message)
        if not callback.code:
            return message or NOTHING
        return two_lines(callback.code, message)

    @admin.display(description=_("conversation"))
    def conversation_number(self, callback: Callback) -> SafeString:
        return conversation_link(callback.conversation)

    @admin.display(description=_("bot"))
    def bot_link(self, callback: Callback) -> SafeString:
        return admin_link(callback.bot)

    @admin.display(description=_("took"))
    def took(self, callback: Callback) -> str:
        return seconds(callback.duration_ms)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Callback]:
        return (
            super()
            .get_queryset(request)
            .select_related("account", "bot", "conversation__account")
            .defer(*_DETAILS)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Callback], search_term: str
    ) -> tuple[QuerySet[Callback], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(code=text.lower())
        number = number_in(text)
        if number is not None:
            found |= Q(conversation__chatwoot_conversation_id=number)
        return queryset.filter(found), False

    def story(self, row: Callback) -> dict[str, object]:
        """Return the callback as its page shows it."""
        row.refresh_from_db(fields=_DETAILS)
        sentences = (caller_words(row), str(ENDINGS[row.status]), repeat_words(row))
        return {
            "title": gettext("Callback %(id)s") % {"id": row.pk},
            "view": CallbackView(row),
            "sentences": [sentence for sentence in sentences if sentence],
            "conversation_link": conversation_link(row.conversation),
            "chatwoot_link": chatwoot_link(row.conversation),
            "turn_link": turn_link(row.turn),
            "run_link": _run_link(row),
            "bot_link": admin_link(row.bot),
            "account_link": admin_link(row.account),
            "answer": json_block(row.answer),
            "calls": [_call(call) for call in row.calls if isinstance(call, dict)],
        }


def _run_link(callback: Callback) -> SafeString:
    run = callback.run
    if run is None:
        return format_html("{}", NOTHING)
    return admin_link(run, text=gettext("Run %(id)s") % {"id": run.pk})


def _call(call: dict[str, JsonValue]) -> dict[str, object]:
    """Return one of the noted calls as the page shows it."""
    status, took = call.get("status"), call.get("ms")
    failed = not isinstance(status, int) or status >= 400 or bool(call.get("error"))
    return {
        "what": f"{call.get('method', '')} {call.get('path', '')}",
        "state": badge(
            str(status) if status else gettext("no answer"),
            tone="bad" if failed else "good",
        ),
        "took": seconds(took if isinstance(took, int) else None),
        "error": error_words(str(call.get("error") or "")),
    }
