"""Reads a list or an object that a flow has written as text: JSON, Python, or a mix.

Dify renders `array[number]`, `array[object]` and `array[any]` as Python's repr, lists
of texts and objects as JSON, and null as nothing at all (reference/dify.md 8a); a
template around them adds what its author wrote. One reader of our own takes all of it
in linear time. `ast.literal_eval` would refuse the mixtures, and it can crash the
interpreter on deep nesting.
"""

from __future__ import annotations

import re
from math import isfinite

from bridge_project.lib.types import JsonObject, JsonValue

# No argument of a flow comes near them; a hostile one is not read any further.
MAX_CHARS = 100_000
MAX_DEPTH = 50
MAX_DIGITS = 300

# `{{…}}` is a template that nobody has filled in. A bare text may contain blanks and
# `://`, and ends at a bracket, comma, colon or quote.
_TOKEN = re.compile(
    r"""\s*+(?:
        (?P<template>\{\{[^{}]*+\}\})
      | (?P<mark>[\[\](){},:])
      | (?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+')
      | (?P<bare>(?:[^\s\[\](){},:"']++ | :(?=//) | [ \t]++(?=[^\s\[\](){},:"']))++)
    )""",
    re.VERBOSE | re.DOTALL,
)
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"\\(?:x({_HEX}{{2}})|u({_HEX}{{4}})|U({_HEX}{{8}})|(.))", re.DOTALL
)
_LETTERS = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    **{char: char for char in "\"'\\/"},
}
_INTEGER = re.compile(r"[+-]?[0-9]++", re.ASCII)
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII
)
_CONSTANTS: dict[str, JsonValue] = {
    **dict.fromkeys(("none", "null", "nil", "undefined", "nan")),
    "true": True,
    "false": False,
}
_CLOSING = {"[": "]", "(": ")"}


class Unreadable(ValueError):
    """The text is no list and no object."""


def looks_like_one(text: str) -> bool:
    """Whether it is worth trying; `text` has no blanks around it."""
    return (text[:1], text[-1:]) in (("[", "]"), ("{", "}"))


def read(text: str) -> list[JsonValue] | JsonObject:
    """Return the list or the object that the text spells, or raise Unreadable."""
    if len(text) > MAX_CHARS:
        raise Unreadable
    reader = _Reader(text)
    value = reader.value(depth=0)
    reader.end()
    if isinstance(value, (list, dict)):
        return value
    raise Unreadable


class _Reader:
    """Descends at most MAX_DEPTH levels; one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        self.at = 0
        self.kind = ""
        self.token = ""
        self._step()

    def _step(self) -> None:
        if self.at == len(self.text):
            self.kind, self.token = "end", ""
            return
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise Unreadable
        self.at = match.end()
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]

    def _is(self, marks: str) -> bool:
        return self.kind == "mark" and self.token in marks

    def _take(self) -> str:
        token = self.token
        self._step()
        return token

    def end(self) -> None:
        if self.kind != "end":
            raise Unreadable

    def value(self, *, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise Unreadable
        if self._is("[("):
            return self._list(_CLOSING[self._take()], depth=depth + 1)
        if self._is("{"):
            self._take()
            return self._object(depth=depth + 1)
        if self._is(",:])}"):
            return None  # null was rendered as nothing
        return self._scalar()

    def _scalar(self) -> JsonValue:
        kind, token = self.kind, self._take()
        if kind == "quoted":
            return unescaped(token[1:-1])
        if kind == "template":
            return token
        if kind == "bare":
            return _bare(token)
        raise Unreadable

    def _list(self, closing: str, *, depth: int) -> list[JsonValue]:
        members: list[JsonValue] = []
        while not self._is(closing):
            members.append(self.value(depth=depth))
            self._comma_or(closing)
        self._take()
        return members

    def _comma_or(self, closing: str) -> None:
        if self._is(","):
            self._take()
        elif not self._is(closing):
            raise Unreadable

    def _object(self, *, depth: int) -> JsonValue:
        """An object, or the members of a Python set."""
        pairs: JsonObject = {}
        members: list[JsonValue] = []
        while not self._is("}"):
            key = self._scalar()
            if self._is(":"):
                self._take()
                pairs[_key(key)] = self.value(depth=depth)
            else:
                members.append(key)
            self._comma_or("}")
        self._take()
        if pairs and members:
            raise Unreadable
        return members or pairs


def _key(key: JsonValue) -> str:
    return key if isinstance(key, str) else str(key)


def _bare(token: str) -> JsonValue:
    word = token.casefold()
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if len(token) <= MAX_DIGITS:
        if _INTEGER.fullmatch(token):
            return int(token)
        if _DECIMAL.fullmatch(token):
            number = float(token)
            return number if isfinite(number) else token
    return token


def unescaped(text: str) -> str:
    """Return the inside of a quoted text, with JSON's and Python's escapes resolved."""
    if "\\" not in text:
        return text
    filled = _ESCAPE.sub(_character, text)
    # JSON spells a character beyond 16 bits as two halves.
    return filled.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    if digits is None:
        return _LETTERS.get(match[4], match[0])
    number = int(digits, 16)
    return chr(number) if number <= 0x10FFFF else match[0]
