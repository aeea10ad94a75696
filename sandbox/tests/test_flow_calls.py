"""The played flows call the bridge as Dify's HTTP Request nodes do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.dify.calls import FlowCall, filled, parse_calls
from sandbox.json_types import Json, JsonList
from sandbox.tests.conftest import Sandbox, events_of, names_of

VERSIONS = ["0.15", "1.12", "1.14"]
MODES = ["chat", "agent-chat", "agent", "advanced-chat", "workflow", "completion"]
TOKEN = "bridge-conv-eyJhIjoxfQ.c2lnbmF0dXJl-x_y"


@dataclass
class Bridge:
    """Keeps each request as it arrived; answers 200 unless told."""

    url: str
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer: Json = field(default_factory=lambda: {"status": "success"})


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    kept = Bridge(url="")

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.requests.append((self.command, self.path, headers, raw))
            body = json.dumps(kept.answer).encode()
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/api/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    sandbox: Sandbox, bridge: Bridge, query: str, *, mode: str = "advanced-chat"
) -> JsonList:
    inputs = {
        "chatwoot_conversation_id": "7",
        "bridge_api_url": bridge.url,
        "conversation_token": TOKEN,
    }
    if mode in ("workflow", "completion"):
        inputs["query"] = query
    return events_of(sandbox.ask(query, mode=mode, inputs=inputs).text)


def answer_of(events: JsonList) -> str:
    """What the customer would read, of whatever mode."""
    texts = [
        event["data"]["text"] if event["event"] == "text_chunk" else event["answer"]
        for event in events
        if event["event"] in ("message", "agent_message", "text_chunk")
    ]
    return "".join(texts)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_call_goes_out_in_each_mode(
    sandbox: Sandbox, bridge: Bridge, mode: str, version: str
) -> None:
    sandbox.set(dify_version=version)
    events = ask(sandbox, bridge, "/status open", mode=mode)
    [(method, path, _, body)] = bridge.requests
    assert (method, path) == ("POST", "/api/v1/toggle-status/current")
    assert json.loads(body) == {"status": "open"}
    told = 'POST toggle-status/current → 200 {"status": "success"}'
    assert told in answer_of(events)
    ending = {"workflow": "workflow_finished"}.get(mode, "message_end")
    assert ending in names_of(events)


@pytest.mark.parametrize(
    ("version", "agent", "body"),
    [
        ("0.15", "python-httpx/0.27.2", b'{"status": "\\u0451"}'),
        ("1.12", "python-httpx/0.27.2", b'{"status": "\\u0451"}'),
        ("1.14", "python-httpx/0.28.1", '{"status":"ё"}'.encode()),
    ],
)
def test_a_call_looks_like_the_nodes(
    sandbox: Sandbox, bridge: Bridge, version: str, agent: str, body: bytes
) -> None:
    sandbox.set(dify_version=version)
    ask(sandbox, bridge, "/status ё")
    [(_, _, headers, raw)] = bridge.requests
    assert raw == body
    assert headers["user-agent"] == agent
    assert headers["accept"] == "*/*"
    assert headers["connection"] == "keep-alive"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert ("traceparent" in headers) == (version != "0.15")


def test_the_first_event_comes_before_the_call(
    sandbox: Sandbox, bridge: Bridge
) -> None:
    events = ask(sandbox, bridge, "/call GET conversations/current")
    names = names_of(events)
    titles = [e["data"]["title"] for e in events if e["event"] == "node_finished"]
    assert names.index("workflow_started") < names.index("message")
    assert titles == ["Start", "HTTP Request 1", "LLM", "Answer"]
    node = next(
        e["data"] for e in events if e.get("data", {}).get("node_id") == "http_1"
    )
    assert node["node_type"] == "http-request"
    assert events[-1]["data"]["total_steps"] == 4
    [(method, path, headers, body)] = bridge.requests
    assert (method, path, body) == ("GET", "/api/v1/conversations/current", b"")
    assert "content-type" not in headers


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "agent"])
def test_an_early_call_comes_before_the_first_event(
    sandbox: Sandbox, bridge: Bridge, mode: str
) -> None:
    """Nothing of the run has been sent while the bridge answers."""
    seen: list[int] = []

    class Counting(list[tuple[str, str, dict[str, str], bytes]]):
        def append(self, item: tuple[str, str, dict[str, str], bytes]) -> None:
            [entry] = sandbox.client.get(
                "/_sandbox/wire", params={"path": "messages", "brief": "1"}
            ).json()["entries"]
            seen.append(entry["response_bytes"])
            super().append(item)

    bridge.requests = Counting()
    events = ask(sandbox, bridge, '/callearly POST x {"a": 1}', mode=mode)
    # A flow of 1.14 begins with a ping, which is no event.
    [sent_bytes] = seen
    assert sent_bytes <= len("event: ping\n\n")
    assert 'POST x → 200 {"status": "success"}' in answer_of(events)


def test_several_calls_and_another_command_in_one_message(
    sandbox: Sandbox, bridge: Bridge
) -> None:
    bridge.statuses = [200, 401, 500]
    query = "/team sales ;; /label vip, urgent\n/attr region=North=1\n/tokens 99"
    events = ask(sandbox, bridge, query)
    assert [(path, json.loads(body)) for _, path, _, body in bridge.requests] == [
        ("/api/v1/assign-team/current", {"team": "sales"}),
        ("/api/v1/update-labels/current", ["vip", "urgent"]),
        ("/api/v1/update-custom-attributes/current", {"region": "North=1"}),
    ]
    answer = answer_of(events)
    assert "assign-team/current → 200" in answer
    assert "update-labels/current → 401" in answer
    assert "update-custom-attributes/current → 500" in answer
    assert "You asked:" in answer


def test_variables_are_filled_in_as_dify_does(sandbox: Sandbox, bridge: Bridge) -> None:
    query = (
        "/call GET conversations/dify/{{#sys.conversation_id#}} ;; "
        '/call POST x {"a": "{{#start.status#}}", "b": "{{#conversation.foo#}}"}'
    )
    events = ask(sandbox, bridge, query)
    [(_, first, _, _), (_, _, _, body)] = bridge.requests
    assert first == f"/api/v1/conversations/dify/{events[-1]['conversation_id']}"
    assert json.loads(body) == {"a": "", "b": "conversation.foo"}


def test_the_token_is_shown_nowhere(sandbox: Sandbox, bridge: Bridge) -> None:
    bridge.answer = {"echo": f"you are {TOKEN}"}
    order = "/call POST x?token={{#start.conversation_token#}} {}"
    events = ask(sandbox, bridge, f"hello\n{order}")
    assert bridge.requests[0][1] == f"/api/v1/x?token={TOKEN}"
    assert TOKEN not in answer_of(events)
    assert "bridge-conv-***" in answer_of(events)
    wire = sandbox.client.get("/_sandbox/wire").text
    assert '"dify→bridge"' in wire
    assert TOKEN not in wire


def test_the_wire_log_shows_the_call(sandbox: Sandbox, bridge: Bridge) -> None:
    bridge.statuses = [403]
    ask(sandbox, bridge, "/priority high")
    [entry] = sandbox.client.get(
        "/_sandbox/wire", params={"direction": "dify→bridge"}
    ).json()["entries"]
    assert (entry["method"], entry["status"]) == ("POST", 403)
    assert entry["path"] == "/api/v1/toggle-priority/current"
    assert entry["request_body"] == '{"priority":"high"}'
    assert entry["response_body"] == '{"status": "success"}'
    assert entry["open"] is False


def test_a_bridge_that_is_away_is_told(sandbox: Sandbox, bridge: Bridge) -> None:
    gone = Bridge(url="http://127.0.0.1:1/api/v1")
    assert "→ no answer: ConnectError" in answer_of(ask(sandbox, gone, "/status open"))
    none = Bridge(url="")
    told = "→ no answer: the input bridge_api_url is no address"
    assert told in answer_of(ask(sandbox, none, "/status open"))


def test_no_token_no_header(sandbox: Sandbox, bridge: Bridge) -> None:
    inputs = {"chatwoot_conversation_id": "7", "bridge_api_url": bridge.url}
    sandbox.ask("/status open", inputs=inputs)
    [(_, _, headers, _)] = bridge.requests
    assert "authorization" not in headers


def test_the_page_lists_the_commands(sandbox: Sandbox) -> None:
    commands = [
        row["command"] for row in sandbox.control("GET", "/overview")["commands"]
    ]
    assert "/team support" in commands
    assert '/call POST toggle-status/current {"status": "open"}' in commands


@pytest.mark.parametrize(
    ("query", "calls", "rest"),
    [
        ("hello", [], "hello"),
        ("/call", [], "/call"),
        ("/call GET", [], "/call GET"),
        ("/callback GET x", [], "/callback GET x"),
        ("/attr region", [], "/attr region"),
        ("say /status open", [], "say /status open"),
        ("/call get /teams", [FlowCall("GET", "teams")], ""),
        (
            "/call POST a {broken",
            [FlowCall("POST", "a", body="{broken")],
            "",
        ),
        ("a;;b\n/call GET x", [FlowCall("GET", "x")], "a;;b"),
        (
            "/callearly PATCH x [1] ;; /call GET y",
            [
                FlowCall("PATCH", "x", body="[1]", early=True),
                FlowCall("GET", "y"),
            ],
            "",
        ),
    ],
)
def test_what_orders_a_call(query: str, calls: list[FlowCall], rest: str) -> None:
    assert parse_calls(query) == (calls, rest)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{#sys.user_id#}}/x", "u1/x"),
        ("{{#start.none#}}", ""),
        ("{{#start.yes#}}", "True"),
        ("{{#start.object#}}", '{"a": null}'),
        ("{{#conversation.foo#}}", "conversation.foo"),
        ("{{#sys.2nd#}}", "{{#sys.2nd#}}"),
        (f"{{{{#sys.{'x' * 31}#}}}}", f"{{{{#sys.{'x' * 31}#}}}}"),
        ("{{ name }}", "{{ name }}"),
    ],
)
def test_how_variables_are_filled_in(template: str, text: str) -> None:
    variables: Json = {
        "sys.user_id": "u1",
        "start.none": None,
        "start.yes": True,
        "start.object": {"a": None},
    }
    assert filled(template, variables=variables) == text
