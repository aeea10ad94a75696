"""Items of a message that a flow wants sent, refused in words that it understands."""

from __future__ import annotations

from collections.abc import Mapping

from bridge_project.lib.types import JsonValue
from conversations.actions.limits import check_size
from conversations.actions.outcome import NotDone
from conversations.rich import BadItems, Rich, kind_of, read


def wanted_items(wanted: Mapping[str, JsonValue]) -> Rich | None:
    """Understand `content_type` and `items`; None for a message of text alone."""
    try:
        if kind_of(wanted) != "text":
            check_size(wanted.get("items"), name="items")
        return read(wanted)
    except BadItems as err:
        raise NotDone(err.message, code=err.code, possible=err.possible) from err


def as_lines(rich: Rich) -> str:
    """Return the items as text; a flow is told that a form cannot be one."""
    if rich.content_type == "form":
        raise NotDone(
            "Only the website chat and API channels show forms. Ask for it in a text "
            "message.",
            code="bad_value",
        )
    return rich.as_lines()
