"""Streams of the played Dify against recordings of the real servers."""

from __future__ import annotations

import itertools
import threading
import time

import httpx
import pytest

from sandbox.json_types import Json, JsonList
from sandbox.tests.conftest import Sandbox, events_of, names_of, recorded
from sandbox.tests.test_payload_shapes import differences, shape

VERSIONS = ["0.15", "1.12", "1.14"]
NODES = ("node_started", "node_finished")


def order(events: JsonList) -> list[str]:
    """Event names, repeated text deltas as one, without the nodes in between."""
    return once([name for name in names_of(events) if name not in NODES])


def once(names: list[str]) -> list[str]:
    """Repeated neighbours as one."""
    return [name for name, _ in itertools.groupby(names)]


def head_and_data(event: Json) -> tuple[list[str], list[str]]:
    """Keys of an event and of its data; node data without what is app-made."""
    data = event.get("data")
    return sorted(event), sorted(data) if isinstance(data, dict) else []


def by_name(events: JsonList) -> dict[str, Json]:
    return {event["event"]: event for event in reversed(events)}


def assert_like(mine: JsonList, name: str) -> None:
    """Same order, and the same keys of every kind of event."""
    theirs = recorded(name)
    if name.endswith("chatflow_failed"):
        # The recorded flow had said something before the node that failed.
        theirs = [event for event in theirs if event["event"] != "message"]
    assert order(mine) == order(theirs)
    ours, real = by_name(mine), by_name(theirs)
    for kind in real:
        assert head_and_data(ours[kind]) == head_and_data(real[kind]), kind


def answer_of(events: JsonList) -> str:
    kinds = ("message", "agent_message")
    return "".join(event["answer"] for event in events if event["event"] in kinds)


@pytest.mark.parametrize("version", VERSIONS)
def test_chatflow(sandbox: Sandbox, version: str) -> None:
    sandbox.set(dify_version=version)
    response = sandbox.ask("hello")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(response.text)
    assert_like(events, f"{version}-chatflow")
    assert "You asked: “hello”" in answer_of(events)


def test_chatflow_node_order_of_an_llm_flow(sandbox: Sandbox) -> None:
    sandbox.set(dify_version="0.15")
    mine = once(names_of(events_of(sandbox.ask().text)))
    assert mine == once(names_of(recorded("0.15-chatflow_llm")))


@pytest.mark.parametrize("version", VERSIONS)
def test_failed_chatflow(sandbox: Sandbox, version: str) -> None:
    sandbox.set(dify_version=version)
    events = events_of(sandbox.ask("/fail").text)
    assert_like(events, f"{version}-chatflow_failed")
    assert by_name(events)["workflow_finished"]["data"]["status"] == "failed"
    blocking = sandbox.ask("/fail", response_mode="blocking")
    assert blocking.status_code == 400
    assert blocking.json()["code"] == "invalid_param"
    assert blocking.json()["message"].startswith("Run failed: ")


@pytest.mark.parametrize("version", VERSIONS)
def test_workflow(sandbox: Sandbox, version: str) -> None:
    sandbox.set(dify_version=version)
    events = events_of(sandbox.ask("hello", mode="workflow").text)
    names = order(events)
    assert names[-2:] == ["text_chunk", "workflow_finished"]
    assert names[0] == ("ping" if version == "1.14" else "workflow_started")
    real = by_name(recorded(f"{version}-workflow"))
    mine = by_name(events)
    for kind in (*NODES, "workflow_started", "workflow_finished"):
        assert head_and_data(mine[kind]) == head_and_data(real[kind]), kind
    outputs = mine["workflow_finished"]["data"]["outputs"]
    assert list(outputs) == ["text"]
    blocking = sandbox.ask("hello", mode="workflow", response_mode="blocking").json()
    assert blocking["data"]["outputs"] == outputs
    failed = sandbox.ask("/fail", mode="workflow", response_mode="blocking")
    assert (failed.status_code, failed.json()["data"]["status"]) == (200, "failed")
    assert order(events_of(sandbox.ask("/fail", mode="workflow").text))[-1] == (
        "workflow_finished"
    )


def test_chat_and_agent_chat_match_their_recordings(sandbox: Sandbox) -> None:
    sandbox.set(dify_version="0.15")
    assert_like(events_of(sandbox.ask(mode="chat").text), "0.15-chat")
    failed = events_of(sandbox.ask("/fail", mode="chat").text)
    assert_like(failed, "0.15-chat_failed")
    agent = events_of(sandbox.ask(mode="agent-chat").text)
    real = recorded("0.15-agent-chat")
    for kind in ("agent_thought", "agent_message", "message_end"):
        assert head_and_data(by_name(agent)[kind]) == head_and_data(by_name(real)[kind])


def test_0_15_writes_spaced_ascii_and_1_x_compact_utf8(sandbox: Sandbox) -> None:
    sandbox.set(dify_version="0.15")
    old = sandbox.ask("ü", mode="chat").content
    assert old.startswith(b'data: {"event": "message", ')
    assert b"\\u00fc" in old
    sandbox.set(dify_version="1.14")
    new = sandbox.ask("ü", mode="chat").content
    assert new.startswith(b'data: {"event":"message",')
    assert "ü".encode() in new


def test_agent_closes_with_a_full_copy(sandbox: Sandbox) -> None:
    events = events_of(sandbox.ask("hello", mode="agent").text)
    assert names_of(events)[-2:] == ["message", "message_end"]
    parts = "".join(e["answer"] for e in events if e["event"] == "agent_message")
    assert events[-2]["answer"] == parts
    thoughts = [e for e in events if e["event"] == "agent_thought"]
    assert [t["position"] for t in thoughts] == [1, 1, 1, 2, 2]
    assert thoughts[2]["tool"] == "get_order"


@pytest.mark.parametrize("mode", ["agent-chat", "agent"])
def test_agents_refuse_blocking(sandbox: Sandbox, mode: str) -> None:
    response = sandbox.ask(mode=mode, response_mode="blocking")
    assert response.status_code == 400
    assert "blocking" in response.json()["message"] or mode == "agent"


def test_completion(sandbox: Sandbox) -> None:
    events = events_of(sandbox.ask("hello", mode="completion").text)
    assert order(events) == ["message", "message_end"]
    assert "conversation_id" not in events[0]
    blocking = sandbox.ask("hello", mode="completion", response_mode="blocking")
    assert blocking.json()["mode"] == "completion"


# Silence, cuts and stops.


def test_1_14_is_silent_about_an_unknown_conversation(sandbox: Sandbox) -> None:
    sandbox.set(silence_limit_s=0.1)
    unknown = "7b0b1a0e-7a54-4c1e-9a7d-7f6f2b1c9d55"
    response = sandbox.ask(conversation_id=unknown)
    assert (response.status_code, response.text) == (200, "event: ping\n\n")
    missing = sandbox.ask(inputs={})
    assert (missing.status_code, missing.text) == (200, "event: ping\n\n")
    blocking = sandbox.ask(inputs={}, response_mode="blocking")
    assert blocking.status_code == 400


@pytest.mark.parametrize("version", ["0.15", "1.12"])
def test_older_versions_say_what_is_wrong(sandbox: Sandbox, version: str) -> None:
    sandbox.set(dify_version=version)
    unknown = "7b0b1a0e-7a54-4c1e-9a7d-7f6f2b1c9d55"
    response = sandbox.ask(conversation_id=unknown)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"
    assert response.json()["message"].startswith("Conversation Not Exists.")
    missing = sandbox.ask(inputs={})
    text = "chatwoot_conversation_id is required in input form"
    expected = {"code": "invalid_param", "message": text, "status": 400}
    assert (missing.status_code, missing.json()) == (400, expected)


def test_silent_and_wait(sandbox: Sandbox) -> None:
    sandbox.set(silence_limit_s=0.1, ping_interval_s=0.05)
    assert sandbox.ask("/silent").text == ""
    events = events_of(sandbox.ask("/wait 0.3", mode="chat").text)
    assert names_of(events)[0] == "ping"
    assert order(events)[-2:] == ["message", "message_end"]
    queued = names_of(events_of(sandbox.ask("/slowstart 0.3").text))
    assert queued[:2] == ["ping", "workflow_started"]


def test_cut_breaks_the_connection(sandbox: Sandbox) -> None:
    got = b""

    def read() -> None:
        nonlocal got
        url = "/v1/chat-messages"
        body = {
            "inputs": {"chatwoot_conversation_id": "7"},
            "query": "/cut",
            "user": "u1",
            "response_mode": "streaming",
        }
        key = {"Authorization": "Bearer app-sandbox-advanced-chat"}
        with sandbox.client.stream("POST", url, json=body, headers=key) as response:
            for chunk in response.iter_raw():
                got += chunk

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        read()
    events = events_of(got.decode())
    assert names_of(events)[-1] == "message"
    # The run went on: 1.14 stores the whole answer, and its events can be read again.
    run_id = events[1]["workflow_run_id"]
    detail = wait_for_run(sandbox, run_id)
    again = sandbox.dify("GET", f"/workflow/{run_id}/events?user=u1")
    assert names_of(events_of(again.text)) == ["workflow_finished"]
    assert sandbox.dify("GET", f"/workflow/{run_id}/events?user=u2").status_code == 404
    stored = messages(sandbox, events[1]["conversation_id"])
    assert stored[0]["answer"] == detail["outputs"]["answer"]


def wait_for_run(sandbox: Sandbox, run_id: str) -> Json:
    for _ in range(100):
        detail: Json = sandbox.dify("GET", f"/workflows/run/{run_id}").json()
        if detail["status"] != "running":
            return detail
        time.sleep(0.02)
    raise AssertionError("the run never ended")


def messages(sandbox: Sandbox, conversation_id: str, user: str = "u1") -> JsonList:
    path = f"/messages?conversation_id={conversation_id}&user={user}"
    found: JsonList = sandbox.dify("GET", path).json()["data"]
    return found


@pytest.mark.parametrize(
    ("version", "is_stored"), [("0.15", False), ("1.12", False), ("1.14", True)]
)
def test_answer_after_the_client_left(
    sandbox: Sandbox, version: str, is_stored: bool
) -> None:
    sandbox.set(dify_version=version)
    first = leave_early(sandbox, "/slow 0.4")
    path = f"/workflows/run/{first['workflow_run_id']}"
    running = sandbox.dify("GET", path).json()
    shown = [running[key] for key in ("status", "finished_at", "total_steps")]
    assert shown == ["running", None, 0]
    assert messages(sandbox, first["conversation_id"])[0]["answer"] == ""
    wait_for_a_free_place(sandbox, mode="advanced-chat")
    # 0.15 writes the end of a run down only where it is followed.
    ended = "running" if version == "0.15" else "succeeded"
    assert sandbox.dify("GET", path).json()["status"] == ended
    stored = messages(sandbox, first["conversation_id"])
    assert bool(stored[0]["answer"]) is is_stored
    assert stored[0]["status"] == "normal"


@pytest.mark.parametrize("mode", ["chat", "agent-chat"])
def test_without_a_flow_the_run_ends_with_its_connection(
    sandbox: Sandbox, mode: str
) -> None:
    first = leave_early(sandbox, "/slow 20", mode=mode)
    wait_for_a_free_place(sandbox, mode=mode)
    path = f"/messages?conversation_id={first['conversation_id']}&user=u1"
    [stored] = sandbox.dify("GET", path, mode=mode).json()["data"]
    assert (stored["answer"], stored["status"]) == ("", "normal")


def wait_for_a_free_place(sandbox: Sandbox, *, mode: str) -> None:
    """Wait for the end of the one run that is under way."""
    limit = {"max_active_requests": 1}
    sandbox.control("PATCH", f"/dify/apps/{mode}", limit)
    deadline = time.monotonic() + 5
    while sandbox.ask("again", mode=mode, user="u2").status_code == 400:
        assert time.monotonic() < deadline, "the run goes on"
        time.sleep(0.02)


def leave_early(sandbox: Sandbox, query: str, *, mode: str = "advanced-chat") -> Json:
    """Read up to the first data event and hang up."""
    body = {
        "inputs": {"chatwoot_conversation_id": "7"},
        "query": query,
        "user": "u1",
        "response_mode": "streaming",
        "auto_generate_name": False,
    }
    key = {"Authorization": f"Bearer app-sandbox-{mode}"}
    with (
        httpx.Client(base_url=sandbox.client.base_url, trust_env=False) as client,
        client.stream("POST", "/v1/chat-messages", json=body, headers=key) as response,
    ):
        for line in response.iter_lines():
            if line.startswith("data: "):
                event: Json = events_of(line + "\n\n")[0]
                return event
    raise AssertionError("no event")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("user", ["u1", "somebody else"])
def test_stop(sandbox: Sandbox, version: str, user: str) -> None:
    sandbox.set(dify_version=version)
    kept: list[JsonList] = []
    query = "/slow 1.5"
    thread = threading.Thread(
        target=lambda: kept.append(events_of(sandbox.ask(query).text))
    )
    thread.start()
    task_id = wait_for_task(sandbox)
    stopped = sandbox.dify("POST", f"/chat-messages/{task_id}/stop", {"user": user})
    assert (stopped.status_code, stopped.json()) == (200, {"result": "success"})
    thread.join()
    finished = by_name(kept[0])["workflow_finished"]["data"]
    if user == "u1":
        assert order(kept[0]) == order(recorded(f"{version}-chatflow_stopped"))
        real = by_name(recorded(f"{version}-chatflow_stopped"))["workflow_finished"]
        if version != "1.14":  # there the recording was stopped by somebody else
            assert finished["status"] == real["data"]["status"] == "stopped"
            assert finished["error"] == real["data"]["error"]
    elif version == "0.15":
        assert finished["status"] == "succeeded"
    else:
        assert finished["status"] == "failed"
        assert finished["error"] == "Aborted: User requested stop"


def wait_for_task(sandbox: Sandbox) -> str:
    """The task id of the only stream that is open, from the wire log."""
    path = "/wire?path=/v1/chat-messages"
    for _ in range(200):
        for entry in sandbox.control("GET", path)["entries"]:
            events = events_of(entry["response_body"].rpartition("\n\n")[0])
            if entry["open"] and events and "task_id" in events[-1]:
                return str(events[-1]["task_id"])
        time.sleep(0.02)
    raise AssertionError("no open stream")


def test_error_event_leaves_a_1_14_chatflow_open(sandbox: Sandbox) -> None:
    sandbox.set(silence_limit_s=0.2)
    events = events_of(sandbox.ask("/error").text)
    assert order(events) == order(recorded("1.14-error_before_graph"))
    real = recorded("1.14-error_before_graph")[-1]
    assert differences(shape(events[-1]), shape(real)) == []


# What the customer types.


def test_thinking_is_split_over_deltas(sandbox: Sandbox) -> None:
    events = events_of(sandbox.ask("/think", mode="chat").text)
    deltas = [event["answer"] for event in events if event["event"] == "message"]
    joined = "".join(deltas)
    assert joined.startswith("<think>")
    assert "</think>" in joined
    assert not any("<think>" in delta or "</think>" in delta for delta in deltas)
    unclosed = answer_of(events_of(sandbox.ask("/unclosed", mode="chat").text))
    assert "<think>" in unclosed
    assert "</think>" not in unclosed


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat", "completion"])
def test_replace(sandbox: Sandbox, mode: str) -> None:
    events = events_of(sandbox.ask("/replace", mode=mode).text)
    replaced = by_name(events)["message_replace"]
    assert replaced["answer"] == "I cannot help with that."
    assert replaced["reason"] == "output_moderation"


def test_empty_braces_long_and_tokens(sandbox: Sandbox) -> None:
    assert answer_of(events_of(sandbox.ask("/empty").text)) == ""
    braces = answer_of(events_of(sandbox.ask("/braces").text))
    assert "{{ contact.name }}" in braces
    assert "{{ x }}" in braces
    long = answer_of(events_of(sandbox.ask("/long 12345").text))
    assert len(long) == 12345
    tokens = sandbox.ask("/tokens 777", mode="chat", response_mode="blocking").json()
    assert tokens["metadata"]["usage"]["total_tokens"] == 777
    assert isinstance(tokens["metadata"]["usage"]["total_price"], str)


def test_text_in_message_file(sandbox: Sandbox) -> None:
    events = events_of(sandbox.ask("/file", mode="chat").text)
    files = [event for event in events if event["event"] == "message_file"]
    assert "url" in files[0]
    assert "answer" not in files[0]
    assert "You asked" in "".join(event["answer"] for event in files[1:])
