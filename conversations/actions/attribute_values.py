"""Whether a value fits a custom attribute, and how Chatwoot writes it. Pure.

Chatwoot itself checks lengths only; what its agents choose from a list, or see as a
date, has to be so when a flow writes it, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from json import dumps
from math import isfinite

from bridge_project.lib.types import JsonValue
from chatwoot_api.models import AttributeDefinition
from chatwoot_api.names import fold
from conversations.actions.outcome import NotDone, listed
from dify_api.arguments import Misread, as_bool, as_text

Type = AttributeDefinition.DisplayType

# app/models/jsonb_attributes_length_validator.rb
MAX_CHARS = 1500
MAX_INT = 9_999_999_999
_SHOWN_CHARS = 80
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})[./](\d{1,2})[./](\d{4})", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[./](\d{1,2})[./](\d{1,2})", re.ASCII)
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)

# A pattern is the operator's and a value the customer's: together they must not keep a
# worker busy. Longer patterns, and such as can take for ever, are not applied.
MAX_PATTERN_CHARS = 300
MAX_PATTERN_STEPS = 30_000_000
_LOOP = re.compile(r"[*+]|\{\d*,\d*\}")
_CHOICE = re.compile(r"\||(?<!\()\?")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")


def fitting(
    definition: AttributeDefinition | None, value: JsonValue, *, key: str
) -> JsonValue:
    """Return a value as it is to be written; `value` is set (not None).

    Raises NotDone with code bad_value and, of a list, what is possible. A type that we
    do not know takes what there is no definition for: any number, yes, no or text, and
    lists and objects as JSON text.
    """
    kind = definition.display_type if definition else ""
    check = _CHECKS.get(kind)
    if definition is None or check is None:
        written = _plain(value)
    else:
        written = check(definition, value)
    _check_limits(written, key=key)
    if definition is not None and isinstance(written, str):
        _check_pattern(definition, written)
    return written


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, list | dict):
        return dumps(value, ensure_ascii=False)
    return value


def _text(definition: AttributeDefinition, value: JsonValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return as_text(value) or ""


def _scalar(definition: AttributeDefinition, value: JsonValue) -> str:
    """Return a text; a list or an object is none here."""
    if isinstance(value, list | dict):
        raise _bad(definition, value, "a single value, not a list or an object")
    return _text(definition, value)


def _number(definition: AttributeDefinition, value: JsonValue) -> int | float:
    if isinstance(value, bool):
        raise _bad(definition, value, "a number such as 12 or 12.5")
    if isinstance(value, int | float) and isfinite(value):
        return int(value) if float(value).is_integer() else value
    text = _scalar(definition, value).strip("\"'` ")
    if definition.display_type == Type.PERCENT:
        text = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(text) or len(text) > 30:
        raise _bad(definition, value, "a number such as 12 or 12.5")
    number = float(text)
    return int(number) if number.is_integer() else number


def _link(definition: AttributeDefinition, value: JsonValue) -> str:
    text = _scalar(definition, value)
    if not _ADDRESS.fullmatch(text):
        raise _bad(definition, value, "an address that begins with https://")
    return text


def _date(definition: AttributeDefinition, value: JsonValue) -> str:
    text = _scalar(definition, value).strip("\"'` ")
    try:
        if match := _DAY_FIRST.fullmatch(text):
            day, month, year = (int(part) for part in match.groups())
            return date(year, month, day).isoformat()
        if match := _YEAR_FIRST.fullmatch(text):
            return date(*(int(part) for part in match.groups())).isoformat()
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError as err:
        raise _bad(definition, value, "a date such as 2026-12-01") from err


def _choice(definition: AttributeDefinition, value: JsonValue) -> str:
    text = _scalar(definition, value)
    if text in definition.values:
        return text
    for known in definition.values:
        if fold(known) == fold(text):
            return known
    raise NotDone(
        f"“{definition.key}” cannot be “{text[:_SHOWN_CHARS]}”. "
        f"Possible: {listed(definition.values)}.",
        code="bad_value",
        possible=definition.values,
    )


def _checkbox(definition: AttributeDefinition, value: JsonValue) -> bool:
    try:
        ticked = as_bool(value)
    except Misread as err:
        raise _bad(definition, value, "true or false") from err
    return bool(ticked)


_CHECKS: Mapping[str, Callable[[AttributeDefinition, JsonValue], JsonValue]] = {
    Type.TEXT: _text,
    Type.NUMBER: _number,
    Type.CURRENCY: _number,
    Type.PERCENT: _number,
    Type.LINK: _link,
    Type.DATE: _date,
    Type.LIST: _choice,
    Type.CHECKBOX: _checkbox,
}


def _bad(definition: AttributeDefinition, value: JsonValue, wanted: str) -> NotDone:
    shown = str(value)[:_SHOWN_CHARS]
    return NotDone(
        f"“{definition.key}” needs {wanted}; “{shown}” is none.", code="bad_value"
    )


def _check_limits(value: JsonValue, *, key: str) -> None:
    if isinstance(value, str) and len(value) > MAX_CHARS:
        raise NotDone(
            f"The text for “{key[:_SHOWN_CHARS]}” has {len(value)} characters; "
            f"Chatwoot takes {MAX_CHARS} in an attribute. Shorten it.",
            code="bad_value",
        )
    if isinstance(value, int | float) and abs(value) > MAX_INT:
        raise NotDone(
            f"{value} is too large for “{key[:_SHOWN_CHARS]}”; Chatwoot takes numbers "
            f"up to {MAX_INT}. Send longer numbers to a text attribute.",
            code="bad_value",
        )


def _check_pattern(definition: AttributeDefinition, text: str) -> None:
    """Refuse a text that the definition's pattern does not match.

    Chatwoot's page tests it as JavaScript does: anywhere in the text.
    """
    pattern = _expression(definition.regex_pattern)
    if pattern is None or not _is_quick(pattern.pattern, text):
        return
    if pattern.search(text) is None:
        cue = definition.regex_cue.strip() or f"Its pattern is {pattern.pattern}"
        raise NotDone(
            f"“{definition.key}” cannot be “{text[:_SHOWN_CHARS]}”. {cue}",
            code="bad_value",
        )


def _expression(source: str) -> re.Pattern[str] | None:
    """Return a pattern, which Chatwoot stores as JavaScript writes it: /…/flags."""
    flags = ""
    if source.startswith("/") and source.rfind("/") > 0:
        source, flags = source[1 : source.rfind("/")], source[source.rfind("/") + 1 :]
    if not source or len(source) > MAX_PATTERN_CHARS:
        return None
    try:
        return re.compile(source, re.IGNORECASE if "i" in flags else 0)
    except (re.error, OverflowError, RecursionError):
        return None  # JavaScript's own spelling


def _is_quick(pattern: str, text: str) -> bool:
    """Tell whether no text of this length can keep the pattern busy for long.

    Each loop may try each length, each choice both ways, from each place of the text.
    """
    if _REPEATED_GROUP.search(pattern):
        return False
    loops = len(_LOOP.findall(pattern)) + (0 if pattern.startswith("^") else 1)
    choices = len(_CHOICE.findall(pattern))
    return float(len(text) + 1) ** loops * 2.0**choices <= MAX_PATTERN_STEPS
