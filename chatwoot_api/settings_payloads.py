"""What Chatwoot says of an account's teams, agents, labels, attributes, inboxes.

Field meanings: reference/chatwoot.md section 5.6. Only the number is needed; the rest
is as long as the mirror's columns, and what is missing or of another type is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge_project.lib.redact import storable
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.lenient import id_at, list_at, text_at

MAX_NAME_CHARS = 255
# Older answers, and Chatwoot's own documentation, have the numbers of these names.
DISPLAY_TYPES = (
    "text",
    "number",
    "currency",
    "percent",
    "link",
    "date",
    "list",
    "checkbox",
)
_DAY_NUMBERS = (
    "day_of_week",
    "open_hour",
    "open_minutes",
    "close_hour",
    "close_minutes",
)
_DAY_FLAGS = ("closed_all_day", "open_all_day")
MODELS = ("conversation_attribute", "contact_attribute", "company_attribute")


@dataclass(frozen=True, kw_only=True)
class TeamRow:
    """A team; names are lower case in Chatwoot."""

    id: int
    name: str = ""
    description: str = ""
    allow_auto_assign: bool = True


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """A human who answers; customers see `available_name`."""

    id: int
    name: str = ""
    available_name: str = ""
    email: str = ""
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """A label of the account; titles are lower case, without spaces."""

    id: int
    title: str = ""
    description: str = ""
    color: str = ""
    show_on_sidebar: bool = True


@dataclass(frozen=True, kw_only=True)
class DefinitionRow:
    """A custom attribute's definition; type and model as Chatwoot names them."""

    id: int
    key: str
    display_name: str = ""
    model: str = ""
    display_type: str = ""
    description: str = ""
    values: tuple[str, ...] = ()
    regex_pattern: str = ""
    regex_cue: str = ""


@dataclass(frozen=True, kw_only=True)
class InboxRow:
    """An inbox."""

    id: int
    name: str = ""
    channel: str = ""
    greets: bool = False
    working_hours_enabled: bool = False
    working_hours: tuple[JsonObject, ...] = ()
    timezone: str = ""


def read_team(data: JsonObject) -> TeamRow | None:
    """Read one of `GET teams`; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    return TeamRow(
        id=number,
        name=_name(data, "name"),
        description=storable(text_at(data, "description")),
        allow_auto_assign=data.get("allow_auto_assign") is not False,
    )


def read_agent(data: JsonObject) -> AgentRow | None:
    """Read one of `GET agents`; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    return AgentRow(
        id=number,
        name=_name(data, "name"),
        available_name=_name(data, "available_name"),
        email=_name(data, "email"),
        role=_name(data, "role", max_chars=50),
    )


def read_label(data: JsonObject) -> LabelRow | None:
    """Read one of `GET labels`; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    return LabelRow(
        id=number,
        title=_name(data, "title"),
        description=storable(text_at(data, "description")),
        color=_name(data, "color", max_chars=20),
        show_on_sidebar=data.get("show_on_sidebar") is not False,
    )


def read_definition(data: JsonObject) -> DefinitionRow | None:
    """Read one of `GET custom_attribute_definitions`; None without number or key."""
    number, key = id_at(data, "id"), _name(data, "attribute_key")
    if number is None or not key:
        return None
    values = list_at(data, "attribute_values")
    return DefinitionRow(
        id=number,
        key=key,
        display_name=_name(data, "attribute_display_name"),
        model=_choice(data.get("attribute_model"), names=MODELS, max_chars=40),
        display_type=_choice(
            data.get("attribute_display_type"), names=DISPLAY_TYPES, max_chars=20
        ),
        description=storable(text_at(data, "attribute_description")),
        values=tuple(
            storable(str(value)) for value in values if isinstance(value, str | int)
        ),
        regex_pattern=storable(text_at(data, "regex_pattern")),
        regex_cue=storable(text_at(data, "regex_cue")),
    )


def read_inbox(data: JsonObject) -> InboxRow | None:
    """Read one of `GET inboxes`; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    channel = _name(data, "channel_type", max_chars=100)
    return InboxRow(
        id=number,
        name=_name(data, "name"),
        channel=channel,
        greets=data.get("greeting_enabled") is True,
        working_hours_enabled=data.get("working_hours_enabled") is True,
        working_hours=tuple(_day(row) for row in _days(data)),
        timezone=_name(data, "timezone", max_chars=100),
    )


def _days(data: JsonObject) -> list[JsonObject]:
    """Return the days of a week; nobody has more."""
    days = [row for row in list_at(data, "working_hours") if isinstance(row, dict)]
    return days[:7]


def _day(row: JsonObject) -> JsonObject:
    """Keep of a day what `conversations.business_hours` reads."""
    numbers: JsonObject = {
        name: row.get(name)
        for name in _DAY_NUMBERS
        if type(row.get(name)) is int  # true is no hour
    }
    flags: JsonObject = {name: row.get(name) is True for name in _DAY_FLAGS}
    return {**numbers, **flags}


def _name(data: JsonObject, key: str, *, max_chars: int = MAX_NAME_CHARS) -> str:
    return storable(text_at(data, key)).strip()[:max_chars]


def _choice(value: JsonValue, *, names: tuple[str, ...], max_chars: int) -> str:
    """Return a name; a newer Chatwoot may have names, and numbers, of its own."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return storable(str(value))[:max_chars]
