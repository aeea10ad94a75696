"""The API keeps what its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from conversations import callback_tokens, conversation_tokens
from conversations.callbacks.document import flow_document
from conversations.models import Bot, Callback, Conversation
from conversations.tests.sandbox_chatwoot import SandboxChatwoot

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def document() -> Any:
    return json.loads(json.dumps(flow_document()))


def test_the_document_is_valid(document: Any) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]


# --- For Dify (reference/dify.md section 8b; test_dify_tool_import has its rules) ----


def test_the_document_is_served_to_anybody_as_json(document: Any) -> None:
    response = Client().get("/api/v1/openapi.json")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == document


def test_it_is_openapi_3_0_3_at_an_absolute_address(
    settings: Settings, document: Any
) -> None:
    assert document["openapi"] == "3.0.3"
    [server] = document["servers"]
    assert server["url"] == settings.PUBLIC_URL
    assert server["url"].startswith("http")
    assert not server["url"].endswith("/")


def test_it_has_what_flows_may_call_and_no_more(document: Any) -> None:
    operations = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert operations == {
        "assign_agent",
        "assign_team",
        "dialogue_info",
        "find_by_dify_id",
        "get_contact",
        "get_conversation",
        "list_attribute_definitions",
        "list_labels",
        "list_messages",
        "list_teams",
        "refresh_teams",
        "send_message",
        "send_message_simple",
        "set_priority",
        "set_status",
        "set_typing",
        "start_conversation",
        "unassign",
        "update_contact",
        "update_conversation",
        "update_custom_attributes",
        "update_labels",
    }
    assert all(path.startswith("/api/v1/") for path in document["paths"])


def test_each_operation_has_an_example_of_its_answer(document: Any) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            answer = operation["responses"]["200"]["content"]["application/json"]
            assert answer["examples"], operation["operationId"]


# --- For people ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/schema", "/api/schema/"])
def test_the_whole_document(path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 200
    assert b"openapi: 3.0.3" in response.content


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/", "/api/redoc/"])
def test_the_pages_load_nothing_from_elsewhere(path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 200
    text = response.content.decode()
    assert "https://" not in text
    assert "http://" not in text
    assert "<script>" not in text
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "https:" not in policy
    # Beside a hash, browsers do not count 'unsafe-inline', and ReDoc stays empty.
    [styles] = [
        part for part in policy.split("; ") if part.startswith("style-src-elem")
    ]
    assert styles == "style-src-elem 'self' 'unsafe-inline'"


# --- What it says is so --------------------------------------------------------------


OPERATIONS = sorted(
    operation["operationId"]
    for path in json.loads(json.dumps(flow_document()))["paths"].values()
    for operation in path.values()
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_server_error_and_no_undocumented_status(
    name: str, document: Any, live_server: LiveServer, sandbox: SandboxChatwoot
) -> None:
    """With a token that is good, one that is not, and none."""
    bot: Bot = sandbox.bot(unknown_names="create")
    conversation: Conversation = sandbox.known_conversation(bot)
    # A conversation token may not start another conversation.
    good = conversation_tokens.make(conversation, bot=bot, turn=None)
    if name == "start_conversation":
        good = callback_tokens.make(bot, by="test")
    operation = from_dict(document).find_operation_by_id(name)
    credentials: list[dict[str, str]] = [
        {"Authorization": f"Bearer {good}"},
        {"X-Bridge-Token": "x"},
        {},
    ]

    @given(case=operation.as_strategy())
    @hypothesis_settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def keeps_its_word(case: Any) -> None:
        # Random numbers would lead nowhere; those have tests of their own.
        for place in (case.path_parameters, case.query):
            if place and "conversation_id" in place:
                place["conversation_id"] = "current"
        for headers in credentials:
            case.headers = {}
            case.call_and_validate(
                base_url=live_server.url, headers=headers, checks=CHECKS, timeout=30
            )

    keeps_its_word()
    reached = Callback.objects.filter(operation=name, http_status=200)
    assert reached.exists(), "no request got as far as the operation"
