"""What a posted message was besides its text, in words."""

from __future__ import annotations

from django.utils.translation import gettext

from bridge_project.lib.types import JsonValue
from conversations.models import OutgoingMessage


def part(post: OutgoingMessage) -> str:
    """Return what the message was for, and which one of several."""
    name, of = str(post.get_part_display()), post.rich.get("of")
    if not isinstance(of, int):
        return name
    counted = gettext("%(number)s of %(of)s") % {"number": post.number + 1, "of": of}
    return f"{name}, {counted}"


def beside(post: OutgoingMessage) -> list[str]:
    """Return a line for its buttons, cards or fields, and one for its files."""
    lines = []
    titles = _named(post.rich.get("items"), "title", "label")
    kind = post.rich.get("content_type")
    if titles and isinstance(kind, str):
        lines.append(f"{_kind(kind)}: {', '.join(titles)}")
    names = _named(post.rich.get("files"), "name", "url")
    if names:
        lines.append(f"{gettext('Files')}: {', '.join(names)}")
    return lines


def file_names(files: JsonValue) -> str:
    """Return the names of a run's files, or where they have none, of their kinds."""
    return ", ".join(_named(files, "filename", "kind"))


def _kind(kind: str) -> str:
    names = {
        "input_select": gettext("Buttons"),
        "cards": gettext("Cards"),
        "form": gettext("Form"),
        "article": gettext("Articles"),
    }
    return names.get(kind, kind)


def _named(rows: JsonValue, *keys: str) -> list[str]:
    """Return the names of what a list holds."""
    found = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            found.append(next((str(row[key]) for key in keys if row.get(key)), "–"))
    return found
