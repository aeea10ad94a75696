"""Values of JSON that somebody else wrote: what has an unexpected type is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite

from bridge_project.lib.types import JsonObject, JsonValue


def object_at(data: JsonObject, key: str) -> JsonObject:
    """Return an object, {} if there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def list_at(data: JsonObject, key: str) -> list[JsonValue]:
    """Return a list, [] if there is none."""
    value = data.get(key)
    return value if isinstance(value, list) else []


def text_at(data: JsonObject, key: str) -> str:
    """Return a text, "" if there is none."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def id_at(data: JsonObject, key: str) -> int | None:
    """Return a number that fits PostgreSQL's bigint, also one written as text."""
    value = data.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


def moment(value: JsonValue) -> datetime | None:
    """Read `2026-06-16T09:00:00.482Z` or Unix seconds; 0 means "never".

    Only years in which Chatwoot can have written it: PostgreSQL cannot store, and
    arithmetic cannot take, what lies near the ends of Python's calendar.
    """
    try:
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            read = read if read.tzinfo else read.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            read = datetime.fromtimestamp(value, tz=UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return read if 1971 <= read.year <= 2200 else None


def number_at(data: JsonObject, key: str) -> float | None:
    """Return a finite number, also one written as text; None if there is none."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
