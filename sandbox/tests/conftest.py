"""A real sandbox and a real receiver of its webhooks, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import uvicorn

from sandbox.app import create_app
from sandbox.json_types import Json, JsonList
from sandbox.settings import Settings

PAYLOADS = Path(__file__).parent / "payloads"
STREAMS = Path(__file__).parent / "streams"
BOT = {"api_access_token": "sandbox-bot-token"}
ADMIN = {"api_access_token": "sandbox-admin-token"}
AGENT = {"api_access_token": "sandbox-agent-marta-token"}


@dataclass
class Received:
    """One webhook as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Json:
        loaded: Json = json.loads(self.raw)
        return loaded

    @property
    def event(self) -> str:
        return str(self.body["event"])


@dataclass
class Receiver:
    """Keeps what it got; answers with the next of ``statuses``, else 200."""

    url: str
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    delay_s: float = 0.0

    def events(self, path: str = "/api/v1/chatwoot-webhook") -> list[str]:
        return [row.event for row in self.received if row.path == path]

    def last(self, event: str) -> Json:
        return next(r.body for r in reversed(self.received) if r.event == event)


class Sandbox:
    """A client of the sandbox's three faces, with short words for common steps."""

    def __init__(self, client: httpx.Client, *, receiver: Receiver) -> None:
        self.client = client
        self.receiver = receiver

    def control(self, method: str, path: str, body: Json | None = None) -> Json:
        response = self.client.request(method, f"/_sandbox{path}", json=body)
        response.raise_for_status()
        loaded: Json = response.json()
        return loaded

    def drain(self) -> None:
        self.control("POST", "/drain", {"timeout_s": 20})

    def set(self, **changes: object) -> None:
        self.control("PATCH", "/settings", changes)

    def start(self, message: str = "Hello", **values: object) -> int:
        """A conversation with one customer message; its webhooks have arrived."""
        made = self.control("POST", "/conversations", {"message": message, **values})
        self.drain()
        return int(made["id"])

    def say(self, conversation_id: int, content: str) -> Json:
        path = f"/conversations/{conversation_id}/customer-messages"
        said = self.control("POST", path, {"content": content})
        self.drain()
        return said

    def act(self, conversation_id: int, path: str, body: Json) -> Json:
        done = self.control("POST", f"/conversations/{conversation_id}{path}", body)
        self.drain()
        return done

    def state(self, conversation_id: int) -> Json:
        return self.control("GET", f"/conversations/{conversation_id}")

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """A REST call with the bot's token unless told; webhooks have arrived."""
        response = self.client.request(
            method,
            f"/api/v1/accounts/1{path}",
            json=body,
            headers=BOT if headers is None else headers,
        )
        self.drain()
        return response

    def dify(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        mode: str = "advanced-chat",
        timeout_s: float = 20,
    ) -> httpx.Response:
        return self.client.request(
            method,
            f"/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer app-sandbox-{mode}"},
            timeout=timeout_s,
        )

    def ask(
        self,
        query: str = "hello",
        *,
        mode: str = "advanced-chat",
        response_mode: str = "streaming",
        timeout_s: float = 20,
        **values: object,
    ) -> httpx.Response:
        """One generation with the required input filled in."""
        body: Json = {
            "inputs": {"chatwoot_conversation_id": "7"},
            "user": "u1",
            "response_mode": response_mode,
            "auto_generate_name": False,
        }
        path = "/chat-messages"
        if mode in ("workflow", "completion"):
            body["inputs"]["query"] = query
            path = "/workflows/run" if mode == "workflow" else "/completion-messages"
        else:
            body["query"] = query
        return self.dify("POST", path, body | values, mode=mode, timeout_s=timeout_s)


def events_of(text: str) -> JsonList:
    """Parsed frames of a stream; a ping is ``{"event": "ping"}``."""
    events: JsonList = []
    for frame in text.split("\n\n"):
        if frame.startswith("data: "):
            events.append(json.loads(frame.removeprefix("data: ")))
        elif frame:
            events.append({"event": frame.removeprefix("event: ")})
    return events


def names_of(events: JsonList) -> list[str]:
    return [event["event"] for event in events]


def recorded(name: str) -> JsonList:
    return events_of((STREAMS / f"{name}.sse").read_text())


def sample(name: str) -> Json:
    loaded: Json = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    kept = Receiver(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.received.append(Received(path=self.path, headers=headers, raw=raw))
            status = kept.statuses.pop(0) if kept.statuses else 200
            time.sleep(kept.delay_s)
            with suppress(ConnectionError):  # the sandbox may have given up
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """A sandbox served by uvicorn in a thread of its own."""
    settings = Settings(port=free_port())
    ready = threading.Event()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        config = uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        servers.append(server)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        ready.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield settings.base_url()
    servers[0].should_exit = True
    thread.join(10)


@pytest.fixture
def sandbox(base_url: str, receiver: Receiver) -> Iterator[Sandbox]:
    """Fresh state, quick pauses, and the receiver in the bridge's place."""
    with httpx.Client(base_url=base_url, trust_env=False) as client:
        one = Sandbox(client, receiver=receiver)
        one.control("POST", "/reset")
        receiver.received.clear()
        receiver.statuses.clear()
        receiver.delay_s = 0.0
        defaults = Settings().as_json()
        for name in ("host", "port", "public_url"):
            del defaults[name]
        quick = {
            "bridge_url": receiver.url,
            "webhook_retry_wait_s": 0.05,
            "delta_interval_s": 0.001,
            "close_delay_s": 0.0,
        }
        one.set(**(defaults | quick))
        yield one
        one.control("POST", "/reset")
