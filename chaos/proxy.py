"""A reverse proxy in front of several web processes, as a real one would be there."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Longer than Chatwoot waits; it is not the proxy that gives up.
TIMEOUT_S = 30.0
PASSED_ON = ("content-type", "accept", "x-chatwoot-delivery")
PASSED_ON_PREFIX = "x-chatwoot-"


@dataclass
class Proxy:
    """Where it listens, and why it had to answer 502, if it had to."""

    url: str
    lost: list[str] = field(default_factory=list)


@contextmanager
def in_front_of(backends: Sequence[str]) -> Iterator[Proxy]:
    """Serve until the block ends.

    Requests go to the backends in turn. One that refuses the connection is passed
    over; after a request was sent it is not repeated, as nginx does with a POST by
    default: the sender gets 502.
    """
    turns = itertools.cycle(range(len(backends)))
    proxy = Proxy(url="")

    class Handler(_Handler):
        def order(self) -> list[str]:
            first = next(turns)
            return [*backends[first:], *backends[:first]]

        def lose(self, why: str) -> None:
            proxy.lost.append(why)

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Takes all that the sandbox sends at once."""

    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """Passes one request on."""

    # One request for each connection, as Chatwoot's webhooks are sent.
    protocol_version = "HTTP/1.0"

    def order(self) -> list[str]:
        """Return the backends, the one whose turn it is first."""
        raise NotImplementedError

    def lose(self, why: str) -> None:
        """Note that a request could not be passed on."""
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in PASSED_ON or name.lower().startswith(PASSED_ON_PREFIX)
        }
        for backend in self.order():
            connection = http.client.HTTPConnection(
                urlsplit(backend).netloc, timeout=TIMEOUT_S
            )
            try:
                connection.connect()
            except OSError:
                continue
            try:
                connection.request("POST", self.path, body=body, headers=headers)
                answer = connection.getresponse()
                self._reply(answer.status, answer.read())
            except (OSError, http.client.HTTPException) as err:
                self.lose(f"{type(err).__name__}: {err}")
                self._reply(502, b"")
            finally:
                connection.close()
            return
        self.lose("every web process refused the connection")
        self._reply(502, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the sandbox keeps a log of what it sent."""

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
