"""Lists that are paged by key: no row is counted, and every page costs the same.

An address names the row next to which a page begins (`?after=…`, `?before=…`), by the
values that the list is ordered by. So the ten-thousandth page is read by the same index
as the first, and rows that arrive meanwhile move no other row to another page.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import unfold.views
from django.contrib import messages
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.paginator import Paginator
from django.db.models import Field, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.timezone import is_aware
from django.utils.translation import gettext

AFTER, BEFORE = "after", "before"
# Longer ones were not made here: names in our lists are no longer than 255 characters.
MAX_KEY_CHARS = 4000


class BadKey(ValueError):
    """The address names no place in the list."""


@dataclass(frozen=True)
class Column:
    """One column that a list is ordered by."""

    path: str
    descending: bool
    nullable: bool
    field: Field[Any, Any]

    def of(self, row: Model) -> object:
        """Return the row's value."""
        value: object = row
        for name in self.path.split("__"):
            value = getattr(value, name, None)
        return value

    def beyond(self, value: object, *, backwards: bool) -> Q:
        """Match rows that come later in the list, or earlier: `backwards`.

        PostgreSQL takes NULL for larger than everything else.
        """
        if self.descending != backwards:
            if value is None:
                return Q(**{f"{self.path}__isnull": False})
            return Q(**{f"{self.path}__lt": value})
        if value is None:
            return Q(pk__in=[])
        larger = Q(**{f"{self.path}__gt": value})
        return larger | Q(**{f"{self.path}__isnull": True}) if self.nullable else larger

    def up_to(self, value: object, *, backwards: bool) -> Q:
        """Match what is beyond the value, or equal to it."""
        if value is None or self.nullable:
            return self.beyond(value, backwards=backwards) | self.equal(value)
        way = "lte" if self.descending != backwards else "gte"
        return Q(**{f"{self.path}__{way}": value})

    def equal(self, value: object) -> Q:
        """Match rows with the same value."""
        if value is None:
            return Q(**{f"{self.path}__isnull": True})
        return Q(**{self.path: value})

    def read(self, value: object) -> object:
        """Return a key's part as the column's own type."""
        if value is None:
            if not self.nullable:
                raise BadKey
            return None
        # What else JSON has is in no key; a NUL is no text to PostgreSQL.
        if not isinstance(value, str | int) or "\0" in str(value):
            raise BadKey
        read: object = self.field.to_python(value)
        if isinstance(read, datetime) and not is_aware(read):
            raise BadKey
        return read


class Order:
    """The order of a list, and the keys of its rows."""

    def __init__(self, model: type[Model], ordering: Sequence[object]) -> None:
        self.columns = [_column(model, part) for part in ordering]

    def key_of(self, row: Model) -> str:
        """Return what an address calls the row."""
        parts = [_plain(column.of(row)) for column in self.columns]
        if len(parts) == 1:
            return str(parts[0])
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def read(self, key: str) -> list[object]:
        """Return the values that a key stands for; raises BadKey."""
        try:
            if len(key) > MAX_KEY_CHARS:
                raise BadKey
            if len(self.columns) == 1:
                parts: object = [key]
            else:
                parts = json.loads(urlsafe_b64decode(key + "=" * (-len(key) % 4)))
            if not isinstance(parts, list) or len(parts) != len(self.columns):
                raise BadKey
            return [
                column.read(part)
                for column, part in zip(self.columns, parts, strict=True)
            ]
        except (ValueError, OverflowError, RecursionError, ValidationError) as err:
            raise BadKey from err

    def beyond(self, values: Sequence[object], *, backwards: bool) -> Q:
        """Match the rows on one side of a place in the list.

        `a <= x AND (a < x OR a = x AND b < y)`: an index of the first column alone is
        enough to begin reading at the right row.
        """
        found: Q | None = None
        for column, value in reversed(list(zip(self.columns, values, strict=True))):
            further = column.beyond(value, backwards=backwards)
            if found is None:
                found = further
                continue
            found = column.up_to(value, backwards=backwards) & (
                further | column.equal(value) & found
            )
        return found or Q()


def _column(model: type[Model], part: object) -> Column:
    if not isinstance(part, str):
        raise ImproperlyConfigured(f"{model} is ordered by {part}: name a column.")
    path = part.removeprefix("-")
    if path == "pk":
        path = model._meta.pk.name
    fields = get_fields_from_path(model, path)
    field = fields[-1]
    if field.is_relation and path != field.attname:
        raise ImproperlyConfigured(f"{model} cannot be paged by {path}.")
    return Column(
        path=path,
        descending=part.startswith("-"),
        nullable=any(getattr(each, "null", False) for each in fields),
        field=field,
    )


def _plain(value: object) -> str | int | None:
    if isinstance(value, datetime):
        # To the microsecond: Django's own JSON has milliseconds.
        return value.isoformat()
    return value if value is None or isinstance(value, int) else str(value)


class OnePage(Paginator):  # type: ignore[type-arg] # not generic at runtime
    """The rows that were read, and how to get to the next ones."""

    template_name = "admin/keyset_pagination.html"
    newer_url = older_url = first_url = ""
    # Whether the list begins with what is newest, or with what is first by name.
    by_time = True

    @property
    def is_whole_list(self) -> bool:
        """Tell whether there are no further rows."""
        return not (self.newer_url or self.older_url or self.first_url)


class KeysetChangeList(unfold.views.ChangeList):  # type: ignore[misc] # no types
    """A list that reads one page, and one row more to know whether there is another."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Leave the place in the list out of the filters and of their links."""
        for name in (AFTER, BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, *args, **kwargs)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Keep the order that has an index, whatever the address says."""
        given = list(
            self.model_admin.get_ordering(request) or self._get_default_ordering()
        )
        for place, part in enumerate(given):
            # Django looks for the column's own name and would add it once more.
            if part in ("pk", "-pk"):
                return given[: place + 1]
        return cast(list[Any], self._get_deterministic_ordering(given))

    def get_results(self, request: HttpRequest) -> None:
        order = Order(self.model, self.queryset.query.order_by)
        rows, has_newer, has_older = self._read(request, order=order)
        page = OnePage(rows, self.list_per_page)
        page.by_time = order.columns[0].descending
        if has_newer:
            page.first_url = self.get_query_string()
            if rows:
                page.newer_url = self._url(**{BEFORE: order.key_of(rows[0])})
        if has_older:
            page.older_url = self._url(**{AFTER: order.key_of(rows[-1])})
        self.paginator, self.result_list = page, rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True

    def _url(self, **place: str) -> str:
        return cast(str, self.get_query_string(place))

    def _read(
        self, request: HttpRequest, *, order: Order
    ) -> tuple[list[Model], bool, bool]:
        """Return the page's rows and whether there are newer and older ones."""
        size = self.list_per_page
        try:
            if BEFORE in request.GET:
                values = order.read(request.GET[BEFORE])
                found = self._rows(order.beyond(values, backwards=True), newer=True)
                if len(found) > size:
                    return found[:size][::-1], True, True
                # The top is reached: a page of its full length.
            elif AFTER in request.GET:
                values = order.read(request.GET[AFTER])
                found = self._rows(order.beyond(values, backwards=False))
                return found[:size], True, len(found) > size
        except BadKey:
            text = gettext(
                "The address names no place in this list. This is the first page."
            )
            messages.warning(request, text)
        found = self._rows(Q())
        return found[:size], False, len(found) > size

    def _rows(self, place: Q, *, newer: bool = False) -> list[Model]:
        rows: QuerySet[Model] = self.queryset.filter(place) if place else self.queryset
        if newer:
            rows = rows.reverse()
        return list(rows[: self.list_per_page + 1])
