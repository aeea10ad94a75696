"""Changes of the configuration: who, what, when, from what to what."""

from __future__ import annotations

import auditlog.admin  # noqa: F401 registers what is replaced below
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib import history
from bridge_project.lib.admin_base import NOTHING, StoryAdmin, badge, moment
from conversations.configuration.history import TRACKED

admin.site.unregister(LogEntry)

ACTIONS = {
    LogEntry.Action.CREATE: (_("created"), "good"),
    LogEntry.Action.UPDATE: (_("changed"), "busy"),
    LogEntry.Action.DELETE: (_("deleted"), "bad"),
    LogEntry.Action.ACCESS: (_("looked at"), "calm"),
}
# As many people as a filter is of use for.
MOST_PEOPLE = 100
THE_BRIDGE = "bridge"


class KindFilter(admin.SimpleListFilter):
    """Changes of one kind of settings."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[LogEntry]
    ) -> list[tuple[str, str]]:
        return [
            (model._meta.label_lower, str(capfirst(model._meta.verbose_name)))
            for model in _seen_by(request)
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[LogEntry]
    ) -> QuerySet[LogEntry]:
        for model in TRACKED:
            if model._meta.label_lower == self.value():
                return queryset.filter(content_type=_type_of(model))
        return queryset


class PersonFilter(admin.SimpleListFilter):
    """Changes of one person."""

    title = _("who")
    parameter_name = "who"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[LogEntry]
    ) -> list[tuple[str, str]]:
        people = User.objects.order_by("username").values_list("pk", "username")
        known = [(str(pk), name) for pk, name in people[:MOST_PEOPLE]]
        return [(THE_BRIDGE, gettext("the bridge itself")), *known]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[LogEntry]
    ) -> QuerySet[LogEntry]:
        who = self.value() or ""
        if who == THE_BRIDGE:
            return queryset.filter(actor=None)
        # The keys of users are 32 bits long; a longer number is nobody's.
        is_key = who.isdecimal() and int(who) < 2**31
        return queryset.filter(actor=who) if is_key else queryset


@admin.register(LogEntry)
class HistoryAdmin(StoryAdmin[LogEntry]):
    """One change of one setting's row."""

    change_form_template = "admin/conversations/history_entry.html"
    list_display = ("at", "who", "did", "kind", "row", "fields_changed")
    list_display_links = ("at",)
    list_filter = (KindFilter, PersonFilter, "timestamp")
    search_fields = ("object_repr",)
    search_help_text = _("Name of what was changed")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description=_("time"))
    def at(self, entry: LogEntry) -> SafeString:
        return moment(entry.timestamp)

    @admin.display(description=_("who"))
    def who(self, entry: LogEntry) -> str:
        if entry.actor is None:
            return gettext("the bridge itself")
        return str(entry.actor.get_username())

    @admin.display(description=_("did what"))
    def did(self, entry: LogEntry) -> SafeString:
        text, tone = ACTIONS[entry.action]
        return badge(text, tone=tone)

    @admin.display(description=_("kind"))
    def kind(self, entry: LogEntry) -> str:
        model = entry.content_type.model_class()
        return str(capfirst(model._meta.verbose_name)) if model else NOTHING

    @admin.display(description=_("what"))
    def row(self, entry: LogEntry) -> SafeString:
        """Link to the row's own page, if it may be there still."""
        url = _page_of(entry, "change")
        if not url or entry.action == LogEntry.Action.DELETE:
            return format_html("{}", entry.object_repr)
        return format_html(
            '<a class="text-link" href="{}">{}</a>', url, entry.object_repr
        )

    @admin.display(description=_("fields"))
    def fields_changed(self, entry: LogEntry) -> str:
        if entry.action != LogEntry.Action.UPDATE:
            return NOTHING
        return history.labels_of(entry) or NOTHING

    def story(self, row: LogEntry) -> dict[str, object]:
        (change,) = history.readable([row])
        is_there = row.action != LogEntry.Action.DELETE
        return {
            "title": str(row.object_repr),
            "kind": self.kind(row),
            "row": self.row(row),
            "all_url": _page_of(row, "history") if is_there else "",
            "fields": change.fields,
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """Leave out changes of what the person may not look at."""
        kinds = [_type_of(model) for model in _seen_by(request)]
        rows = super().get_queryset(request).filter(content_type__in=kinds)
        return rows.select_related("actor", "content_type")


def _seen_by(request: HttpRequest) -> list[type[Model]]:
    return [
        model
        for model in TRACKED
        if request.user.has_perm(
            f"{model._meta.app_label}.view_{model._meta.model_name}"
        )
    ]


def _type_of(model: type[Model]) -> ContentType:
    """Return what Django remembers after the first look."""
    return ContentType.objects.get_for_model(model)


def _page_of(entry: LogEntry, name: str) -> str:
    """Return an address of the row's in the admin; "" if it has no page there."""
    model = entry.content_type.model_class()
    if model is None or model not in admin.site._registry:
        return ""
    opts = model._meta
    route = f"admin:{opts.app_label}_{opts.model_name}_{name}"
    return reverse(route, args=[entry.object_pk])
