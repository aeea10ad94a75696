"""How many values one argument may hold; more are refused before they are read."""

from __future__ import annotations

from collections.abc import Sized

from bridge_project.lib.types import JsonValue
from conversations.actions.outcome import NotDone

MAX_LABELS = 100
MAX_ATTRIBUTES = 200
MAX_FILES = 15
# Reading so many takes some hundredths of a second. A body of 1 MB can hold half a
# million of them.
MAX_MEMBERS = 10_000


def check_size(value: JsonValue, *, name: str) -> None:
    """Raise NotDone for an argument that holds more than anybody means."""
    seen, left = 0, [value]
    while left:
        member = left.pop()
        if isinstance(member, str):
            # Each may end a member of a list that is written as text.
            seen += member.count(",") + member.count("\n")
        elif isinstance(member, list):
            seen += len(member)
            left += member[:MAX_MEMBERS]
        elif isinstance(member, dict):
            seen += len(member)
            left += member.values()
        if seen > MAX_MEMBERS:
            raise NotDone(
                f"“{name}” holds more than {MAX_MEMBERS} values. Send fewer.",
                code="bad_value",
            )


def check_count(values: Sized, *, most: int, name: str) -> None:
    """Raise NotDone if there are more than `most`."""
    if len(values) > most:
        raise NotDone(
            f"“{name}” holds {len(values)} values; {most} are taken at once. Send "
            "fewer.",
            code="bad_value",
        )
