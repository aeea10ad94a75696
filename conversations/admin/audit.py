"""The audit: who changed what, when and why."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import QuerySet
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
    moment,
)
from bridge_project.lib.types import JsonValue
from conversations.admin.base import conversation_link, number_in
from conversations.admin.erasure import KIND_NAMES
from conversations.admin.filters import DropdownFilter
from conversations.jobs.kinds import KINDS
from conversations.models import AuditEntry, ConversationStatus, DifyConversation

# In the order in which they are told.
DETAIL_NAMES: Mapping[str, str | Promise] = {
    "chatwoot_contact_id": _("contact"),
    "erasure": _("report"),
    "bot": _("bot"),
    "token": _("token that begins with"),
    "after_s": _("ends after, seconds"),
    "status": _("new status"),
    "idle_hours": _("hours without a message"),
    "dify_app": _("Dify app"),
    "dify_conversation": _("conversation in Dify"),
    "reason": _("because"),
    "was_there": _("was still in Dify"),
    "counts": _("deleted"),
    "job": _("job"),
    "kind": _("what"),
    "items": _("items"),
    "app": _("Dify app"),
    "inboxes": _("inboxes"),
    "public_url": _("our address"),
    "mend": _("mended"),
    "of": _("at"),
    "number": _("number"),
    "channel": _("alert channel"),
    "arrived": _("arrived"),
    "warning": _("warning"),
    "enabled": _("switched on"),
    "copy": _("copy"),
    "trial": _("question"),
    "change": _("change"),
    "name": _("name"),
    "fields": _("fields"),
    "new": _("new"),
    "changed": _("changed"),
    "addresses": _("addresses as well"),
    "turn": _("turn"),
    "former_turn": _("turn before"),
    "events": _("events"),
    "decided_before": _("decided before"),
    "forced": _("although a human has answered"),
    "stopped_runs": _("runs stopped"),
    "noted": _("note to the agents"),
    "ended": _("ended"),
    "by_command": _("with the command"),
    "done": _("done"),
}
# Numbers of rows and contacts.
_NUMBERS = frozenset(
    {
        "app",
        "bot",
        "channel",
        "chatwoot_contact_id",
        "copy",
        "dify_app",
        "erasure",
        "former_turn",
        "job",
        "trial",
        "turn",
    }
)
_CHOICES: Mapping[str, Mapping[str, str | Promise]] = {
    "status": dict(ConversationStatus.choices),
    "reason": dict(DifyConversation.End.choices),
    "kind": {name: kind.title for name, kind in KINDS.items()},
}


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Rows are only ever added, by `audit`."""

    list_display = ("at", "actor", "what", "conversation_number", "account", "summary")
    list_display_links = ("at", "what")
    list_filter = (("verb", DropdownFilter), "created_at", "account")
    ordering = ("-created_at", "-id")
    sortable_by = ()
    list_before_template = "admin/conversations/list_note.html"
    list_note = _(
        "What was done to conversations, contacts and stored data. Changes of settings "
        "(accounts, Dify apps, bots, retention, users) stand in the history of each: "
        "open it and press “History”."
    )
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
        pairs = details_in_words(entry)
        return "; ".join(f"{name}: {value}" for name, value in pairs) or NOTHING

    @admin.display(description=_("details"))
    def all_details(self, entry: AuditEntry) -> SafeString | str:
        pairs = details_in_words(entry)
        if not pairs:
            return NOTHING
        items = format_html_join("", "<li>{}: {}</li>", pairs)
        return format_html('<ul class="bridge-list">{}</ul>', items)

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


def details_in_words(entry: AuditEntry) -> list[tuple[str, str]]:
    """Return the details by name, whom it was about first."""
    order = list(DETAIL_NAMES)
    names = sorted(
        entry.details,
        key=lambda name: order.index(name) if name in order else len(order),
    )
    return [
        (str(DETAIL_NAMES.get(name, name)), _in_words(name, entry.details[name]))
        for name in names
    ]


def _in_words(name: str, value: JsonValue) -> str:
    if isinstance(value, dict):
        kinds = sorted(value.items())
        counts = (f"{KIND_NAMES.get(kind, kind)} {count}" for kind, count in kinds)
        return ", ".join(counts) or NOTHING
    if value is None or value == []:
        return NOTHING
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if name in _NUMBERS:
        return f"#{value}"
    return str(_CHOICES.get(name, {}).get(str(value), value))
