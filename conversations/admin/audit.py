"""The audit: who changed what, when and why."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    ReadOnlyAdmin,
    admin_link,
    json_block,
    moment,
    shortened,
)
from conversations.admin.base import conversation_link, number_in
from conversations.admin.filters import DropdownFilter
from conversations.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Rows are only ever added, by `audit`."""

    list_display = ("at", "actor", "what", "conversation_number", "account", "summary")
    list_display_links = ("at", "what")
    list_filter = (("verb", DropdownFilter), "created_at", "account")
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("actor",)
    search_help_text = _("Who did it, or a conversation's number")
    fields = (
        "at",
        "actor",
        "what",
        "account_link",
        "conversation_number",
        "all_details",
    )

    @admin.display(description=_("time"))
    def at(self, entry: AuditEntry) -> SafeString:
        return moment(entry.created_at)

    @admin.display(description=_("did what"))
    def what(self, entry: AuditEntry) -> str:
        return entry.get_verb_display()

    @admin.display(description=_("conversation"))
    def conversation_number(self, entry: AuditEntry) -> SafeString:
        return conversation_link(entry.conversation)

    @admin.display(description=_("account"))
    def account_link(self, entry: AuditEntry) -> SafeString:
        return admin_link(entry.account)

    @admin.display(description=_("details"))
    def summary(self, entry: AuditEntry) -> str:
        parts = (f"{name}: {value}" for name, value in entry.details.items())
        return shortened(", ".join(parts))

    @admin.display(description=_("details"))
    def all_details(self, entry: AuditEntry) -> SafeString:
        return json_block(entry.details)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return super().get_queryset(request).select_related("account", "conversation")

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[AuditEntry],
        search_term: str,
    ) -> tuple[QuerySet[AuditEntry], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        if number is not None:
            return (
                queryset.filter(conversation__chatwoot_conversation_id=number),
                False,
            )
        return queryset.filter(actor__iexact=text), False
