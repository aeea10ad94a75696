"""Conversation variables of chatflows: read, fitted to their types, set.

Reference: reference/dify.md section 4, checked against recordings of 1.12.1 and 1.14.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from json import loads
from urllib.parse import quote

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.client import DifyClient
from dify_api.inputs import shape_inputs
from dify_api.payloads import InputField
from dify_api.reading import as_object, objects, required_text, text

# Dify's largest page; more variables than in some pages are no flow that a person made.
PAGE = 100
MAX_PAGES = 5
# The customer waits: each call is short, or left out.
TIMEOUT_S = (3.0, 8.0)
# The kinds of input whose values are like those of a variable.
_FIELDS = {
    kind: InputField(variable="value", label="", kind=like)
    for kind, like in {
        "string": "paragraph",
        "number": "number",
        "integer": "number",
        "float": "number",
        "boolean": "checkbox",
        "object": "json_object",
    }.items()
}
_EMPTY: JsonObject = {"string": "", "object": {}}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of one conversation; `shown` is its value as Python's `str` has it."""

    id: str
    name: str
    kind: str
    shown: str | None

    def has(self, value: JsonValue) -> bool:
        """Tell whether it has this value already, as far as its text says."""
        return self.shown == str(value)


class VariablesClient(DifyClient):
    """Reads and sets the variables of a chatflow's conversations."""

    def variables(self, conversation_id: str, *, user: str) -> list[Variable]:
        """Return all of them; before the first run there is no conversation."""
        path = f"/conversations/{quote(conversation_id, safe='')}/variables"
        found: list[Variable] = []
        for _page in range(MAX_PAGES):
            params: dict[str, str | int] = {"user": user, "limit": PAGE}
            if found:
                params["last_id"] = found[-1].id
            answer = self.request_json(
                "GET",
                path,
                headers=self._headers(),
                params=params,
                repeat_safe=True,
                timeout_s=TIMEOUT_S,
            )
            body = as_object(answer, name="variables")
            page = [_variable(item) for item in objects(body.get("data"))]
            found += page
            if not page or body.get("has_more") is not True:
                break
        return found

    def set_variable(
        self,
        conversation_id: str,
        variable_id: str,
        *,
        value: JsonValue,
        user: str,
    ) -> None:
        """Set one; the value must be of the variable's own type."""
        conversation, variable = quote(conversation_id, safe=""), quote(variable_id)
        self.send(
            "PUT",
            f"/conversations/{conversation}/variables/{variable}",
            headers=self._headers(),
            json={"value": value, "user": user},
            repeat_safe=True,
            timeout_s=TIMEOUT_S,
        )


def _variable(data: JsonObject) -> Variable:
    shown = data.get("value")
    return Variable(
        id=required_text(data, "id"),
        name=required_text(data, "name"),
        kind=text(data, "value_type"),
        shown=shown if isinstance(shown, str) else None,
    )


# --- Types ----------------------------------------------------------------------------


class Unfit(ValueError):
    """A value that the variable cannot take."""


def fitted(value: JsonValue, *, kind: str) -> JsonValue:
    """Return the value with the variable's type, empty for none. Raises Unfit.

    Dify refuses all others, null among them (recordings variables/07, 08 and 14).
    """
    is_list = kind.startswith("array[")
    if value in (None, "") and (is_list or kind in _EMPTY):
        return _EMPTY.get(kind, [])
    if is_list:
        return _list(value, item=kind.removeprefix("array[").removesuffix("]"))
    field = _FIELDS.get(kind)
    shaped = shape_inputs({field.variable: value}, fields=[field]) if field else None
    if field is None or shaped is None or field.variable not in shaped.inputs:
        raise Unfit(kind)
    return shaped.inputs[field.variable]


def _list(value: JsonValue, *, item: str) -> JsonValue:
    """A text that is no JSON, such as the labels, is a list with commas."""
    decoded = _decoded(value)
    if isinstance(decoded, str) and item in ("string", "any"):
        decoded = [part.strip() for part in decoded.split(",") if part.strip()]
    if not isinstance(decoded, list):
        raise Unfit(str(value))
    return list(decoded) if item == "any" else [fitted(x, kind=item) for x in decoded]


def _decoded(value: JsonValue) -> JsonValue:
    if not isinstance(value, str):
        return value
    try:
        found: JsonValue = loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list | dict) else value
