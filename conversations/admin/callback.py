"""Callbacks: what Dify flows asked the bridge to do, and what became of it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.utils.functional import Promise
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
    outside_link,
    two_lines,
)
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.admin.base import (
    callback_badge,
    chatwoot_link,
    conversation_link,
    conversations_numbered,
    number_in,
    seconds,
    turn_link,
)
from conversations.admin.callback_changes import START, conversation_number, in_short
from conversations.admin.callback_words import (
    EXPECTED_REFUSALS,
    OPERATIONS,
    caller_words,
    ending,
    operation_words,
    repeat_words,
)
from conversations.admin.error_words import error_words
from conversations.admin.story import CallbackView
from conversations.models import Callback, Conversation

# Long, and only a callback's own page shows them.
_DETAILS = ("answer", "calls")
# What the list needs of an answer.
_ANSWER_IN_SHORT = JSONObject(
    result="answer__result",
    fields="answer__fields",
    conversation_id="answer__conversation_id",
)


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
        "changed",
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

    @admin.display(description=_("what changed, or why not"))
    def changed(self, callback: Callback) -> SafeString | str:
        line = in_short(callback, answer=_answer_of(callback))
        return two_lines(callback.code, line) if callback.code else line

    @admin.display(description=_("conversation"))
    def conversation_number(self, callback: Callback) -> SafeString:
        if callback.conversation is not None:
            return conversation_link(callback.conversation)
        return _link_by_number(callback, conversation_number(_answer_of(callback)))

    @admin.display(description=_("bot"))
    def bot_link(self, callback: Callback) -> SafeString:
        return admin_link(callback.bot)

    @admin.display(description=_("took"))
    def took(self, callback: Callback) -> SafeString:
        took = seconds(callback.duration_ms)
        return format_html('<span class="bridge-time">{}</span>', took)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Callback]:
        return (
            super()
            .get_queryset(request)
            .select_related("account", "bot", "conversation__account")
            .defer(*_DETAILS)
            .annotate(answer_in_short=_ANSWER_IN_SHORT)
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
            found |= Q(conversation__in=conversations_numbered(number))
            # One that the flow started, or that the bridge does not know.
            found |= Q(conversation=None, answer__conversation_id=number)
        return queryset.filter(found), False

    def story(self, row: Callback) -> dict[str, object]:
        """Return the callback as its page shows it."""
        row.refresh_from_db(fields=_DETAILS)
        view = CallbackView(row)
        ended = ending(row, is_unchanged=view.is_unchanged)
        sentences = (caller_words(row), ended, repeat_words(row))
        return {
            "title": gettext("Callback %(id)s") % {"id": row.pk},
            "view": view,
            "sentences": [sentence for sentence in sentences if sentence],
            **_places(row),
            "turn_link": turn_link(row.turn),
            "run_link": _run_link(row),
            "bot_link": admin_link(row.bot),
            "account_link": admin_link(row.account),
            "answer": json_block(row.answer),
            "calls": [_call(call) for call in row.calls if isinstance(call, dict)],
        }


def _answer_of(callback: Callback) -> JsonObject:
    """Return what the list has loaded of the answer."""
    found = getattr(callback, "answer_in_short", None)
    return found if isinstance(found, dict) else {}


def _places(callback: Callback) -> dict[str, object]:
    """Return the links to the conversation: in the bridge, and in Chatwoot."""
    conversation = callback.conversation
    number = conversation_number(callback.answer)
    if conversation is None and number is not None:
        # Once Chatwoot has told of it, the bridge knows one that the flow started.
        rows = Conversation.objects.select_related("account")
        conversation = rows.filter(
            account=callback.account, chatwoot_conversation_id=number
        ).first()
    if conversation is not None:
        return {
            "conversation_link": conversation_link(conversation),
            "chatwoot_link": chatwoot_link(conversation),
        }
    return {
        "conversation_link": NOTHING if number is None else f"#{number}",
        "chatwoot_link": _link_by_number(callback, number, text=_("Open in Chatwoot")),
    }


def _link_by_number(
    callback: Callback, number: int | None, *, text: str | Promise = ""
) -> SafeString:
    """Return a link to what the flow started; a number that does not exist has none."""
    if number is None:
        return format_html("{}", NOTHING)
    shown = f"#{number}"
    if callback.operation != START:
        return format_html("{}", NOTHING if text else shown)
    return outside_link(callback.account.conversation_url(number), text=text or shown)


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
