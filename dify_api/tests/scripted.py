"""A real HTTP server whose answers are written byte by byte by the test."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from json import loads
from typing import Any

SSE_HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
PING = b"event: ping\n\n"


def chunk(data: bytes) -> bytes:
    """Frame a piece of a body for `Transfer-Encoding: chunked`."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(
    status: str, body: bytes, *, content_type: str = "application/json"
) -> bytes:
    """Return a whole answer."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@dataclass
class Request:
    """What the server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return loads(self.body)


@dataclass
class Exchange:
    """One request, and the socket to answer it on."""

    request: Request
    socket: socket.socket
    stopped: threading.Event

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_stream(self, data: bytes, *, size: int = 1 << 20) -> None:
        """Send headers and a body in chunks of `size` bytes."""
        self.send(SSE_HEADERS)
        for start in range(0, len(data), size):
            self.send(chunk(data[start : start + size]))

    def hang(self) -> None:
        """Keep the connection open until the test is over."""
        self.stopped.wait(30)

    def repeat(self, data: bytes) -> None:
        """Send `data` over and over until the client goes or the test is over."""
        while not self.stopped.wait(0.02):
            self.send(data)


@dataclass
class ScriptedServer:
    """Runs `script` for each request; counts connections."""

    script: Callable[[Exchange], None]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._stopped.set()
        # Closing wakes neither `accept` nor `recv` up; this does.
        with socket.create_connection(self._listener.getsockname()):
            pass
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopped.is_set():
                connection.close()
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
            self._sockets.append(connection)
        with connection, connection.makefile("rb") as reader:
            try:
                while not self._stopped.is_set():
                    request = _read_request(reader)
                    if request is None:
                        return
                    self.requests.append(request)
                    self.script(Exchange(request, connection, self._stopped))
            except OSError:
                return  # the client went away, which is what some tests are about


def _read_request(reader: Any) -> Request | None:
    first = reader.readline().decode().split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    body = reader.read(int(headers.get("Content-Length", 0)))
    return Request(method=first[0], path=first[1], headers=headers, body=body)
