"""Dify conversations: the memories that the bridge started."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import ReadOnlyAdmin, admin_link, badge, moment
from conversations.admin.base import chatwoot_link, conversation_link, number_in
from conversations.models import DifyConversation


@admin.register(DifyConversation)
class DifyConversationAdmin(ReadOnlyAdmin[DifyConversation]):
    """Which Dify conversation belongs to which conversation, and since when."""

    list_display = (
        "dify_conversation_id",
        "state",
        "app_link",
        "conversation_number",
        "started",
        "last_used",
        "ended",
    )
    list_filter = (
        ("ended_at", admin.EmptyFieldListFilter),
        "end_reason",
        "app",
        "last_used_at",
    )
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("dify_conversation_id",)
    search_help_text = _("Conversation number or number in Dify")
    fields = (
        "state",
        "dify_conversation_id",
        "dify_user",
        "app_link",
        "conversation_number",
        "in_chatwoot",
        "started_at",
        "last_used_at",
        "ended_at",
        "end_reason",
    )

    @admin.display(description=_("state"))
    def state(self, memory: DifyConversation) -> SafeString:
        if memory.ended_at is None:
            return badge(gettext("in use"), tone="good")
        return badge(gettext("ended"), tone="calm")

    @admin.display(description=_("Dify app"))
    def app_link(self, memory: DifyConversation) -> SafeString:
        return admin_link(memory.app)

    @admin.display(description=_("conversation"))
    def conversation_number(self, memory: DifyConversation) -> SafeString:
        return conversation_link(memory.conversation)

    @admin.display(description=_("started"))
    def started(self, memory: DifyConversation) -> SafeString:
        return moment(memory.started_at)

    @admin.display(description=_("last used"))
    def last_used(self, memory: DifyConversation) -> SafeString:
        return moment(memory.last_used_at)

    @admin.display(description=_("ended"))
    def ended(self, memory: DifyConversation) -> SafeString:
        return moment(memory.ended_at)

    @admin.display(description=_("Chatwoot"))
    def in_chatwoot(self, memory: DifyConversation) -> SafeString:
        return chatwoot_link(memory.conversation)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DifyConversation]:
        return (
            super().get_queryset(request).select_related("app", "conversation__account")
        )

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[DifyConversation],
        search_term: str,
    ) -> tuple[QuerySet[DifyConversation], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(dify_conversation_id=text)
        number = number_in(text)
        if number is not None:
            found |= Q(conversation__chatwoot_conversation_id=number)
        return queryset.filter(found), False
