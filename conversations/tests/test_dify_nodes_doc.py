"""The nodes that docs/dify-nodes.md tells authors to copy are operations of the API."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from conversations.callbacks.document import flow_document
from conversations.tests.dify_tool_import import Json, operations

TEXT = (Path(settings.BASE_DIR) / "docs" / "dify-nodes.md").read_text()
BASE = "{{#start.bridge_api_url#}}"
BLOCKS = re.findall(r"^```http\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
# An operation whose body may be the attributes themselves.
BARE = "update_custom_attributes"


@pytest.fixture(scope="module")
def document() -> Json:
    generated: Json = json.loads(json.dumps(flow_document()))
    return generated


def _parts(block: str) -> tuple[str, str, set[str], list[str], str]:
    """Return method, path, the names in the query, headers and body."""
    head, _, body = block.partition("\n\n")
    first, *headers = head.splitlines()
    method, _, url = first.partition(" ")
    assert url.startswith(f"{BASE}/"), url
    path, _, query = url.removeprefix(BASE).partition("?")
    names = {pair.partition("=")[0] for pair in query.split("&") if pair}
    return method.lower(), path, names, headers, body.strip()


def _operation(document: Json, method: str, path: str) -> Json:
    path = path.replace("{{#sys.conversation_id#}}", "{dify_id}")
    path = re.sub(r"/current\b", "/{conversation_id}", path)
    found: Json = document["paths"][f"/api/v1{path}"][method]
    return found


def _fields(document: Json, operation: Json) -> set[str]:
    if "requestBody" not in operation:
        return set()
    schema: Any = operation["requestBody"]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    return set(document["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0])
def test_a_node_is_an_operation(document: Json, block: str) -> None:
    method, path, query, headers, body = _parts(block)
    operation = _operation(document, method, path)
    tokens = ("{{#start.conversation_token#}}", "{{#env.bridge_token#}}")
    assert headers in [[f"Authorization: Bearer {token}"] for token in tokens]
    assert query <= {
        one["name"] for one in operation.get("parameters", []) if one["in"] == "query"
    }
    if operation["operationId"] != BARE:
        sent = set(json.loads(body)) if body else set()
        assert sent <= _fields(document, operation)


def test_each_operation_has_its_node(document: Json) -> None:
    shown = set()
    for block in BLOCKS:
        method, path, *_ = _parts(block)
        shown.add(_operation(document, method, path)["operationId"])
    assert shown == {one["operationId"] for _, _, one in operations(document)}


def test_the_fields_of_the_great_operations_are_all_told(document: Json) -> None:
    for method, path in (
        ("patch", "/conversations/current"),
        ("post", "/conversations/current/messages"),
        ("patch", "/conversations/current/contact"),
        ("post", "/conversations"),
    ):
        for name in _fields(document, _operation(document, method, path)):
            assert re.search(rf'[`"]{name}[`"]', TEXT), (path, name)


def test_code_that_authors_copy_runs() -> None:
    snippets = re.findall(r"^```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
    reads, writes = snippets
    scope: dict[str, Any] = {}
    exec(reads, scope)  # noqa: S102 - our own file
    refused = '{"status": "error", "code": "unknown_team", "message": "No."}'
    assert scope["main"](200, '{"status": "success"}') == {
        "ok": "yes",
        "code": "",
        "message": "HTTP 200",
    }
    assert scope["main"](200, refused) == {
        "ok": "no",
        "code": "unknown_team",
        "message": "No.",
    }
    assert scope["main"](401, "")["message"] == "HTTP 401"
    exec(writes, scope)  # noqa: S102 - our own file
    evil = 'hi", "status": "resolved'
    assert json.loads(scope["main"](evil)["json"]) == {
        "note": f"The customer wrote: {evil}"
    }


def test_links_inside_the_document_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9_ -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))
    assert links <= headings, links - headings
