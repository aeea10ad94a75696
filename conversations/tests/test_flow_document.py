"""The generated document imports into Dify as a custom tool, with nothing lost."""

from __future__ import annotations

import json

import pytest
from django.conf import settings

from conversations.callbacks.document import flow_document
from conversations.tests.dify_tool_import import Json, imported, operations, problems

EXPECTED = {
    "send_message_simple",
    "update_labels",
    "update_custom_attributes",
    "set_priority",
    "assign_team",
    "set_status",
    "refresh_teams",
    "find_by_dify_id",
    "dialogue_info",
    "update_conversation",
    "get_conversation",
    "list_messages",
    "send_message",
    "start_conversation",
    "assign_agent",
    "unassign",
    "set_typing",
    "get_contact",
    "update_contact",
    "list_teams",
    "list_labels",
    "list_attribute_definitions",
}


@pytest.fixture
def document() -> Json:
    generated: Json = json.loads(json.dumps(flow_document()))
    return generated


def test_the_generated_document_imports(document: Json) -> None:
    assert problems(document) == []


def test_the_generated_document_has_the_operations(document: Json) -> None:
    tools = imported(document)
    assert {tool.name for tool in tools} == EXPECTED
    base = f"{settings.PUBLIC_URL}/api/v1/"
    assert all(tool.url.startswith(base) for tool in tools)


def test_no_field_of_the_generated_document_is_lost(document: Json) -> None:
    """What is declared for a request is what the model gets to fill in."""
    tools = {tool.name: tool for tool in imported(document)}
    for _path, _method, operation in operations(document):
        tool = tools[operation["operationId"]]
        for where in ("path", "query", "header"):
            declared = {
                one["name"]
                for one in operation.get("parameters", [])
                if one["in"] == where
            }
            assert tool.names(where) == declared, (tool.name, where)
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        body = document["components"]["schemas"][name] if name else schema
        assert tool.names("body") == set(body.get("properties", {})), tool.name


def test_only_what_a_request_cannot_do_without_is_required(document: Json) -> None:
    """A tool call without a required value fails before the bridge hears of it."""
    required = {
        (tool.name, one.name)
        for tool in imported(document)
        for one in tool.parameters
        if one.required and one.where != "path"
    }
    assert required == set()
