"""Each call, byte by byte as Dify wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from responses import RequestsMock

from bridge_project.lib.errors import ConfigurationError
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.failures import (
    ConversationGone,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnexpectedReply,
)
from dify_api.payloads import InputFile
from dify_api.tests import recorded
from dify_api.tests.scripted import Exchange, ScriptedServer, answer

API = "http://dify.test/v1"
GONE = {"code": "not_found", "message": "Conversation Not Exists.", "status": 404}
CHAT = recorded.stream("composed/chat_stream")


def client(mode: str = "advanced-chat", **own: Any) -> DifyClient:
    return DifyClient(DifyConnection(API, "app-test-key", mode=mode, **own))


def stream(wire: RequestsMock, path: str, data: bytes) -> None:
    wire.post(API + path, body=data, content_type="text/event-stream; charset=utf-8")


def sent(wire: RequestsMock) -> Any:
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == "Bearer app-test-key"
    body = call.request.body
    assert body is not None
    assert call.request.headers["Content-Type"] == "application/json"
    return json.loads(body)


@pytest.mark.parametrize(
    ("base_url", "api_url"),
    [
        ("https://api.dify.ai/v1", "https://api.dify.ai/v1"),
        ("https://api.dify.ai/v1/", "https://api.dify.ai/v1"),
        ("https://api.dify.ai", "https://api.dify.ai/v1"),
        ("http://host:8080/dify/", "http://host:8080/dify/v1"),
    ],
)
def test_address_is_taken_with_or_without_v1(base_url: str, api_url: str) -> None:
    assert DifyConnection(base_url, "k").api_url == api_url


def test_key_is_not_printed() -> None:
    assert "app-secret" not in repr(DifyConnection(API, "app-secret"))


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "agent", "advanced-chat"])
def test_first_turn_of_a_chat(wire: RequestsMock, mode: str) -> None:
    stream(wire, "/chat-messages", CHAT)

    client(mode).run(query="Hi", inputs={"a": 1}, user="u1", trace_id="t-1")

    assert sent(wire) == {
        "query": "Hi",
        "inputs": {"a": 1},
        "user": "u1",
        "response_mode": "streaming",
        "auto_generate_name": False,
    }
    headers = wire.calls[0].request.headers
    assert headers["X-Trace-Id"] == "t-1"
    assert headers["Accept-Encoding"] == "identity"


def test_later_turn_with_files(wire: RequestsMock) -> None:
    stream(wire, "/chat-messages", CHAT)
    file = InputFile(kind="image", upload_file_id="f1")

    client().run(query="See", inputs={}, user="u1", conversation_id="c1", files=[file])

    body = sent(wire)
    assert body["conversation_id"] == "c1"
    assert body["inputs"] == {}
    assert body["files"] == [file.to_json()]
    assert "X-Trace-Id" not in wire.calls[0].request.headers


def test_workflow_takes_inputs_only(wire: RequestsMock) -> None:
    stream(wire, "/workflows/run", recorded.stream("composed/workflow_stream"))

    reply = client("workflow", answer_output="label").run(
        query="", inputs={"text": "Hi"}, user="u1", conversation_id="ignored"
    )

    assert sent(wire) == {
        "inputs": {"text": "Hi"},
        "user": "u1",
        "response_mode": "streaming",
    }
    assert reply.answer == "refund"
    assert reply.outputs == {"label": "refund"}


@pytest.mark.parametrize(("inputs", "query"), [({"query": "Hi"}, None), ({}, "Hi")])
def test_completion_takes_the_text_as_input_if_it_can(
    wire: RequestsMock, inputs: dict[str, Any], query: str | None
) -> None:
    stream(wire, "/completion-messages", CHAT)

    client("completion").run(query="Hi", inputs=inputs, user="u1")

    body = sent(wire)
    assert body["inputs"] == inputs
    assert body.get("query") == query
    assert "auto_generate_name" not in body


@pytest.mark.parametrize(("query", "user"), [("", "u1"), (" \n", "u1"), ("Hi", "")])
def test_what_dify_would_refuse_is_not_sent(
    wire: RequestsMock, query: str, user: str
) -> None:
    with pytest.raises(ValueError, match="Dify"):
        client().run(query=query, inputs={}, user=user)

    assert len(wire.calls) == 0


@pytest.mark.parametrize("mode", ["", "rag-pipeline"])
def test_app_of_unknown_kind_is_not_run(wire: RequestsMock, mode: str) -> None:
    with pytest.raises(ConfigurationError, match="Read from Dify"):
        client(mode).run(query="Hi", inputs={}, user="u1")

    assert len(wire.calls) == 0


def test_vanished_conversation_is_told_apart_from_a_wrong_address(
    wire: RequestsMock,
) -> None:
    url = f"{API}/chat-messages"
    wire.post(url, json=GONE, status=404)
    wire.post(url, body="<!doctype html>", content_type="text/html", status=404)

    for code in (ConversationGone.code, "wrong_address"):
        with pytest.raises(DifyNotFound) as caught:
            client().run(query="Hi", inputs={}, user="u", conversation_id="c")
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("mode", "path"),
    [
        ("chat", "/chat-messages/t1/stop"),
        ("agent", "/chat-messages/t1/stop"),
        ("workflow", "/workflows/tasks/t1/stop"),
        ("completion", "/completion-messages/t1/stop"),
    ],
)
def test_stop(wire: RequestsMock, mode: str, path: str) -> None:
    wire.post(API + path, json={"result": "success"})

    client(mode).stop("t1", user="u1")

    assert sent(wire) == {"user": "u1"}


def test_ids_cannot_leave_their_path(wire: RequestsMock) -> None:
    wire.post(f"{API}/chat-messages/..%2Fx%3Fy/stop", json={"result": "success"})

    client().stop("../x?y", user="u1")

    assert len(wire.calls) == 1


def test_conversation_exists(wire: RequestsMock) -> None:
    query = {"conversation_id": "c1", "user": "u1", "limit": "1"}
    wire.get(
        f"{API}/messages",
        match=[responses.matchers.query_param_matcher(query)],
        json=recorded.body("1.14.2/conversations/10_messages"),
    )

    assert client().conversation_exists("c1", user="u1") is True


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, GONE),
        (400, {"code": "invalid_param", "message": "c1 is not a valid uuid."}),
    ],
)
def test_conversation_does_not_exist(
    wire: RequestsMock, status: int, body: dict[str, Any]
) -> None:
    wire.get(f"{API}/messages", json=body, status=status)

    assert client().conversation_exists("c1", user="u1") is False


def test_refused_key_does_not_pass_for_a_missing_conversation(
    wire: RequestsMock,
) -> None:
    body = {"code": "unauthorized", "message": "Access token is invalid"}
    wire.get(f"{API}/messages", json=body, status=401)

    with pytest.raises(DifyUnauthorized):
        client().conversation_exists("c1", user="u1")


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, '{"result": "success"}'), (204, ""), (202, "accepted")],
)
def test_deleting_takes_any_success(wire: RequestsMock, status: int, body: str) -> None:
    """0.15 answers 200, 1.x 204 (recordings conversations/20)."""
    wire.delete(f"{API}/conversations/c1", body=body, status=status)

    assert client().delete_conversation("c1", user="u1") is True
    assert sent(wire) == {"user": "u1"}


def test_body_of_a_204_does_not_spoil_the_next_call(
    serve: Callable[[Callable[[Exchange], None]], ScriptedServer],
) -> None:
    """1.3.1 to 1.13.0 declare a JSON body on the 204."""

    def script(exchange: Exchange) -> None:
        status = "204 NO CONTENT" if exchange.request.method == "DELETE" else "200 OK"
        exchange.send(answer(status, b'{"data": []}'))

    server = serve(script)
    dify = DifyClient(DifyConnection(server.url, "app-test-key", mode="chat"))

    assert dify.delete_conversation("c1", user="u1") is True
    assert dify.conversation_exists("c1", user="u1") is True
    assert [request.method for request in server.requests] == ["DELETE", "GET"]
    assert server.requests[0].json == {"user": "u1"}


def test_deleting_what_is_gone(wire: RequestsMock) -> None:
    wire.delete(f"{API}/conversations/c1", json=GONE, status=404)

    assert client().delete_conversation("c1", user="u1") is False


def test_deleting_at_a_wrong_address_is_no_success(wire: RequestsMock) -> None:
    wire.delete(f"{API}/conversations/c1", body="<html>", status=404)

    with pytest.raises(DifyNotFound):
        client().delete_conversation("c1", user="u1")


def test_message_is_looked_up(wire: RequestsMock) -> None:
    body = recorded.body("1.14.2/lifecycle/18_disconnect_streaming_messages")
    wire.get(f"{API}/messages", json=body)

    found = client().message("c1", body["data"][0]["id"], user="u1")

    assert found is not None
    assert found.answer == "done 200"
    assert found.is_answer


def test_message_of_a_vanished_conversation_is_none(wire: RequestsMock) -> None:
    wire.get(f"{API}/messages", json=GONE, status=404)

    assert client().message("c1", "m1", user="u1") is None


def test_workflow_run_is_looked_up(wire: RequestsMock) -> None:
    body = recorded.body("1.14.2/workflow/04_run_detail")
    wire.get(f"{API}/workflows/run/r1", json=body)

    found = client("workflow", answer_output="result").workflow_run("r1")

    assert found is not None
    assert found.answer == '{"ok": true, "path": "/wf/7", "code": 200}'


def test_run_of_a_chatflow_has_only_its_answer(wire: RequestsMock) -> None:
    """What "answer output" says is for workflows."""
    body = recorded.body("1.14.2/workflow/04_run_detail")
    wire.get(f"{API}/workflows/run/r1", json=body)
    wire.get(f"{API}/workflows/run/r1", json={**body, "outputs": {"answer": "Hi"}})

    dify = client("advanced-chat", answer_output="result")

    answers = [found.answer for _ in range(2) if (found := dify.workflow_run("r1"))]
    assert answers == [None, "Hi"]


@pytest.mark.parametrize(
    ("version", "may_be_stuck"),
    [
        ("0.15.3", True),
        ("1.12.1", True),
        ("1.13.0", False),
        ("1.14.2", False),
        ("2.0.0-beta.1", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_old_versions_forget_runs_whose_client_has_gone(
    wire: RequestsMock, version: str, may_be_stuck: bool
) -> None:
    body = recorded.body("1.14.2/workflow/04_run_detail")
    wire.get(f"{API}/workflows/run/r1", json=body, headers={"X-Version": version})

    found = client("workflow").workflow_run("r1")

    assert found is not None
    assert found.may_be_stuck is may_be_stuck


def test_run_that_is_no_json_is_unexpected(wire: RequestsMock) -> None:
    wire.get(f"{API}/workflows/run/r1", body="<html>")

    with pytest.raises(DifyUnexpectedReply, match="not told as JSON"):
        client("workflow").workflow_run("r1")


def test_unknown_workflow_run_is_none(wire: RequestsMock) -> None:
    body = {"code": "not_found", "message": "Workflow run not found."}
    wire.get(f"{API}/workflows/run/r1", json=body, status=404)

    assert client("workflow").workflow_run("r1") is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, "<html>", DifyNotFound),
        (400, json.dumps({"code": "not_workflow_app", "message": ""}), DifyRejected),
    ],
)
def test_workflow_run_that_cannot_be_looked_up(
    wire: RequestsMock, status: int, body: str, error: type[Exception]
) -> None:
    wire.get(f"{API}/workflows/run/r1", body=body, status=status)

    with pytest.raises(error):
        client("workflow").workflow_run("r1")


def test_info_and_parameters(wire: RequestsMock) -> None:
    wire.get(f"{API}/info", json=recorded.body("1.14.2/meta/01_info"))
    wire.get(f"{API}/parameters", json=recorded.body("1.14.2/meta/02_parameters"))

    with client("") as dify:
        assert dify.info().mode == "advanced-chat"
        assert len(dify.parameters().inputs) == 6
