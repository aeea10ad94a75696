"""Runs: the tries of Dify apps."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    StoryAdmin,
    admin_link,
    moment,
    shortened,
)
from conversations.admin.base import (
    conversation_link,
    number_in,
    run_badge,
    run_took,
    turn_link,
    turns_of_number,
)
from conversations.admin.error_words import run_error_words
from conversations.admin.story import CallView, RunView
from conversations.models import DifyConversation, PipelineRun, Turn


@admin.register(PipelineRun)
class PipelineRunAdmin(StoryAdmin[PipelineRun]):
    """Which question went to which app, and what came back."""

    list_display = (
        "number",
        "started",
        "state",
        "app",
        "asked",
        "took",
        "total_tokens",
        "error_in_words",
        "of_turn",
    )
    list_display_links = ("number", "started")
    list_filter = ("status", "dify_app", "started_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = _(
        "Conversation or run number; a conversation, message or workflow run of Dify's"
    )
    change_form_template = "admin/conversations/pipelinerun/change_form.html"

    @admin.display(description=_("run"))
    def number(self, run: PipelineRun) -> str:
        return f"{run.pk}"

    @admin.display(description=_("started"))
    def started(self, run: PipelineRun) -> SafeString:
        return moment(run.started_at)

    @admin.display(description=_("state"))
    def state(self, run: PipelineRun) -> SafeString:
        return run_badge(run)

    @admin.display(description=_("Dify app"))
    def app(self, run: PipelineRun) -> SafeString | str:
        """Link to the app, or name who was asked in its place."""
        return run.provider or admin_link(run.dify_app)

    @admin.display(description=_("question"))
    def asked(self, run: PipelineRun) -> str:
        return shortened(run.query, max_chars=60) or NOTHING

    @admin.display(description=_("took"))
    def took(self, run: PipelineRun) -> str:
        return run_took(run)

    @admin.display(description=_("error"))
    def error_in_words(self, run: PipelineRun) -> str:
        return run_error_words(run) or NOTHING

    @admin.display(description=_("turn"))
    def of_turn(self, run: PipelineRun) -> SafeString:
        return turn_link(run.turn)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineRun]:
        return (
            super()
            .get_queryset(request)
            .select_related("dify_app", "turn__conversation__account")
        )

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[PipelineRun],
        search_term: str,
    ) -> tuple[QuerySet[PipelineRun], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        if number is not None:
            turns = turns_of_number(number)
            return queryset.filter(Q(pk=number) | Q(turn__in=turns)), False
        # Each has an index; a task's id lives for minutes and has none.
        talks = DifyConversation.objects.filter(dify_conversation_id=text)
        owners = Turn.objects.filter(conversation__in=talks.values("conversation"))
        return queryset.filter(
            Q(dify_message_id=text)
            | Q(dify_workflow_run_id=text)
            | Q(turn__in=owners, dify_conversation_id=text)
        ), False

    def story(self, row: PipelineRun) -> dict[str, object]:
        """Return the run as its turn's page shows it, and its calls."""
        return {
            "title": gettext("Run %(id)s") % {"id": row.pk},
            "run_view": RunView(row),
            "turn_link": turn_link(row.turn),
            "conversation_link": conversation_link(row.turn.conversation),
            "calls": [
                CallView(call) for call in row.calls.order_by("created_at", "pk")
            ],
        }
