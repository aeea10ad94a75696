"""Chatwoot's fields and their values as a person says them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, badge
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import AttributeDefinition, Wish
from chatwoot_api.wishes import State

KINDS: Mapping[str, str | Promise] = {
    Wish.Kind.TEAM: _("Teams"),
    Wish.Kind.LABEL: _("Labels"),
    Wish.Kind.ATTRIBUTE: _("Attributes"),
}
FIELDS: Mapping[str, str | Promise] = {
    "name": _("name"),
    "title": _("title"),
    "description": _("description"),
    "allow_auto_assign": _("assigns by itself"),
    "members": _("members"),
    "color": _("colour"),
    "show_on_sidebar": _("in the sidebar"),
    "attribute_key": _("key"),
    "attribute_model": _("of"),
    "attribute_display_name": _("name"),
    "attribute_display_type": _("type"),
    "attribute_description": _("description"),
    "attribute_values": _("values"),
    "regex_pattern": _("pattern"),
    "regex_cue": _("hint about the pattern"),
}
_TONES = {
    State.IN_SYNC: "good",
    State.DIFFERS: "warn",
    State.MISSING_THERE: "busy",
    State.UNKNOWN_HERE: "calm",
}
# More of a list's values are not read on a page.
_SHOWN = 30


@dataclass(frozen=True, kw_only=True)
class Line:
    """A field with its value there and the one that is wanted."""

    field: str
    before: str
    after: str


def state_badge(state: State) -> SafeString:
    """Return the state as a coloured label."""
    return badge(state.label, tone=_TONES[state])


def field_words(name: str) -> str:
    """Return a field's name; one that a newer Chatwoot brought stays as it is."""
    return str(FIELDS.get(name, name))


def facts(fields: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a thing beside its name, empty values left out."""
    for name, value in fields.items():
        if value not in ("", [], None) and name not in ("name", "title"):
            yield field_words(name), value_words(value, field=name)


def lines(before: JsonObject, after: JsonObject) -> list[Line]:
    """Return the fields of a change; where nothing was before, only what comes."""
    return [
        Line(
            field=field_words(name),
            before=value_words(before[name], field=name) if name in before else "",
            after=value_words(after[name], field=name) if name in after else "",
        )
        for name in {**after, **before}
        if after.get(name) is not None or name in before
    ]


def value_words(value: JsonValue, *, field: str) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        if field == "members" and not value:
            return gettext("nobody")
        return _listed(str(item) for item in value)
    if field == "attribute_display_type":
        return str(dict(AttributeDefinition.DisplayType.choices).get(str(value), value))
    if field == "attribute_model":
        return str(dict(AttributeDefinition.Model.choices).get(str(value), value))
    return str(value) if value not in ("", None) else NOTHING


def _listed(items: Iterable[str]) -> str:
    values = list(items)
    text = ", ".join(values[:_SHOWN]) or NOTHING
    more = len(values) - _SHOWN
    return (
        gettext("%(text)s and %(count)d more")
        % {
            "text": text,
            "count": more,
        }
        if more > 0
        else text
    )
