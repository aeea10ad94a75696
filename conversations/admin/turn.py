"""Turns: one customer's question from its messages to its answer, on one page."""

from __future__ import annotations

from decimal import Decimal

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, StoryAdmin, admin_link, moment
from conversations.admin.base import (
    chatwoot_link,
    conversation_badge,
    conversation_link,
    conversations_numbered,
    number_in,
    price_in_words,
    time_to_answer,
    turn_badges,
)
from conversations.admin.explanations import REASONS, TURN_STATES, of_kind
from conversations.admin.filters import DropdownFilter
from conversations.admin.form_words import FormView
from conversations.admin.story import (
    CallbackView,
    CallView,
    MessageView,
    PostView,
    RunView,
)
from conversations.admin.task_results import about_turn, state_badge, task_words
from conversations.models import FlowForm, PipelineRun, Reason, Turn, WebhookEvent

# Counted for the rows of the page alone; a join would group the whole table.
_MESSAGE_COUNT = (
    WebhookEvent.objects.filter(turn=OuterRef("pk"))
    .order_by()
    .values("turn")
    .annotate(count=Count("pk"))
    .values("count")
)
_RUNS = (
    PipelineRun.objects.filter(turn=OuterRef("pk"))
    .order_by()
    .values("turn")
    .annotate(tokens=Sum("total_tokens"), price=Sum("total_price"))
)
_CURRENCY = PipelineRun.objects.filter(turn=OuterRef("pk")).exclude(currency="")


@admin.register(Turn)
class TurnAdmin(StoryAdmin[Turn]):
    """What the bridge owed to customers, and what became of it."""

    list_display = (
        "number",
        "created",
        "state",
        "reason_in_words",
        "conversation_number",
        "bot_link",
        "messages",
        "attempts",
        "time_to_answer",
        "tokens",
        "cost",
    )
    list_display_links = ("number", "created")
    list_filter = ("status", "kind", ("reason", DropdownFilter), "bot", "created_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = _("Conversation or turn number")
    change_form_template = "admin/conversations/turn/change_form.html"

    @admin.display(description=_("turn"))
    def number(self, turn: Turn) -> str:
        return f"{turn.pk}"

    @admin.display(description=_("created"))
    def created(self, turn: Turn) -> SafeString:
        return moment(turn.created_at)

    @admin.display(description=_("state"))
    def state(self, turn: Turn) -> SafeString:
        return turn_badges(turn)

    @admin.display(description=_("reason"))
    def reason_in_words(self, turn: Turn) -> str:
        return turn.get_reason_display() or NOTHING

    @admin.display(description=_("conversation"))
    def conversation_number(self, turn: Turn) -> SafeString:
        return conversation_link(turn.conversation)

    @admin.display(description=_("bot"))
    def bot_link(self, turn: Turn) -> SafeString:
        return admin_link(turn.bot)

    @admin.display(description=_("messages"))
    def messages(self, turn: Turn) -> int:
        count: int | None = getattr(turn, "message_count", None)
        return count or 0

    @admin.display(description=_("time to answer"))
    def time_to_answer(self, turn: Turn) -> str:
        return time_to_answer(turn)

    @admin.display(description=_("tokens"))
    def tokens(self, turn: Turn) -> str:
        count: int | None = getattr(turn, "token_count", None)
        return NOTHING if count is None else intcomma(count)

    @admin.display(description=_("cost"))
    def cost(self, turn: Turn) -> str:
        price: Decimal | None = getattr(turn, "price", None)
        return price_in_words(price, getattr(turn, "currency", None) or "")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        return (
            super()
            .get_queryset(request)
            .select_related("bot__account", "bot__dify_app", "conversation__account")
            .annotate(
                message_count=Subquery(_MESSAGE_COUNT),
                token_count=Subquery(_RUNS.values("tokens")),
                price=Subquery(_RUNS.values("price")),
                currency=Subquery(_CURRENCY.values("currency")[:1]),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Turn], search_term: str
    ) -> tuple[QuerySet[Turn], bool]:
        """Search by number: that is what Chatwoot shows and what logs name."""
        if not search_term.strip():
            return queryset, False
        number = number_in(search_term)
        if number is None:
            return queryset.none(), False
        found = Q(pk=number) | Q(conversation__in=conversations_numbered(number))
        return queryset.filter(found), False

    def story(self, row: Turn) -> dict[str, object]:
        """Return the turn as its page shows it."""
        return _story(row)


def why(turn: Turn) -> list[str]:
    """Say how the turn stands and why, in sentences."""
    sentences = [str(of_kind(turn) or TURN_STATES[turn.status])]
    if turn.status == Turn.Status.COLLECTING:
        sentences = [_what_it_waits_for(turn)]
    reason = turn.reason or turn.handover_reason
    if reason and turn.status != Turn.Status.ANSWERED:
        sentences.append(str(REASONS.get(reason, reason)))
    return sentences


def _what_it_waits_for(turn: Turn) -> str:
    """Say which of the three it is: a place, more messages, a worker."""
    if turn.queued_for is not None:
        return gettext(
            "Waiting for a free place at the Dify app “%(app)s”, which runs as many at "
            "once as it may. It goes on by itself."
        ) % {"app": turn.queued_for}
    waits = turn.next_attempt_at > timezone.now()
    if waits and turn.bot is not None and turn.bot.debounce_s:
        until = localtime(turn.next_attempt_at).strftime("%H:%M:%S")
        return gettext(
            "Waiting until %(until)s for more messages of the customer, as the bot is "
            "set, to answer them together."
        ) % {"until": until}
    return str(TURN_STATES[turn.status])


def _turn_link(turn: Turn | None) -> SafeString:
    pk = turn.pk if turn else ""
    return admin_link(turn, text=gettext("turn %(id)s") % {"id": pk})


def _forms(turn: Turn) -> list[FlowForm]:
    """Return the forms that the turn's runs asked for, or that it brought back."""
    of_turn = Q(turn=turn) | Q(pk=turn.flow_form_id)
    return list(FlowForm.objects.filter(of_turn).defer("form_token").order_by("pk"))


def _story(turn: Turn) -> dict[str, object]:
    """Everything about the turn, with one query for each kind of row."""
    runs = turn.runs.select_related("dify_app").order_by("pk")
    calls = list(turn.calls.order_by("created_at", "pk"))
    callbacks = turn.callbacks.order_by("pk")
    posts = turn.outgoing_messages.order_by("pk")
    events = list(turn.events.order_by("chatwoot_message_id", "pk"))
    results = about_turn(turn.pk, event_ids=[event.pk for event in events])
    return {
        "turn": turn,
        "title": gettext("Turn %(id)s") % {"id": turn.pk},
        "state": turn_badges(turn),
        # An answered turn's badge says it already.
        "reason": ("" if turn.reason == Reason.ANSWERED else turn.get_reason_display()),
        "why": why(turn),
        "is_waiting": turn.status in {Turn.Status.RETRYING, Turn.Status.UNKNOWN},
        "time_to_answer": time_to_answer(turn),
        "bot_link": admin_link(turn.bot),
        "waits_for": admin_link(turn.queued_for) if turn.queued_for_id else "",
        "replay_of": _turn_link(turn.replay_of) if turn.replay_of_id else "",
        "replays": [_turn_link(row) for row in turn.replays.order_by("pk")],
        "conversation_link": conversation_link(turn.conversation),
        "conversation_state": conversation_badge(turn.conversation),
        "chatwoot_link": chatwoot_link(turn.conversation),
        "customer_messages": [MessageView(event, turn=turn) for event in events],
        "task_results": [
            (
                admin_link(result, text=task_words(result.task_name)),
                state_badge(result),
                result,
            )
            for result in results
        ],
        "runs": [RunView(run) for run in runs],
        "forms": [FormView(form) for form in _forms(turn)],
        "callbacks": [CallbackView(callback) for callback in callbacks],
        "posts": [PostView(post, turn=turn) for post in posts],
        "calls": [CallView(call) for call in calls],
    }
