"""What a Dify flow or a model writes into an argument, read as what it means. Pure.

A variable without a value reaches us in many spellings (reference/dify.md 8a and 8b):
as null, as nothing, as the word that Python or a model has for it, as a template that
nobody filled in, as the variable's own path. `is_not_set` knows them all, and each
reader below answers None to them. They raise nothing but Misread.
"""

from __future__ import annotations

import re
from json import dumps
from math import isfinite, isnan

from bridge_project.lib.redact import storable
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.literals import (
    MAX_CHARS,
    MAX_DEPTH,
    Unreadable,
    looks_like_one,
    read,
    unescaped,
)

_SHOWN_CHARS = 80
# Beyond it neither Chatwoot's database nor a double would take a whole number.
_MAX_DIGITS = 15
_MAX_LEVELS = 20

_WORDS = frozenset({"", "none", "null", "nil", "undefined", "nan", "n/a"} | set("-–—"))
# Texts of nothing but templates, which somebody sent on without filling them in.
_TEMPLATES = re.compile(r"(?:\{\{[^{}]*+\}\}[\s,;]*+)++")
# An unknown variable is rendered as its own path: the scope, or the number that Dify
# gives each node (the milliseconds of its making), then names.
_PATH = re.compile(
    r"(?:conversation|sys|env|[0-9]{10,20})(?:\.[a-z_][a-z0-9_]*+)++",
    re.ASCII | re.IGNORECASE,
)
_TRUE = frozenset({"true", "yes", "y", "on", "1", "1.0"})
_FALSE = frozenset({"false", "no", "n", "off", "0", "0.0"})
_WHOLE = re.compile(rf"([+-]?[0-9]{{1,{_MAX_DIGITS}}})(?:\.0*)?", re.ASCII)
_COMMA = re.compile(r"[,\n]")
# Addresses may contain commas; the next one begins with its scheme.
_NEXT_ADDRESS = re.compile(r"(?<![\s,])[\s,]++(?=https?://)")
# Marks that are not seen, which editors and models leave at the ends of a text.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


class Misread(ValueError):
    """The argument cannot mean what is wanted; `message` tells the flow's author."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


def is_not_set(value: JsonValue) -> bool:
    """Whether the flow had nothing to say: nothing is to be done, and that is fine.

    Texts that only contain such a word are texts: "None of your business".
    """
    left = [value]
    while left:
        member = left.pop()
        if isinstance(member, str):
            member = _insides(member)
        if isinstance(member, list):
            left += member
        elif isinstance(member, dict):
            left += member.values()
        elif not _is_nothing(member):
            return False
    return True


def cleaned(value: JsonValue) -> JsonValue:
    """Return the value without blanks around it and without members that are not set.

    None if nothing is left. Texts stay texts, whatever they spell.
    """
    return None if is_not_set(value) else _cleaned(value, depth=0)


def as_bool(value: JsonValue) -> bool | None:
    """Return yes or no in any spelling, None if not set."""
    if is_not_set(value):
        return None
    if isinstance(value, (str, int, float)):
        word = _bare(value) if isinstance(value, str) else str(value)
        if word.casefold() in _TRUE:
            return True
        if word.casefold() in _FALSE:
            return False
    raise _misread(value, "true or false")


def as_int(value: JsonValue) -> int | None:
    """Return a whole number, also of a text such as "5" or "5.0"; None if not set."""
    if is_not_set(value):
        return None
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        match = _WHOLE.fullmatch(_bare(value) if isinstance(value, str) else str(value))
        if match:
            return int(match[1])
    raise _misread(value, "a whole number")


def as_text(value: JsonValue) -> str | None:
    """Return a text; a list or an object as JSON text; None if not set."""
    tidy = cleaned(value)
    if tidy is None or isinstance(tidy, str):
        return tidy
    return dumps(tidy, ensure_ascii=False)


def as_texts(value: JsonValue) -> list[str] | None:
    """Return texts of a list, of its JSON or Python spelling, or of "a, b".

    The order is kept, what comes twice is dropped, lists in lists are flattened. None
    if not set.
    """
    tidy = cleaned(value)
    if isinstance(tidy, str):
        tidy = _split(tidy)
    texts: dict[str, None] = {}
    left = [tidy]
    while left:
        member = left.pop()
        if isinstance(member, str):
            member = _decoded(member)
        if isinstance(member, dict):
            raise _misread(value, 'a list of texts, such as "a, b" or ["a", "b"]')
        if isinstance(member, list):
            left += reversed(member)
        elif (text := as_text(member)) is not None:
            texts[text] = None
    return list(texts) or None


def as_object(value: JsonValue) -> JsonObject | None:
    """Return an object, also of its JSON or Python spelling; None if not set.

    Members that are not set are left out.
    """
    if is_not_set(value):
        return None
    tidy = cleaned(_insides(value) if isinstance(value, str) else value)
    if isinstance(tidy, dict):
        return tidy
    raise _misread(value, 'an object, such as {"region": "North"}')


def as_list(value: JsonValue) -> list[JsonValue] | None:
    """Return a list, also of its JSON or Python spelling; None if not set.

    A single object is taken for a list of one.
    """
    if is_not_set(value):
        return None
    tidy = cleaned(_insides(value) if isinstance(value, str) else value)
    if isinstance(tidy, dict):
        return [tidy]
    if isinstance(tidy, list):
        return tidy
    raise _misread(value, 'a list, such as ["a", "b"]')


def _is_nothing(value: JsonValue) -> bool:
    if isinstance(value, str):
        if value.casefold() in _WORDS or _TEMPLATES.fullmatch(value):
            return True
        return bool(_PATH.fullmatch(value))
    return value is None or (isinstance(value, float) and isnan(value))


def _insides(text: str) -> JsonValue:
    """Return what a text spells: its list or object, or itself without its quotes."""
    return _decoded(_bare(text))


def _decoded(text: str) -> JsonValue:
    """Return the list or the object that a text spells, or else the text itself."""
    stripped = _stripped(text)
    if looks_like_one(stripped) and not _TEMPLATES.fullmatch(stripped):
        try:
            return read(stripped)
        except Unreadable:
            return stripped
    return stripped


def _stripped(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def _bare(text: str) -> str:
    """Return the text without blanks and quotes around it, JSON's included."""
    bare = _stripped(text)
    for _ in range(_MAX_LEVELS):
        if len(bare) < 2 or bare[0] != bare[-1] or bare[0] not in "\"'`":
            break
        bare = _stripped(unescaped(bare[1:-1]))
    return bare


def _split(text: str) -> JsonValue:
    """Return the members of a list that was written as text."""
    decoded = _decoded(text)
    if not isinstance(decoded, str):
        return decoded
    if text[0] in "\"'":
        try:
            return read(f"[{text}]")
        except Unreadable:
            pass  # an apostrophe, not a quote
    if re.match(r"https?://", text):
        return [*_NEXT_ADDRESS.split(text)]
    return [*_COMMA.split(text)]


def _cleaned(value: JsonValue, *, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise Misread(
            f"The value is nested more than {MAX_DEPTH} levels deep. Send it flat."
        )
    if isinstance(value, list):
        members = [_cleaned(member, depth=depth + 1) for member in value]
        return [member for member in members if member is not None] or None
    if isinstance(value, dict):
        pairs = {
            _stripped(storable(name)): _cleaned(member, depth=depth + 1)
            for name, member in value.items()
        }
        return {name: pair for name, pair in pairs.items() if pair is not None} or None
    if is_not_set(value):
        return None
    if isinstance(value, str):
        return _stripped(storable(value))
    if isinstance(value, float) and not isfinite(value):
        raise _misread(value, "a finite number")
    return value


def _misread(value: JsonValue, wanted: str) -> Misread:
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return Misread(
            f"The text has {len(value)} characters, more than the {MAX_CHARS} that are "
            f"read here. Send {wanted}."
        )
    return Misread(f"{_shown(value)} was sent, which is not {wanted}. Send {wanted}.")


def _shown(value: JsonValue) -> str:
    """Return enough of the value to find it in the flow."""
    if isinstance(value, (list, dict)):
        kind = "A list" if isinstance(value, list) else "An object"
        return f"{kind} of {len(value)}"
    text = storable(value) if isinstance(value, str) else str(value)
    return f"“{text if len(text) <= _SHOWN_CHARS else f'{text[:_SHOWN_CHARS]}…'}”"
