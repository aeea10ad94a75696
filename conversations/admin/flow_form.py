"""Forms of flows: what was asked, of whom, and what came back."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    ReadOnlyAdmin,
    admin_link,
    moment,
    shortened,
    text_block,
)
from conversations.admin.base import (
    chatwoot_link,
    conversation_link,
    conversations_numbered,
    number_in,
    turn_link,
)
from conversations.admin.form_words import FormView
from conversations.models import FlowForm
from conversations.models.bot_settings import FormsGoTo


class AskedFilter(admin.SimpleListFilter):
    """Forms for customers, or for agents."""

    title = _("who is asked")
    parameter_name = "goes_to__exact"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[FlowForm]
    ) -> list[tuple[str, str]]:
        """Name those who can be asked."""
        return [
            (FormsGoTo.CUSTOMER.value, str(FormsGoTo.CUSTOMER.label)),
            (FormsGoTo.AGENT.value, str(FormsGoTo.AGENT.label)),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[FlowForm]
    ) -> QuerySet[FlowForm]:
        """Keep the forms that they were asked for."""
        return queryset.filter(goes_to=self.value()) if self.value() else queryset


@admin.register(FlowForm)
class FlowFormAdmin(ReadOnlyAdmin[FlowForm]):
    """Why a flow waits, or what it went on with. Its token is shown nowhere."""

    list_display = (
        "created",
        "state",
        "title",
        "beginning",
        "asked_of",
        "answer_in_short",
        "conversation_number",
        "of_turn",
    )
    list_filter = ("status", AskedFilter, "bot", "created_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = _("Conversation number")
    fields = (
        "state",
        "title",
        "asked_of",
        "question",
        "choices",
        "answer_in_words",
        "answered_by",
        "of_turn",
        "of_run",
        "conversation_number",
        "in_chatwoot",
        "chatwoot_message_id",
        "created_at",
        "remind_at",
        "expires_at",
        "finished_at",
    )

    @admin.display(description=_("asked"))
    def created(self, form: FlowForm) -> SafeString:
        return moment(form.created_at)

    @admin.display(description=_("state"))
    def state(self, form: FlowForm) -> SafeString:
        return FormView(form).state

    @admin.display(description=_("who is asked"))
    def asked_of(self, form: FlowForm) -> str:
        return form.get_goes_to_display()

    @admin.display(description=_("question"))
    def beginning(self, form: FlowForm) -> str:
        return shortened(FormView(form).question, max_chars=60) or NOTHING

    @admin.display(description=_("question"))
    def question(self, form: FlowForm) -> SafeString:
        return text_block(FormView(form).question)

    @admin.display(description=_("choices"))
    def choices(self, form: FlowForm) -> str:
        return FormView(form).choices or NOTHING

    @admin.display(description=_("answer"))
    def answer_in_short(self, form: FlowForm) -> str:
        return shortened(FormView(form).answer, max_chars=40) or NOTHING

    @admin.display(description=_("answer"))
    def answer_in_words(self, form: FlowForm) -> SafeString:
        return text_block(FormView(form).answer)

    @admin.display(description=_("conversation"))
    def conversation_number(self, form: FlowForm) -> SafeString:
        return conversation_link(form.conversation)

    @admin.display(description=_("Chatwoot"))
    def in_chatwoot(self, form: FlowForm) -> SafeString:
        return chatwoot_link(form.conversation)

    @admin.display(description=_("turn"))
    def of_turn(self, form: FlowForm) -> SafeString:
        return turn_link(form.turn)

    @admin.display(description=_("run"))
    def of_run(self, form: FlowForm) -> SafeString:
        return admin_link(form.run)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlowForm]:
        rows = super().get_queryset(request).defer("form_token")
        return rows.select_related("conversation__account", "turn__conversation", "run")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[FlowForm], search_term: str
    ) -> tuple[QuerySet[FlowForm], bool]:
        if not search_term.strip():
            return queryset, False
        number = number_in(search_term)
        if number is None:
            return queryset.none(), False
        return queryset.filter(conversation__in=conversations_numbered(number)), False
