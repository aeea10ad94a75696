"""The reports on erased contacts, and what of them is still in Dify."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    ReadOnlyAdmin,
    admin_link,
    badge,
    list_url,
    moment,
)
from conversations.admin.base import number_in
from conversations.models import DifyConversation, Erasure

ERASURE_TONES: Mapping[str, str] = {
    Erasure.Status.WANTED: "busy",
    Erasure.Status.WAITING_FOR_DIFY: "warn",
    Erasure.Status.DONE: "good",
}
KIND_NAMES: Mapping[str, str | Promise] = {
    "conversations": _("conversations"),
    "turns": _("turns"),
    "events": _("events"),
    "runs": _("runs"),
    "calls": _("upstream calls"),
    "drafts": _("drafts"),
    "flow_forms": _("forms of flows"),
    "outgoing_messages": _("outgoing messages"),
    "dify_conversations": _("Dify conversations"),
    "trials": _("questions in the playground"),
    "jobs": _("jobs"),
    "payloads_emptied": _("webhooks emptied"),
    "turns_emptied": _("turns emptied"),
    "conversations_emptied": _("conversations without names by now"),
}
SHOWN = 50


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin[Erasure]):
    """Begun with “Erase this contact…” at a conversation, or by `erase_contact`."""

    list_display = ("contact", "state", "account", "requested_by", "requested", "left")
    list_display_links = ("contact",)
    list_filter = ("status", "created_at", "account")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("chatwoot_contact_id",)
    search_help_text = _("Number of the contact in Chatwoot")
    fields = (
        "contact",
        "account_link",
        "state",
        "error",
        "requested_by",
        "requested",
        "erased_here",
        "finished",
        "deleted_rows",
        "still_in_dify",
    )

    @admin.display(description=_("contact"))
    def contact(self, erasure: Erasure) -> str:
        return f"#{erasure.chatwoot_contact_id}"

    @admin.display(description=_("state"))
    def state(self, erasure: Erasure) -> SafeString:
        text = erasure.get_status_display()
        return badge(text, tone=ERASURE_TONES[erasure.status])

    @admin.display(description=_("account"))
    def account_link(self, erasure: Erasure) -> SafeString:
        return admin_link(erasure.account)

    @admin.display(description=_("requested"))
    def requested(self, erasure: Erasure) -> SafeString:
        return moment(erasure.created_at)

    @admin.display(description=_("erased here"))
    def erased_here(self, erasure: Erasure) -> SafeString:
        return moment(erasure.erased_here_at)

    @admin.display(description=_("finished"))
    def finished(self, erasure: Erasure) -> SafeString:
        return moment(erasure.finished_at)

    @admin.display(description=_("still in Dify"))
    def left(self, erasure: Erasure) -> str:
        if erasure.erased_here_at is None:
            return gettext("not looked at yet")
        return str(getattr(erasure, "in_dify", NOTHING))

    @admin.display(description=_("deleted here"))
    def deleted_rows(self, erasure: Erasure) -> SafeString | str:
        if not erasure.counts:
            return NOTHING
        lines = (
            (KIND_NAMES.get(kind, kind), count)
            for kind, count in sorted(erasure.counts.items())
        )
        items = format_html_join("", "<li>{}: {}</li>", lines)
        return format_html('<ul class="bridge-list">{}</ul>', items)

    @admin.display(description=_("still in Dify"))
    def still_in_dify(self, erasure: Erasure) -> SafeString | str:
        """List what Dify has not proven to have forgotten, and why."""
        if erasure.erased_here_at is None:
            return gettext("Not looked at yet: that comes after the erasure here.")
        rows = erasure.dify_conversations.filter(deleted_at=None)[: SHOWN + 1]
        if not rows:
            return gettext("Nothing that we know of.")
        items = format_html_join(
            "",
            "<li>{} {}</li>",
            (
                (admin_link(row), row.delete_error or gettext("Not tried yet."))
                for row in rows[:SHOWN]
            ),
        )
        everything = list_url(DifyConversation, erasure__id__exact=erasure.pk)
        more = format_html(
            '<a class="text-link" href="{}">{}</a>', everything, gettext("show all")
        )
        return format_html('<ul class="bridge-list">{}</ul>{}', items, more)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        undeleted = Q(dify_conversations__deleted_at=None) & ~Q(dify_conversations=None)
        return (
            super()
            .get_queryset(request)
            .select_related("account")
            .annotate(in_dify=Count("dify_conversations", filter=undeleted))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Erasure], search_term: str
    ) -> tuple[QuerySet[Erasure], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        if number is None:
            return queryset.none(), False
        return queryset.filter(chatwoot_contact_id=number), False
