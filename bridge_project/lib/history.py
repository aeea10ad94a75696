"""What auditlog wrote down of a row's changes, as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.utils.text import capfirst
from django.utils.translation import gettext

from bridge_project.lib.types import JsonObject, JsonValue

NOTHING = "–"
# A page shows no more; older entries are in the list of all changes.
SHOWN = 100
# Rows that foreign keys point to, by model and key.
_Names = Mapping[tuple[type[Model], str], str]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, before and after."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RowChange:
    """One entry with what it changed."""

    entry: LogEntry
    fields: list[FieldChange]


def is_tracked(model: type[Model]) -> bool:
    """Tell whether changes of the model are written down."""
    return bool(auditlog.contains(model))


def newest_of(row: Model) -> list[RowChange]:
    """Return the newest changes of a row."""
    entries: QuerySet[LogEntry] = LogEntry.objects.get_for_object(row)
    return readable(entries.select_related("actor").order_by("-pk")[:SHOWN])


def readable(entries: Iterable[LogEntry]) -> list[RowChange]:
    """Return entries with what they changed, in words; one query for each kind of row
    that foreign keys point to.
    """
    found = list(entries)
    names = _names(found)
    return [RowChange(entry, _fields(entry, names=names)) for entry in found]


def labels_of(entry: LogEntry, *, most: int = 4) -> str:
    """Return the names of the first fields that an entry is about."""
    model = entry.content_type.model_class()
    changes = _changes(entry)
    labels = [_label(model, name) for name in islice(changes, most)]
    more = ["…"] if len(changes) > most else []
    return ", ".join([*labels, *more])


def _changes(entry: LogEntry) -> JsonObject:
    """Return the changed fields in the order of the model, not in that of chance."""
    changes: JsonObject = entry.changes or {}
    model = entry.content_type.model_class()
    if model is None:
        return changes
    order = [field.name for field in (*model._meta.fields, *model._meta.many_to_many)]
    return {name: changes[name] for name in order if name in changes}


def _fields(entry: LogEntry, *, names: _Names) -> list[FieldChange]:
    model = entry.content_type.model_class()
    shown = [
        FieldChange(_label(model, name), *_pair(model, name, change, names=names))
        for name, change in _changes(entry).items()
    ]
    if entry.action == LogEntry.Action.UPDATE:
        return shown
    # Of a row that came or went, what was empty says nothing.
    return [field for field in shown if (field.before, field.after) != (NOTHING,) * 2]


def _pair(
    model: type[Model] | None, name: str, change: JsonValue, *, names: _Names
) -> tuple[str, str]:
    """Return a field's value before and after."""
    if isinstance(change, dict):
        objects = change.get("objects")
        listed = ", ".join(map(str, objects)) if isinstance(objects, list) else ""
        added = change.get("operation") == "add"
        return (NOTHING, listed) if added else (listed, NOTHING)
    old, new = change if isinstance(change, list) and len(change) == 2 else (None, None)
    if model is not None and _is_secret(model, name):
        after = gettext("set anew") if old and new else _whether_set(new)
        return _whether_set(old), after
    if isinstance(old, dict) and isinstance(new, dict):
        # A map of twenty inputs, one of which was changed.
        old, new = (
            {key: value for key, value in one.items() if other.get(key) != value}
            for one, other in ((old, new), (new, old))
        )
    field = _field(model, name)
    return _text(field, old, names=names), _text(field, new, names=names)


def _whether_set(value: JsonValue) -> str:
    return gettext("set") if value else gettext("empty")


def _is_secret(model: type[Model], name: str) -> bool:
    known = auditlog.get_model_fields(model) if auditlog.contains(model) else {}
    return name in known.get("mask_fields", ())


def _text(field: Field[Any, Any] | None, value: JsonValue, *, names: _Names) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, dict):
        lines = (f"{key}: {_plain(item)}" for key, item in sorted(value.items()))
        return "\n".join(lines)
    choices = dict(
        getattr(field, "choices", None)
        or getattr(getattr(field, "base_field", None), "choices", None)
        or ()
    )
    if isinstance(value, list):
        return ", ".join(str(choices.get(item, _plain(item))) for item in value)
    if isinstance(field, ForeignKey) and value != "None":
        gone = gettext("deleted (%(id)s)") % {"id": value}
        return names.get((field.related_model, str(value)), gone)
    return str(choices.get(value, value))


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _label(model: type[Model] | None, name: str) -> str:
    field = _field(model, name)
    return str(capfirst(field.verbose_name)) if field is not None else name


def _field(model: type[Model] | None, name: str) -> Field[Any, Any] | None:
    if model is None:
        return None
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, Field) else None


def _names(entries: list[LogEntry]) -> _Names:
    """Return the names of the rows that the entries' foreign keys point to."""
    wanted: dict[type[Model], set[str]] = {}
    for entry in entries:
        model = entry.content_type.model_class()
        for name, change in _changes(entry).items():
            field = _field(model, name)
            if isinstance(field, ForeignKey) and isinstance(change, list):
                ids = {str(value) for value in change if str(value).isdigit()}
                wanted.setdefault(field.related_model, set()).update(ids)
    return {
        (model, str(row.pk)): str(row)
        for model, ids in wanted.items()
        if ids
        for row in model._default_manager.filter(pk__in=ids)
    }
