"""Filters of the lists; none of them reads a whole table to find its choices."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from chatwoot_api import payloads
from conversations.models import WebhookEvent

KINDS: Mapping[str, frozenset[str]] = {
    "message": payloads.MESSAGE_EVENTS,
    "conversation": payloads.CONVERSATION_EVENTS,
    "typing": payloads.TYPING_EVENTS,
    "contact": payloads.CONTACT_EVENTS,
    "widget": frozenset({"webwidget_triggered"}),
}
KIND_NAMES: Mapping[str, str | Promise] = {
    "message": _("messages"),
    "conversation": _("news about conversations"),
    "typing": _("typing"),
    "contact": _("news about contacts"),
    "widget": _("widget opened"),
    "other": _("automation and unknown"),
}


class DropdownFilter(admin.ChoicesFieldListFilter):
    """A field with many choices; as a list it would hide the filters below it."""

    template = "admin/dropdown_filter.html"


class EventKindFilter(admin.SimpleListFilter):
    """Events by what they are about; finding all their names would be slow."""

    title = _("kind of event")
    parameter_name = "kind"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: admin.ModelAdmin[WebhookEvent],
    ) -> list[tuple[str, str]]:
        return [(kind, str(name)) for kind, name in KIND_NAMES.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> QuerySet[WebhookEvent]:
        kind = self.value() or ""
        if kind in KINDS:
            return queryset.filter(name__in=KINDS[kind])
        if kind == "other":
            return queryset.exclude(name__in=frozenset().union(*KINDS.values()))
        return queryset
