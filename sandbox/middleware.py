"""The outermost layer: wire log, ordered faults, and breaking a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.closing import Closing
from sandbox.faults import Fault, Faults
from sandbox.visits import Visit, Visits
from sandbox.wire_log import BODY_LIMIT, WireEntry, WireLog, shown_headers

_HANG_S = 600.0


class ConnectionBroken(Exception):
    """Raised where no socket can be cut: in-process clients of tests."""


def direction_of(path: str) -> str | None:
    """Who talks to whom, or None for what is not logged."""
    if path == "/api" or path.startswith("/api/v1/"):
        return "bridge→chatwoot"
    if path.startswith(("/v1/", "/files/")) or path == "/v1":
        return "bridge→dify"
    if path.startswith("/rails/"):
        return "bridge→chatwoot"
    if path.startswith("/openai/"):
        return "bridge→openai"
    return None


def _is_shown_by_a_page(scope: Scope) -> bool:
    """Tell whether a browser loads a file to show it: then it is not the bridge."""
    headers = Headers(scope=scope)
    is_file = scope["path"].startswith(("/rails/", "/files/"))
    return is_file and ("sec-fetch-dest" in headers or "referer" in headers)


class WireMiddleware:
    """Logs what the bridge asks of the two servers and lets ordered faults happen."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        wire_log: WireLog,
        faults: Faults,
        closing: Closing,
        visits: Visits,
    ) -> None:
        self.app = app
        self.closing = closing
        self.visits = visits
        self.wire_log = wire_log
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["sandbox.abort"] = _abort_of(send)
        direction = direction_of(scope["path"])
        if direction is None or _is_shown_by_a_page(scope):
            await self.app(scope, receive, send)
            return
        body = await _read_body(receive)
        query = scope["query_string"].decode("ascii", errors="replace")
        entry = self.wire_log.start(
            direction=direction,
            method=scope["method"],
            path=f"{scope['path']}?{query}" if query else scope["path"],
        )
        headers = Headers(scope=scope)
        self.wire_log.keep_request(entry, headers=headers.items(), body=body)
        visit = self.visits.arrive(scope, body=body)
        recorder = _Recorder(entry, send=send, wire_log=self.wire_log, visit=visit)
        try:
            await self._serve(
                scope,
                _replay(body, receive=receive),
                recorder,
                body=body,
                entry=entry,
            )
        except asyncio.CancelledError:
            entry.error = entry.error or "closed by the client"
            raise
        except Exception as err:
            entry.error = f"{type(err).__name__}: {err}"
            raise
        finally:
            self.wire_log.finish(entry)
            visit.fire("after")

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        recorder: _Recorder,
        *,
        body: bytes,
        entry: WireEntry,
    ) -> None:
        fault = self.faults.take(
            method=scope["method"],
            path=scope["path"],
            body=body.decode("utf-8", errors="replace"),
        )
        if fault is None:
            await self.app(scope, receive, recorder)
            return
        entry.note = f"fault {fault.id}: {fault.kind}"
        if fault.kind == "delay":
            await self.closing.wait(fault.delay_s)
            await self.app(scope, receive, recorder)
        elif fault.kind == "status":
            await self.closing.wait(fault.delay_s)
            await _fault_response(fault)(scope, receive, recorder)
        elif fault.kind == "drop":
            await _cut(scope, receive)
        else:
            await self.app(scope, receive, _swallow)
            await self._after(fault, scope, receive, recorder)

    async def _after(
        self, fault: Fault, scope: Scope, receive: Receive, recorder: _Recorder
    ) -> None:
        """The request was carried out; its answer gets lost."""
        if fault.kind == "status_after":
            await self.closing.wait(fault.delay_s)
            await _fault_response(fault)(scope, receive, recorder)
            return
        if fault.kind == "hang_after":
            await self.closing.wait(fault.delay_s or _HANG_S)
        await _cut(scope, receive)


class _Recorder:
    """Passes an answer on and notes its status, headers and first bytes."""

    def __init__(
        self, entry: WireEntry, *, send: Send, wire_log: WireLog, visit: Visit
    ) -> None:
        self.entry = entry
        self.send = send
        self.wire_log = wire_log
        self.visit = visit

    async def __call__(self, message: Message) -> None:
        entry = self.entry
        if message["type"] == "http.response.start":
            entry.status = message["status"]
            headers = Headers(raw=message.get("headers", []))
            entry.response_headers = shown_headers(headers.items())
            self.wire_log.touch(entry)
            self.visit.answered(message["status"])
        elif message["type"] == "http.response.body":
            chunk = message.get("body", b"")
            entry.response_bytes += len(chunk)
            if (missing := BODY_LIMIT - len(entry.response_raw)) > 0:
                entry.response_raw += chunk[:missing]
        await self.send(message)


async def _cut(scope: Scope, receive: Receive) -> None:
    """Break the connection and come back when the server has noticed it."""
    scope["sandbox.abort"]()
    while (await receive())["type"] != "http.disconnect":
        continue


def _abort_of(send: Send) -> Callable[[], None]:
    """Closes the client's socket at once. uvicorn's `send` belongs to its cycle."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)

    def abort() -> None:
        if transport is None:
            raise ConnectionBroken
        transport.abort()

    return abort


def _fault_response(fault: Fault) -> Response:
    if fault.body is not None:
        text, kind = fault.body, "text/html" if "<" in fault.body else "text/plain"
    elif fault.status == 429:
        text, kind = "Retry later\n", "text/plain"
    else:
        text = f'{{"status":{fault.status},"error":"Internal Server Error"}}'
        kind = "application/json"
    return Response(text, status_code=fault.status, media_type=kind)


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, *, receive: Receive) -> Receive:
    """The body once more, then whatever comes: the disconnect."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _swallow(message: Message) -> None:
    """An answer that nobody will see."""
