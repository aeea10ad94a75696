"""What every admin page is made of: lists, read-only pages, badges, links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import unfold.admin
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import CASCADE, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from bridge_project.lib import history
from bridge_project.lib.health import Health, WithHealth
from bridge_project.lib.keyset import KeysetChangeList
from bridge_project.lib.types import JsonValue

ModelT = TypeVar("ModelT", bound=Model)

if TYPE_CHECKING:

    class _UnfoldAdmin(admin.ModelAdmin[ModelT]):
        pass

else:

    class _UnfoldAdmin(unfold.admin.ModelAdmin):
        def __class_getitem__(cls, model: object) -> type[_UnfoldAdmin]:
            return cls


# Unfold's label, with its own classes, so that both look the same in light and dark.
_BADGE = (
    "inline-block font-semibold rounded-default text-[11px] whitespace-nowrap h-6 "
    "leading-6 px-2 "
)
_TONES = {
    "good": "bg-green-100 text-green-700 dark:bg-green-500/20 dark:text-green-400",
    "busy": "bg-blue-100 text-blue-700 dark:bg-blue-500/20 dark:text-blue-400",
    "warn": "bg-orange-100 text-orange-700 dark:bg-orange-500/20 dark:text-orange-400",
    "bad": "bg-red-100 text-red-700 dark:bg-red-500/20 dark:text-red-400",
    "calm": "bg-base-500/8 text-base-700 dark:bg-base-500/20 dark:text-base-200",
}
HEALTH_TONES = {
    Health.UNKNOWN: "calm",
    Health.OK: "good",
    Health.FAILING: "warn",
    Health.REFUSED: "bad",
}
NOTHING = "–"


class BridgeAdmin(_UnfoldAdmin[ModelT]):
    """The look that all our lists share."""

    list_per_page = 50
    # No "show all": the lists are long, and pages are quick.
    list_max_show_all = 0
    show_full_result_count = False
    # A count for each choice of each filter would read the table many times.
    show_facets = admin.ShowFacets.NEVER
    list_fullwidth = True
    empty_value_display = NOTHING
    # By whatever column somebody likes, a long list cannot be read.
    sortable_by = ()
    object_history_template = "admin/object_changes.html"
    # Relations of rows that say nothing of their own, such as what was mirrored: they
    # may go with the row.
    goes_along: frozenset[str] = frozenset()

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """Keep what history hangs on: deleting it would delete the history."""
        allowed = super().has_delete_permission(request, obj)  # type: ignore[arg-type]
        if not allowed or obj is None:
            return bool(allowed)
        return not _has_dependants(obj, goes_along=self.goes_along)

    def get_changelist(
        self, request: HttpRequest, **kwargs: object
    ) -> type[KeysetChangeList]:
        """Page by key."""
        return KeysetChangeList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Take NUL out of what the address asks for: PostgreSQL has no such text."""
        lists = list(request.GET.lists())
        if any("\0" in value for _name, found in lists for value in found):
            given = request.GET.copy()
            for name, found in lists:
                given.setlist(name, [value.replace("\0", "") for value in found])
            request.GET = given  # type: ignore[assignment]
        return super().get_changelist_instance(request)

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        """Show what was changed from what to what, where that is written down."""
        changes: list[history.RowChange] | None = None
        if history.is_tracked(self.model):
            row = self.get_object(request, object_id)
            # Who may look at the row is asked below.
            changes = [] if row is None else history.newest_of(row)
        context = {"changes": changes, "most": history.SHOWN, **(extra_context or {})}
        return super().history_view(request, object_id, context)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[ModelT], *args: Any
    ) -> HttpResponse | None:
        """Act on the rows that are ticked; "all of the list" may be a million."""
        if request.POST.get("select_across", "0") != "0":
            data = request.POST.copy()
            data["select_across"] = "0"
            request.POST = data  # type: ignore[assignment]
        return super().response_action(request, queryset, *args)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out the bulk deletion, which asks no row for its permission."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


class ReadOnlyAdmin(BridgeAdmin[ModelT]):
    """History: to be looked at, by nobody to be changed."""

    def has_add_permission(self, request: HttpRequest, *args: object) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False


class StoryAdmin(ReadOnlyAdmin[ModelT]):
    """History whose page is told by a template of its own instead of a form."""

    def story(self, row: ModelT) -> dict[str, object]:
        """Return what the template shows."""
        raise NotImplementedError

    def story_for(self, request: HttpRequest, row: ModelT) -> dict[str, object]:
        """Return what the template shows to somebody who asks for a part of it."""
        return self.story(row)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        story = (
            {} if row is None else {"subtitle": None, **self.story_for(request, row)}
        )
        return super().change_view(
            request, object_id, form_url, {**story, **(extra_context or {})}
        )


def badge(text: str | Promise, *, tone: str) -> SafeString:
    """Return a coloured label; tones: good, busy, warn, bad, calm."""
    return format_html('<span class="{}">{}</span>', _BADGE + _TONES[tone], text)


def health_badge(row: WithHealth) -> SafeString:
    """Return the health of a service as a label."""
    return badge(row.get_health_display(), tone=HEALTH_TONES[Health(row.health)])


def moment(at: datetime | None) -> SafeString:
    """Return a local time to the second, the same in all languages, on one line."""
    if at is None:
        return format_html("{}", NOTHING)
    text = localtime(at).strftime("%Y-%m-%d %H:%M:%S")
    return format_html('<time class="bridge-time">{}</time>', text)


def json_block(value: JsonValue) -> SafeString:
    """Return JSON as a person reads it."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return format_html('<pre class="bridge-pre" tabindex="0">{}</pre>', text)


def two_lines(small: str, text: str) -> SafeString:
    """Return a cell with a small line above a text."""
    return format_html(
        '<span class="bridge-two"><small>{}</small>{}</span>', small, text
    )


def text_block(text: str) -> SafeString:
    """Return a text with its own line breaks."""
    if not text:
        return format_html("{}", NOTHING)
    return format_html('<div class="bridge-text">{}</div>', text)


def admin_url(row: Model) -> str:
    """Return the address of the row's own page."""
    opts = row._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk])


def list_url(model: type[Model], **filters: object) -> str:
    """Return the address of the model's list, filtered."""
    opts = model._meta
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    return f"{address}?{query}" if query else address


def admin_link(row: Model | None, *, text: str = "") -> SafeString:
    """Return a link to the row's own page."""
    if row is None:
        return format_html("{}", NOTHING)
    return format_html(
        '<a class="text-link" href="{}">{}</a>', admin_url(row), text or str(row)
    )


def outside_link(url: str, *, text: str | Promise) -> SafeString:
    """Return a link that opens another site in a tab of its own."""
    return format_html(
        '<a class="text-link" href="{}" target="_blank" rel="noopener noreferrer">{}'
        '<span class="material-symbols-outlined bridge-outside" aria-hidden="true">'
        "open_in_new</span></a>",
        url,
        text,
    )


def shortened(text: str, *, max_chars: int = 80) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def fields_of(model: type[Model], *, without: Sequence[str] = ()) -> list[str]:
    """Return the names of a model's own fields in their order."""
    return [f.name for f in model._meta.fields if f.name not in without]


def _has_dependants(row: Model, *, goes_along: frozenset[str]) -> bool:
    """Tell whether deleting the row would take other rows along that must stay."""
    return any(
        relation.related_model._base_manager.filter(
            **{relation.field.name: row}
        ).exists()
        for relation in row._meta.related_objects
        if getattr(relation, "on_delete", None) is CASCADE
        and relation.get_accessor_name() not in goes_along
        and relation.field.concrete
        and not relation.field.many_to_many
        and not relation.related_model._meta.auto_created
    )
