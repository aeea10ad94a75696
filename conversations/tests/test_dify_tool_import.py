"""The checker of tool documents finds each mistake that Dify would not forgive.

Small documents with one mistake each; the generated one is tested in
test_flow_document.py.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from conversations.tests.dify_tool_import import (
    ImportRefused,
    Json,
    Tool,
    ToolParameter,
    imported,
    problems,
)

GOOD: Json = {
    "openapi": "3.0.3",
    "info": {"title": "Bridge", "version": "1"},
    "servers": [{"url": "https://bridge.example"}],
    "paths": {
        "/api/v1/toggle-status/{conversation_id}": {
            "post": {
                "operationId": "set_status",
                "description": "Sets the status.",
                "parameters": [
                    {
                        "name": "conversation_id",
                        "in": "path",
                        "required": True,
                        "description": "The number, or current.",
                        "schema": {"type": "string"},
                    },
                    {"$ref": "#/components/parameters/Limit"},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Status"}
                        }
                    }
                },
                "responses": {"200": {"description": "Done."}},
            }
        }
    },
    "components": {
        "parameters": {
            "Limit": {
                "name": "limit",
                "in": "query",
                "description": "At most so many.",
                "schema": {"type": "integer", "default": 20},
            }
        },
        "schemas": {
            "Status": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {
                        "type": "string",
                        "enum": ["open", "pending"],
                        "description": "open or pending",
                    },
                    "loud": {"type": "boolean", "description": "Tell the customer."},
                },
            }
        },
    },
}
PATH = "/api/v1/toggle-status/{conversation_id}"
OPERATION = ("paths", PATH, "post")
STATUS = ("components", "schemas", "Status")
FIRST = (*OPERATION, "parameters", 0)
REMOVED: Any = object()


def changed(*changes: tuple[tuple[str | int, ...], Any]) -> Json:
    """Return a copy of GOOD with values replaced or removed."""
    document: Json = copy.deepcopy(GOOD)
    for path, value in changes:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if value is REMOVED:
            del place[path[-1]]
        else:
            place[path[-1]] = copy.deepcopy(value)
    return document


def test_a_good_document_has_no_problems() -> None:
    assert problems(GOOD) == []


def test_what_dify_makes_of_a_document() -> None:
    assert imported(GOOD) == [
        Tool(
            name="set_status",
            method="post",
            url=f"https://bridge.example{PATH}",
            description="Sets the status.",
            parameters=[
                ToolParameter(
                    "conversation_id",
                    "string",
                    True,
                    "path",
                    "The number, or current.",
                ),
                ToolParameter("limit", "number", False, "query", "At most so many."),
                ToolParameter("status", "string", True, "body", "open or pending"),
                ToolParameter("loud", "boolean", False, "body", "Tell the customer."),
            ],
        )
    ]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("info",), REMOVED, "info is missing"),
        (("servers",), REMOVED, "servers is missing or empty"),
        (("servers",), [], "servers is missing or empty"),
        ((*FIRST, "schema", "type"), ["string", "null"], "unhashable type: 'list'"),
        (
            (*STATUS, "properties", "loud", "type"),
            ["boolean", "null"],
            "unhashable type: 'list'",
        ),
        ((*FIRST, "description"), None, "a description is null"),
        ((*OPERATION, "operationId"), None, "operationId is null"),
        (STATUS, REMOVED, "leads nowhere"),
    ],
)
def test_what_dify_refuses(
    path: tuple[str | int, ...], value: Any, reason: str
) -> None:
    document = changed((path, value))
    with pytest.raises(ImportRefused, match=reason):
        imported(document)
    [problem] = problems(document)
    assert reason in problem


BODY = (*OPERATION, "requestBody")
JSON_BODY = (*BODY, "content", "application/json")
PROPERTY = (*STATUS, "properties", "loud")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("openapi",), "3.1.0", "openapi: is not 3.0.x."),
        (("servers", 0, "url"), "/", "the address is not absolute"),
        (("servers", 0, "url"), "https://bridge.example/", "ends with a slash"),
        (("servers", 0, "url"), "https://{host}", "variables are not filled in"),
        (("paths", PATH, "parameters"), [], "parameters of the path are ignored"),
        (("paths", PATH, "$ref"), "#/x", "a reference to a path is ignored"),
        ((*OPERATION, "operationId"), REMOVED, "operationId is missing"),
        ((*OPERATION, "operationId"), "set status", "operationId has other char"),
        ((*OPERATION, "operationId"), "s" * 65, "or is too long"),
        ((*OPERATION, "description"), REMOVED, "set_status: description is missing"),
        ((*OPERATION, "description"), "", "set_status: description is missing"),
        ((*FIRST, "description"), REMOVED, "conversation_id: description is missing"),
        ((*FIRST, "schema", "type"), "integer", "an empty number in a path"),
        ((*FIRST, "schema", "$ref"), "#/x", "a reference becomes a string"),
        ((*FIRST, "content"), {}, "content instead of a schema becomes a string"),
        ((*FIRST, "required"), False, "a part of the path has to be required"),
        ((*FIRST, "name"), "id", "conversation_id: stands in the path but is not"),
        ((*FIRST, "name"), "id", "id: is declared but does not stand in the path"),
        ((*FIRST, "name"), "limit", "limit: declared 2 times"),
        ((*FIRST, "name"), "status", "stands in the body and in path, query or"),
        (BODY, {"$ref": "#/x"}, "a reference is ignored, the body is lost"),
        (
            (*BODY, "content", "multipart/form-data"),
            {"schema": {"$ref": "#/components/schemas/Status"}},
            "application/json and nothing else",
        ),
        ((*JSON_BODY, "schema"), {"type": "array"}, "is no flat object"),
        ((*JSON_BODY, "schema"), {"allOf": []}, "is no flat object"),
        ((*PROPERTY, "type"), "array", "shown to models without its items"),
        ((*PROPERTY, "type"), "object", "of type object, which becomes a string"),
        ((*PROPERTY, "type"), REMOVED, "of type None, which becomes a string"),
        ((*PROPERTY, "type"), "integer", "a number in a body fails when it is left"),
        ((*PROPERTY, "$ref"), "#/x", "a reference becomes a string"),
        ((*PROPERTY, "anyOf"), [], "anyOf, oneOf and allOf become a string"),
        ((*PROPERTY, "nullable"), True, "nullable is ignored"),
        ((*PROPERTY, "default"), ["a"], "such a default is dropped"),
        ((*PROPERTY, "description"), "", "loud: description is missing"),
        (
            (*STATUS, "properties", "status", "description"),
            "the status",
            "the allowed open is not in the description",
        ),
    ],
)
def test_what_dify_would_lose(
    path: tuple[str | int, ...], value: Any, problem: str
) -> None:
    found = problems(changed((path, value)))
    assert any(problem in one for one in found), found


def test_an_operation_that_cannot_be_called() -> None:
    document = changed((("paths", PATH), {"options": {**GOOD["paths"][PATH]["post"]}}))
    assert problems(document) == ["set_status: options cannot be called."]


def test_two_operations_of_one_name() -> None:
    document = changed((("paths", PATH, "put"), GOOD["paths"][PATH]["post"]))
    assert problems(document) == ["set_status: used 2 times as operationId."]


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        (99, None),
        (100, "paths: 100 operations; there have to be fewer than 100."),
        (101, "Dify refuses it: 101 operations, more than 100."),
    ],
)
def test_too_many_operations(count: int, problem: str | None) -> None:
    operation = {"operationId": "x", "description": "x"}
    paths = {
        f"/{number}": {"get": {**operation, "operationId": f"x{number}"}}
        for number in range(count)
    }
    assert problems({**GOOD, "paths": paths}) == ([problem] if problem else [])
