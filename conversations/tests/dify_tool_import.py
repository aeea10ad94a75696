"""Dify's import of an OpenAPI document as a custom tool, and what it would lose.

The rules are those measured on Dify's parser (core/tools/utils/parser.py of 1.14), and
of 0.15 and 1.12 where those are stricter: they knew no arrays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

MAX_OPERATIONS = 100
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
# What cannot be called although it is imported.
_DEAD_METHODS = ("options", "trace")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TYPES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "array": "array",
}
_UNIONS = ("anyOf", "oneOf", "allOf")


class ImportRefused(Exception):
    """Dify answers “invalid schema, please check the url you provided”."""


@dataclass(frozen=True)
class ToolParameter:
    """What the model, or the author of a Tool node, gets to fill in."""

    name: str
    type: str
    required: bool
    where: str
    description: str = ""


@dataclass(frozen=True)
class Tool:
    """One operation as Dify keeps it."""

    name: str
    method: str
    url: str
    description: str
    parameters: list[ToolParameter] = field(default_factory=list)

    def names(self, where: str) -> set[str]:
        return {one.name for one in self.parameters if one.where == where}


def imported(document: Json) -> list[Tool]:
    """Return the tools that Dify makes of the document; raises ImportRefused."""
    if "info" not in document:
        raise ImportRefused("info is missing")
    if not document.get("servers"):
        raise ImportRefused("servers is missing or empty")
    base = document["servers"][0]["url"]
    tools = [
        _tool(document, method=method, path=path, base=base, operation=operation)
        for path, method, operation in operations(document)
    ]
    if len(tools) > MAX_OPERATIONS:
        raise ImportRefused(f"{len(tools)} operations, more than {MAX_OPERATIONS}")
    return tools


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _tool(
    document: Json, *, method: str, path: str, base: str, operation: Json
) -> Tool:
    name = operation.get(
        "operationId", f"{re.sub(r'[^a-zA-Z0-9_-]', '', path)}_{method}"
    )
    if name is None:
        raise ImportRefused(f"{method} {path}: operationId is null")
    parameters = [
        _parameter(_resolved(document, declared))
        for declared in operation.get("parameters", [])
    ]
    for body in operation.get("requestBody", {}).get("content", {}).values():
        parameters += _body_parameters(document, body.get("schema", {}))
    return Tool(
        name=name,
        method=method,
        url=base + path,
        description=operation.get("description") or operation.get("summary") or "",
        parameters=parameters,
    )


def _parameter(declared: Json) -> ToolParameter:
    return ToolParameter(
        name=declared["name"],
        type=_type(declared.get("schema", {})),
        required=declared.get("required", False),
        where=declared["in"],
        description=_description(declared),
    )


def _body_parameters(document: Json, schema: Json) -> list[ToolParameter]:
    schema = _resolved(document, schema)
    required = schema.get("required", [])
    return [
        ToolParameter(
            name=name,
            type=_type(declared),
            required=name in required,
            where="body",
            description=_description(declared),
        )
        for name, declared in schema.get("properties", {}).items()
    ]


def _type(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        raise ImportRefused("unhashable type: 'list'")
    return _TYPES.get(str(kind), "string")


def _description(declared: Json) -> str:
    if declared.get("description", "") is None:
        raise ImportRefused("a description is null")
    return str(declared.get("description", ""))


def _resolved(document: Json, schema: Json) -> Json:
    """Follow one reference, as Dify does."""
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        if step not in found:
            raise ImportRefused(f"{schema['$ref']} leads nowhere")
        found = found[step]
    resolved: Json = found
    return resolved


def problems(document: Json) -> list[str]:
    """Return why the document does not import, or what Dify would lose of it."""
    try:
        tools = imported(document)
    except ImportRefused as err:
        return [f"Dify refuses it: {err}."]
    found = [*_about_document(document, count=len(tools))]
    found += [
        f"{name}: used {count} times as operationId."
        for name, count in Counter(tool.name for tool in tools).items()
        if count > 1
    ]
    for path, method, operation in operations(document):
        where = operation.get("operationId") or f"{method} {path}"
        found += [
            f"{where}: {text}"
            for text in _about_operation(document, path, method, operation)
        ]
    return found


def _about_document(document: Json, *, count: int) -> Iterator[str]:
    if not str(document.get("openapi", "")).startswith("3.0."):
        yield "openapi: is not 3.0.x."
    url = document["servers"][0]["url"]
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        yield "servers: the address is not absolute."
    if url.endswith("/"):
        yield "servers: the address ends with a slash."
    if "{" in url:
        yield "servers: variables are not filled in."
    if count >= MAX_OPERATIONS:
        yield f"paths: {count} operations; there have to be fewer than 100."
    for path, item in document.get("paths", {}).items():
        if "parameters" in item:
            yield f"{path}: parameters of the path are ignored."
        if "$ref" in item:
            yield f"{path}: a reference to a path is ignored."


def _about_operation(
    document: Json, path: str, method: str, operation: Json
) -> Iterator[str]:
    if method in _DEAD_METHODS:
        yield f"{method} cannot be called."
    if "operationId" not in operation:
        yield "operationId is missing."
    elif not _NAME.fullmatch(operation["operationId"]):
        yield "operationId has other characters, or is too long."
    if not operation.get("description"):
        yield "description is missing."
    declared = [_resolved(document, one) for one in operation.get("parameters", [])]
    for one in declared:
        yield from _about_parameter(one)
    yield from _about_path(path, declared)
    names = [one["name"] for one in declared]
    if "requestBody" in operation:
        yield from _about_body(document, operation["requestBody"], taken=names)
    yield from (
        f"{name}: declared {count} times."
        for name, count in Counter(names).items()
        if count > 1
    )


def _about_parameter(declared: Json) -> Iterator[str]:
    name = declared["name"]
    if "content" in declared:
        yield f"{name}: content instead of a schema becomes a string."
        return
    schema = declared.get("schema", {})
    yield from _about_schema(name, schema, described=declared)
    if declared["in"] == "path" and schema.get("type") in ("integer", "number"):
        yield f"{name}: an empty number in a path becomes None; make it a string."


def _about_path(path: str, declared: list[Json]) -> Iterator[str]:
    wanted = set(_PLACEHOLDER.findall(path))
    given = {one["name"] for one in declared if one["in"] == "path"}
    for name in sorted(wanted - given):
        yield f"{name}: stands in the path but is not declared."
    for name in sorted(given - wanted):
        yield f"{name}: is declared but does not stand in the path."
    for one in declared:
        if one["in"] == "path" and not one.get("required"):
            yield f"{one['name']}: a part of the path has to be required."


def _about_body(document: Json, body: Json, *, taken: list[str]) -> Iterator[str]:
    if "$ref" in body:
        yield "requestBody: a reference is ignored, the body is lost."
        return
    if list(body.get("content", {})) != ["application/json"]:
        yield "requestBody: has to be application/json and nothing else."
    for content in body.get("content", {}).values():
        schema = _resolved(document, content.get("schema", {}))
        if schema.get("type") != "object" or not schema.get("properties"):
            yield "requestBody: is no flat object, so it has no parameters."
            continue
        for name, declared in schema["properties"].items():
            yield from _about_schema(name, declared, described=declared)
            if declared.get("type") in ("integer", "number"):
                yield f"{name}: a number in a body fails when it is left empty."
            if name in taken:
                yield f"{name}: stands in the body and in path, query or headers."


def _about_schema(name: str, schema: Json, *, described: Json) -> Iterator[str]:
    """The schema of one parameter or property; `described` has its description."""
    if "$ref" in schema:
        yield f"{name}: a reference becomes a string."
    if any(union in schema for union in _UNIONS):
        yield f"{name}: anyOf, oneOf and allOf become a string."
    if "nullable" in schema:
        yield f"{name}: nullable is ignored."
    if schema.get("type") not in _TYPES and "$ref" not in schema:
        yield f"{name}: of type {schema.get('type')}, which becomes a string."
    if schema.get("type") == "array":
        yield f"{name}: an array is shown to models without its items."
    if isinstance(schema.get("default"), (list, dict)):
        yield f"{name}: such a default is dropped."
    description = described.get("description")
    if not description:
        yield f"{name}: description is missing."
    for value in schema.get("enum", []):
        if str(value) not in str(description):
            yield f"{name}: the allowed {value} is not in the description."
