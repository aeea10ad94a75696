"""Checks the inputs of a run against the app's form, with Dify's texts."""

from __future__ import annotations

from sandbox.dify.errors import invalid_param
from sandbox.json_types import Json

_TEXT_KINDS = ("text-input", "paragraph", "select")


def checked_inputs(fields: list[Json], given: Json) -> Json:
    """Declared inputs only, null where nothing came; DifyError 400 otherwise.

    Source: core/app/apps/base_app_generator.py of 1.12.1/1.14.2 and recordings
    ``inputs/08`` to ``inputs/21``. All failures are pre-run errors.
    """
    return {
        field["variable"]: _checked(field, value=given.get(field["variable"]))
        for field in fields
    }


def _checked(field: Json, *, value: object) -> object:
    name, kind = field["variable"], field["type"]
    if value is None:
        if field.get("required"):
            raise invalid_param(f"{name} is required in input form", pre_run=True)
        return None
    if kind in _TEXT_KINDS:
        return _text(field, value=value)
    if kind == "number":
        return _number(name, value=value)
    if kind == "checkbox":
        return _checkbox(name, value=value)
    return value


def _text(field: Json, *, value: object) -> str:
    name, kind = field["variable"], field["type"]
    if not isinstance(value, str):
        text = f"(type '{kind}') {name} in input form must be a string"
        raise invalid_param(text, pre_run=True)
    value = value.replace("\x00", "")
    limit = field.get("max_length")
    if kind == "select":
        options = field["options"]
        if value and value not in options:
            text = f"{name} in input form must be one of the following: {options}"
            raise invalid_param(text, pre_run=True)
    elif limit and len(value) > limit:
        text = f"{name} in input form must be less than {limit} characters"
        raise invalid_param(text, pre_run=True)
    return value


def _number(name: str, *, value: object) -> int | float | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    text = str(value).strip()
    if not text:
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        message = f"{name} in input form must be a valid number"
        raise invalid_param(message, pre_run=True) from None


def _checkbox(name: str, *, value: object) -> bool:
    if value in (True, "true", 1):
        return True
    if value in (False, "false", 0):
        return False
    raise invalid_param(
        f"{name} in input form must be a valid boolean value", pre_run=True
    )
