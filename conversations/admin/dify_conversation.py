"""Dify conversations: the memories that the bridge started."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    ReadOnlyAdmin,
    admin_link,
    admin_url,
    badge,
    moment,
    shortened,
)
from conversations import jobs
from conversations.admin import confirm
from conversations.admin.base import (
    chatwoot_link,
    conversation_link,
    conversations_numbered,
    number_in,
)
from conversations.jobs.kinds import delete_in_dify
from conversations.models import DifyConversation


class DeletionFilter(admin.SimpleListFilter):
    """How far the deletion in Dify is."""

    title = _("deletion in Dify")
    parameter_name = "deletion"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[DifyConversation]
    ) -> list[tuple[str, str]]:
        return [
            ("unproven", gettext("wanted, not proven")),
            ("failing", gettext("tried in vain so far")),
            ("proven", gettext("proven")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[DifyConversation]
    ) -> QuerySet[DifyConversation]:
        unproven = queryset.filter(next_delete_at__isnull=False, deleted_at=None)
        if self.value() == "unproven":
            return unproven
        if self.value() == "failing":
            return unproven.filter(delete_attempts__gt=0)
        if self.value() == "proven":
            return queryset.exclude(deleted_at=None)
        return queryset


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
        "tries",
        "problem",
    )
    actions = ("delete_in_dify",)
    list_filter = (
        DeletionFilter,
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
        "wanted",
        "tries",
        "next_try",
        "delete_error",
        "deleted",
        "erasure_link",
    )

    @admin.display(description=_("state"))
    def state(self, memory: DifyConversation) -> SafeString:
        if memory.deleted_at is not None:
            return badge(gettext("deleted in Dify"), tone="calm")
        if memory.delete_wanted_at is not None:
            tone = "bad" if memory.delete_attempts else "busy"
            return badge(gettext("to be deleted in Dify"), tone=tone)
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

    @admin.display(description=_("deletion wanted"))
    def wanted(self, memory: DifyConversation) -> SafeString:
        return moment(memory.delete_wanted_at)

    @admin.display(description=_("tries to delete"))
    def tries(self, memory: DifyConversation) -> str:
        return str(memory.delete_attempts or NOTHING)

    @admin.display(description=_("next try"))
    def next_try(self, memory: DifyConversation) -> SafeString:
        return moment(memory.next_delete_at)

    @admin.display(description=_("why it is not deleted"))
    def problem(self, memory: DifyConversation) -> str:
        return shortened(memory.delete_error) or NOTHING

    @admin.display(description=_("deleted"))
    def deleted(self, memory: DifyConversation) -> SafeString:
        return moment(memory.deleted_at)

    @admin.display(description=_("erasure"))
    def erasure_link(self, memory: DifyConversation) -> SafeString:
        return admin_link(memory.erasure)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """The page is read-only for everybody, the action is for those who may."""
        return request.user.has_perm("conversations.change_difyconversation")

    @admin.action(description=_("Delete in Dify…"), permissions=["act"])
    def delete_in_dify(
        self, request: HttpRequest, queryset: QuerySet[DifyConversation]
    ) -> HttpResponse | None:
        rows = list(queryset.filter(deleted_at=None)[: confirm.MAX_ROWS])
        if not rows:
            text = gettext("Nothing to do: Dify has forgotten these already.")
            self.message_user(request, text, messages.INFO)
            return None
        if not confirm.is_confirmed(request):
            return confirm.ask_to_delete_in_dify(
                request,
                self,
                lines=[f"{row} ({row.app})" for row in rows],
                selected=[row.pk for row in rows],
            )
        job = jobs.start(
            "delete_in_dify",
            items=delete_in_dify.items_of(rows),
            actor=request.user.get_username(),
        )
        return HttpResponseRedirect(admin_url(job))

    def get_queryset(self, request: HttpRequest) -> QuerySet[DifyConversation]:
        related = ("app", "conversation__account", "erasure")
        return super().get_queryset(request).select_related(*related)

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
            found |= Q(conversation__in=conversations_numbered(number))
        return queryset.filter(found), False
