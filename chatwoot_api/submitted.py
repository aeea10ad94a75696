"""What a visitor submitted on a message with choices or a form, as text. Pure.

Chatwoot makes no new message of it: it updates the bot's own message, again and again
(reference/chatwoot.md section 2.2). Ratings (input_csat) and e-mail addresses
(input_email) are not read here: they are no answer to the bot.
"""

from __future__ import annotations

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.lenient import list_at, object_at, text_at
from chatwoot_api.payloads import Message
from chatwoot_api.text import plain_text

# A form has a few fields; whatever else claims to be one is cut.
MAX_VALUES = 50
_READ = frozenset({"input_select", "form"})


def text_of(message: Message) -> str:
    """Return what was chosen or filled in, "" if nothing was.

    A choice is its title, with the value behind it where that says something else: the
    model reads the one, and a flow may look for the other. A form is a line for each
    field.
    """
    if message.content_type not in _READ:
        return ""
    rows = _rows(message)
    if message.content_type == "form":
        labels = _labels(message)
        lines = (_field_line(row, labels=labels) for row in rows)
    else:
        lines = (_choice_line(row) for row in rows)
    return "\n".join(line for line in lines if line)


def values_of(message: Message) -> dict[str, str]:
    """Return a form's values by the fields' names, as the visitor gave them."""
    if message.content_type != "form":
        return {}
    return {
        name: _plain(row.get("value"))
        for row in _rows(message)
        if (name := text_at(row, "name"))
    }


def choice_of(message: Message) -> str:
    """Return the value of the choice that was clicked, "" if none was."""
    if message.content_type != "input_select":
        return ""
    return next((_plain(row.get("value")) for row in _rows(message)), "")


def is_in(payload: JsonObject) -> bool:
    """Tell whether a webhook's body tells of something submitted, read or unreadable.

    For what could not be parsed; all else asks `text_of`.
    """
    if payload.get("content_type") not in _READ:
        return False
    return bool(object_at(payload, "content_attributes").get("submitted_values"))


def _rows(message: Message) -> list[JsonObject]:
    rows = list_at(message.content_attributes, "submitted_values")[:MAX_VALUES]
    return [row for row in rows if isinstance(row, dict)]


def _choice_line(row: JsonObject) -> str:
    title, value = _plain(row.get("title")), _plain(row.get("value"))
    if not title or not value or title.casefold() == value.casefold():
        return title or value
    return f"{title} ({value})"


def _labels(message: Message) -> dict[str, str]:
    """Return the fields' labels by their names."""
    items = list_at(message.content_attributes, "items")
    rows = [item for item in items if isinstance(item, dict)]
    return {text_at(row, "name"): _plain(row.get("label")) for row in rows}


def _field_line(row: JsonObject, *, labels: dict[str, str]) -> str:
    name, value = text_at(row, "name"), _plain(row.get("value"))
    label = labels.get(name) or _plain(name)
    return f"{label}: {value}" if label and value else ""


def _plain(value: JsonValue) -> str:
    """Return a value as text; widgets send texts, APIs anything."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain_text(value).strip()
    if isinstance(value, int | float):
        return f"{value}"
    if isinstance(value, list):
        return ", ".join(filter(None, map(_plain, value)))
    return ""
