"""Shapes what we know of a conversation into the inputs that an app declares. Pure.

Dify checks inputs on each turn and refuses the whole message over one of them; a
chatflow of 1.13 to 1.15 even falls silent for it (reference/dify.md sections 2 and 7;
recordings inputs/*). So nothing is sent that would be refused, and whatever had to be
changed or is missing is noted for the admin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps, loads
from math import isfinite

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.payloads import InputField

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class ShapedInputs:
    """`inputs` as Dify takes them; `missing` ones it requires will make it refuse."""

    inputs: JsonObject
    notes: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A value fit for Dify; None leaves it out."""

    value: JsonValue
    note: str = ""


def shape_inputs(
    wanted: Mapping[str, JsonValue], *, fields: Sequence[InputField]
) -> ShapedInputs:
    """Return the declared ones of `wanted`, with the types and lengths declared.

    A required input without a value gets its default, or an empty text, which Dify
    takes (recording inputs/11), unlike null (inputs/10).
    """
    inputs: JsonObject = {}
    notes: list[str] = []
    missing: list[str] = []
    for declared in fields:
        shaped = _shape(declared, wanted.get(declared.variable))
        if shaped.note:
            notes.append(shaped.note)
        if shaped.value is None and declared.required:
            shaped = _substitute(declared)
            notes.append(shaped.note)
            if shaped.value is None:
                missing.append(declared.variable)
        if shaped.value is not None:
            inputs[declared.variable] = shaped.value
    return ShapedInputs(inputs=inputs, notes=tuple(notes), missing=tuple(missing))


def _shape(declared: InputField, value: JsonValue) -> _Shaped:
    shape = _SHAPERS.get(declared.kind)
    if value is None or shape is None:
        return _Shaped(None)
    return shape(declared, value)


def _substitute(declared: InputField) -> _Shaped:
    """Return what stands in for a required input that has no usable value."""
    name = declared.variable
    default = _shape(declared, declared.default)
    if default.value is not None and default.value != "":
        return _Shaped(
            default.value,
            f"input `{name}` is required by the app but has no value; its default "
            "was sent",
        )
    stand_in = _STAND_INS.get(declared.kind)
    how = "an empty one was sent" if stand_in is not None else "Dify will refuse it"
    return _Shaped(
        stand_in, f"input `{name}` is required by the app but has no value; {how}"
    )


def _text(declared: InputField, value: JsonValue) -> _Shaped:
    text = _as_text(value)
    limit = declared.max_length
    if limit is not None and len(text) > limit:
        return _Shaped(
            text[:limit],
            f"input `{declared.variable}` was cut to the {limit} characters that the "
            "app allows",
        )
    return _Shaped(text)


def _number(declared: InputField, value: JsonValue) -> _Shaped:
    number = value
    if isinstance(value, str):
        if not value.strip():
            return _Shaped(None)
        number = _parse_number(value)
    if isinstance(number, bool):
        number = int(number)
    if isinstance(number, int) or (isinstance(number, float) and isfinite(number)):
        return _Shaped(number)
    return _unfit(declared, "a number")


def _parse_number(value: str) -> JsonValue:
    try:
        return int(value)
    except ValueError:
        try:
            return float(value)
        except ValueError:
            return None


def _select(declared: InputField, value: JsonValue) -> _Shaped:
    text = _as_text(value).strip()
    if text in declared.options:
        return _Shaped(text)
    for option in declared.options:
        if option.strip().casefold() == text.casefold():
            return _Shaped(option)
    return _Shaped(None) if not text else _unfit(declared, "one of the app's options")


def _checkbox(declared: InputField, value: JsonValue) -> _Shaped:
    if isinstance(value, bool):
        return _Shaped(value)
    text = _as_text(value).strip().casefold()
    if text in _TRUE:
        return _Shaped(True)
    if text in _FALSE:
        return _Shaped(False)
    return _Shaped(None) if not text else _unfit(declared, "true or false")


def _json_object(declared: InputField, value: JsonValue) -> _Shaped:
    decoded = value
    if isinstance(value, str):
        if not value.strip():
            return _Shaped(None)
        try:
            decoded = loads(value)
        except (ValueError, RecursionError):
            decoded = None
    if isinstance(decoded, dict):
        return _Shaped(decoded)
    return _unfit(declared, "a JSON object")


def _file(declared: InputField, value: JsonValue) -> _Shaped:
    return _Shaped(value if _is_file(value) else None)


def _files(declared: InputField, value: JsonValue) -> _Shaped:
    files = value if isinstance(value, list) else []
    return _Shaped(files if files and all(map(_is_file, files)) else None)


def _is_file(value: JsonValue) -> bool:
    """Tell whether it names a file; nothing that an operator maps does."""
    return isinstance(value, dict) and "transfer_method" in value


def _unfit(declared: InputField, wanted: str) -> _Shaped:
    return _Shaped(
        None, f"input `{declared.variable}` was left out: its value is not {wanted}"
    )


def _as_text(value: JsonValue) -> str:
    """Return a readable text; Dify refuses anything else (recordings inputs/09, 17)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\x00", "")
    return dumps(value, ensure_ascii=False)


_SHAPERS: dict[str, Callable[[InputField, JsonValue], _Shaped]] = {
    "text-input": _text,
    "paragraph": _text,
    "number": _number,
    "select": _select,
    "checkbox": _checkbox,
    "json_object": _json_object,
    "file": _file,
    "file-list": _files,
}
# `number`: 1.x reads an empty text as null and lets it pass, while null itself is
# refused (core/app/apps/base_app_generator.py of 1.14).
_STAND_INS: dict[str, JsonValue] = {
    "text-input": "",
    "paragraph": "",
    "number": "",
    "checkbox": False,
    "json_object": {},
}
