"""Conversation variables: what is asked of Dify, and which values it would take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses import RequestsMock, matchers

from bridge_project.lib.types import JsonValue
from dify_api.connection import DifyConnection
from dify_api.failures import ConversationGone, DifyNotFound, DifyRejected
from dify_api.variables import Unfit, Variable, VariablesClient, fitted
from dify_api.versions import freezes_inputs, is_older, sets_variables

ROOT = "http://dify.test/v1/conversations/972dfa69/variables"


@pytest.fixture
def client() -> VariablesClient:
    return VariablesClient(DifyConnection(base_url="http://dify.test", api_key="app-1"))


def row(number: int, name: str, kind: str, value: str | None) -> dict[str, Any]:
    """As recordings variables/02 have it."""
    return {
        "id": f"var-{number}",
        "name": name,
        "value_type": kind,
        "value": value,
        "description": "",
        "created_at": 1795332493,
        "updated_at": 1795332492,
    }


def test_reads_all_pages(client: VariablesClient, wire: RequestsMock) -> None:
    first = {"limit": 100, "has_more": True, "data": [row(1, "turns", "number", "1")]}
    last = {"limit": 100, "has_more": False, "data": [row(2, "ctx", "object", None)]}
    asked: dict[str, Any] = {"user": "chatwoot-1", "limit": 100}
    match = matchers.query_param_matcher
    wire.get(ROOT, json=first, match=[match(asked)])
    wire.get(ROOT, json=last, match=[match({**asked, "last_id": "var-1"})])

    assert client.variables("972dfa69", user="chatwoot-1") == [
        Variable(id="var-1", name="turns", kind="number", shown="1"),
        Variable(id="var-2", name="ctx", kind="object", shown=None),
    ]


def test_sets_a_value_of_json(client: VariablesClient, wire: RequestsMock) -> None:
    wire.put(f"{ROOT}/var-3", json=row(3, "handoff", "boolean", "True"))

    client.set_variable("972dfa69", "var-3", value=True, user="chatwoot-1")

    (call,) = wire.calls
    assert json.loads(call.request.body or "") == {"value": True, "user": "chatwoot-1"}
    assert call.request.headers["Authorization"] == "Bearer app-1"


@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        # Recordings variables/07, 10 and 12.
        (
            400,
            "bad_request",
            "Type mismatch: variable 'turns' expects number, but got string type",
            DifyRejected,
        ),
        (404, "not_found", "Conversation Variable Not Exists.", DifyNotFound),
        (404, "not_found", "Conversation Not Exists. You have …", ConversationGone),
    ],
)
def test_tells_refusals_apart(
    client: VariablesClient,
    wire: RequestsMock,
    status: int,
    code: str,
    message: str,
    error: type[Exception],
) -> None:
    body = {"code": code, "message": message, "status": status}
    wire.put(f"{ROOT}/var-2", json=body, status=status)

    with pytest.raises(error) as caught:
        client.set_variable("972dfa69", "var-2", value="ten", user="chatwoot-1")

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("kind", "value", "fit"),
    [
        ("string", "de", "de"),
        ("string", 3, "3"),
        ("string", {"a": None}, '{"a": null}'),
        ("string", None, ""),
        ("number", "2.5", 2.5),
        ("number", True, 1),
        ("boolean", "yes", True),
        ("boolean", "0", False),
        ("object", '{"a": 1}', {"a": 1}),
        ("object", None, {}),
        ("array[string]", "vip, return", ["vip", "return"]),
        ("array[string]", ["vip", 3], ["vip", "3"]),
        ("array[string]", "", []),
        ("array[number]", "[1, 2]", [1, 2]),
        ("array[object]", [{"a": 1}], [{"a": 1}]),
        ("array[any]", [1, "x", None], [1, "x", None]),
    ],
)
def test_fits_values_to_types(kind: str, value: JsonValue, fit: JsonValue) -> None:
    found = fitted(value, kind=kind)

    assert found == fit
    assert type(found) is type(fit)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "ten"),
        ("number", None),
        ("boolean", "perhaps"),
        ("object", "x"),
        ("array[number]", "1, 2"),
        ("array[number]", ["x"]),
        ("file", "x"),
        ("array[file]", ["x"]),
        ("", "x"),
    ],
)
def test_tells_what_fits_no_type(kind: str, value: JsonValue) -> None:
    with pytest.raises(Unfit):
        fitted(value, kind=kind)


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "True"), ({"a": 1}, "{'a': 1}"), (["x"], "['x']")]
)
def test_knows_a_value_by_the_text_that_python_makes_of_it(
    value: JsonValue, shown: str
) -> None:
    assert Variable(id="1", name="x", kind="any", shown=shown).has(value)
    assert not Variable(id="1", name="x", kind="any", shown=None).has(value)


@pytest.mark.parametrize(
    ("version", "freezes", "sets"),
    [
        ("0.15.3", True, False),
        ("1.0.0", False, False),
        ("1.7.2", False, False),
        ("1.8.0", False, True),
        ("1.14.2", False, True),
        ("", False, True),
        ("main", False, True),
    ],
)
def test_reads_abilities_off_a_version(version: str, freezes: bool, sets: bool) -> None:
    assert (freezes_inputs(version), sets_variables(version)) == (freezes, sets)
    assert is_older("1.14.2", (1, 15))
