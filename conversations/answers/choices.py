"""Which choice a customer means who answers with its number. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge_project.lib.types import JsonValue

# "2", "2.", "#2", "(2)": nothing else beside it, or it is a sentence about something.
_NUMBER = re.compile(r"[#(]?\s?([0-9]{1,3})\s?[.)]?", re.ASCII)


def chosen_by_number(text: str, rich: Mapping[str, JsonValue]) -> str:
    """Return the value of the choice that a number names, "" if it names none.

    `rich` is that of the bot's last message (`OutgoingMessage.rich`), whose items were
    shown as a numbered list.
    """
    found = _NUMBER.fullmatch(text.strip())
    items = rich.get("items")
    if found is None or rich.get("content_type") != "input_select":
        return ""
    if not isinstance(items, list) or not 1 <= int(found[1]) <= len(items):
        return ""
    item = items[int(found[1]) - 1]
    return str(item.get("value", "")) if isinstance(item, dict) else ""
