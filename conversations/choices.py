"""Which choice a customer means who answers with its number. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge_project.lib.types import JsonValue

# "2", "2.", "#2", "(2)": nothing else beside it, or it is a sentence about something.
_NUMBER = re.compile(r"[#(]?\s?([0-9]{1,3})\s?[.)]?", re.ASCII)


def number_in(text: str) -> int | None:
    """Return the number that is all there is of a text, None if there is more."""
    found = _NUMBER.fullmatch(text.strip())
    return int(found[1]) if found else None


def chosen_by_number(text: str, rich: Mapping[str, JsonValue]) -> str:
    """Return the choice that a number names, "" if it names none.

    Its title, with the value behind it where that says something else, as for a click.

    `rich` is that of the bot's last message (`OutgoingMessage.rich`), whose items were
    shown as a numbered list.
    """
    found = number_in(text)
    items = rich.get("items")
    if found is None or rich.get("content_type") != "input_select":
        return ""
    if not isinstance(items, list) or not 1 <= found <= len(items):
        return ""
    item = items[found - 1]
    if not isinstance(item, dict):
        return ""
    title, value = str(item.get("title", "")), str(item.get("value", ""))
    return f"{title} ({value})" if title and value not in ("", title) else title
