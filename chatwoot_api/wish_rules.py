"""What Chatwoot would refuse of a team, a label or an attribute, said before it does.

Sources: reference/chatwoot.md section 5.6; app/models/label.rb and
app/models/custom_attribute_definition.rb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from django.utils.translation import gettext

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import Wish
from chatwoot_api.settings_payloads import MAX_NAME_CHARS, MODELS

_KEY = re.compile(r"[A-Za-z0-9_.\-]+")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
# Chatwoot's own, which a custom attribute would hide.
_RESERVED: Mapping[str, frozenset[str]] = {
    MODELS[0]: frozenset(
        {
            "assignee_id",
            "browser_language",
            "campaign_id",
            "country_code",
            "created_at",
            "display_id",
            "inbox_id",
            "labels",
            "last_activity_at",
            "priority",
            "referer",
            "status",
            "team_id",
        }
    ),
    MODELS[1]: frozenset(
        {
            "blocked",
            "city",
            "country_code",
            "created_at",
            "email",
            "identifier",
            "last_activity_at",
            "name",
            "phone_number",
            "referer",
        }
    ),
}


def objections(kind: str, fields: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield fields that Chatwoot would refuse, each with a sentence why."""
    match kind:
        case Wish.Kind.TEAM:
            yield from _too_long("name", fields)
        case Wish.Kind.LABEL:
            yield from _too_long("title", fields)
            yield from _of_label(fields)
        case Wish.Kind.ATTRIBUTE:
            yield from _too_long("attribute_key", fields)
            yield from _of_attribute(fields)


def _too_long(name: str, fields: JsonObject) -> Iterator[tuple[str, str]]:
    # What tells attributes apart has the word of their model behind the key.
    most = MAX_NAME_CHARS - len(" (conversation)")
    if len(str(fields[name])) > most:
        text = gettext("It may have %(count)d characters at most.")
        yield name, text % {"count": most}


def _of_label(fields: JsonObject) -> Iterator[tuple[str, str]]:
    title = str(fields["title"])
    if not title[:1].isalnum() or not all(c.isalnum() or c in "-_" for c in title):
        yield (
            "title",
            gettext(
                "Letters, digits, “-” and “_” only, beginning with a letter or digit: "
                "Chatwoot takes no spaces in labels."
            ),
        )
    if "color" in fields and not _COLOUR.fullmatch(str(fields["color"])):
        yield "color", gettext("A colour is written like #1F93FF.")


def _of_attribute(fields: JsonObject) -> Iterator[tuple[str, str]]:
    key = str(fields["attribute_key"])
    model = str(fields.get("attribute_model") or MODELS[0])
    if not _KEY.fullmatch(key):
        yield (
            "attribute_key",
            gettext("Latin letters, digits, “_”, “-” and “.” only, without spaces."),
        )
    if key in _RESERVED[model]:
        yield (
            "attribute_key",
            gettext("Chatwoot has a field of its own with this name. Choose another."),
        )
    is_list = fields.get("attribute_display_type") == "list"
    if is_list and fields.get("attribute_values") == []:
        yield "attribute_values", gettext("A list needs at least one value.")
