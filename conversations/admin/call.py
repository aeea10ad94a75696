"""Upstream calls: the HTTP traffic with Chatwoot and Dify."""

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
    conversation_link,
    number_in,
    seconds,
    turns_of_number,
)
from conversations.admin.error_words import error_words
from conversations.admin.story import call_badge
from conversations.models import UpstreamCall


class ServiceFilter(admin.SimpleListFilter):
    """Chatwoot or Dify."""

    title = _("service")
    parameter_name = "service"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: admin.ModelAdmin[UpstreamCall],
    ) -> list[tuple[str, str]]:
        return [("chatwoot", "Chatwoot"), ("dify", "Dify")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[UpstreamCall]
    ) -> QuerySet[UpstreamCall]:
        service = self.value()
        return queryset.filter(service=service) if service else queryset


class OutcomeFilter(admin.SimpleListFilter):
    """Calls that failed, or did not."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: admin.ModelAdmin[UpstreamCall],
    ) -> list[tuple[str, str]]:
        return [("failed", str(_("failed"))), ("worked", str(_("worked")))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[UpstreamCall]
    ) -> QuerySet[UpstreamCall]:
        if self.value() == "failed":
            return queryset.exclude(error_code="")
        if self.value() == "worked":
            return queryset.filter(error_code="")
        return queryset


@admin.register(UpstreamCall)
class UpstreamCallAdmin(ReadOnlyAdmin[UpstreamCall]):
    """What was asked of whom, what came back, and how long it took."""

    list_display = (
        "time",
        "service_name",
        "call",
        "http",
        "took",
        "error_in_words",
        "conversation",
        "of_turn",
    )
    list_display_links = ("time", "call")
    list_filter = (ServiceFilter, OutcomeFilter, "created_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = _("Conversation number")
    fields = (
        "created_at",
        "service_name",
        "method",
        "path",
        "http",
        "took",
        "error_in_words",
        "sent",
        "received",
        "of_turn",
        "of_run",
        "conversation",
    )

    @admin.display(description=_("time"))
    def time(self, call: UpstreamCall) -> SafeString:
        return moment(call.created_at)

    @admin.display(description=_("service"))
    def service_name(self, call: UpstreamCall) -> str:
        return call.service.capitalize()

    @admin.display(description=_("call"))
    def call(self, call: UpstreamCall) -> str:
        return shortened(f"{call.method} {call.path}")

    @admin.display(description=_("HTTP status"))
    def http(self, call: UpstreamCall) -> SafeString:
        return call_badge(call)

    @admin.display(description=_("took"))
    def took(self, call: UpstreamCall) -> str:
        return seconds(call.duration_ms)

    @admin.display(description=_("error"))
    def error_in_words(self, call: UpstreamCall) -> str:
        return error_words(call.error_code) or NOTHING

    @admin.display(description=_("sent"))
    def sent(self, call: UpstreamCall) -> SafeString:
        return text_block(call.request_excerpt)

    @admin.display(description=_("received"))
    def received(self, call: UpstreamCall) -> SafeString:
        return text_block(call.response_excerpt)

    @admin.display(description=_("conversation"))
    def conversation(self, call: UpstreamCall) -> SafeString:
        return conversation_link(call.turn.conversation)

    @admin.display(description=_("turn"))
    def of_turn(self, call: UpstreamCall) -> SafeString:
        return admin_link(call.turn)

    @admin.display(description=_("run"))
    def of_run(self, call: UpstreamCall) -> SafeString:
        return admin_link(call.run)

    def get_queryset(self, request: HttpRequest) -> QuerySet[UpstreamCall]:
        return super().get_queryset(request).select_related("turn__conversation", "run")

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[UpstreamCall],
        search_term: str,
    ) -> tuple[QuerySet[UpstreamCall], bool]:
        if not search_term.strip():
            return queryset, False
        number = number_in(search_term)
        if number is None:
            return queryset.none(), False
        return queryset.filter(turn__in=turns_of_number(number)), False
