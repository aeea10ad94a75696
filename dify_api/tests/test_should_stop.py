"""Callers that change their mind while a run is followed."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dify_api import stream as stream_module
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.failures import (
    DifyError,
    RunAborted,
    RunTooLong,
    SilentStream,
    StreamCut,
)
from dify_api.payloads import DifyReply, StreamIds
from dify_api.stream import RunStream
from dify_api.tests import recorded
from dify_api.tests.scripted import (
    LAST_CHUNK,
    PING,
    SSE_HEADERS,
    Exchange,
    ScriptedServer,
    chunk,
)

Serve = Callable[[Callable[[Exchange], None]], ScriptedServer]

CHATFLOW = recorded.stream("1.14.2/chat/02_echo_streaming_first_turn")
IDS = StreamIds(**recorded.first_ids(CHATFLOW))
STARTED = CHATFLOW[: CHATFLOW.index(b"node_started")].rpartition(b"data:")[0]
CLOSE_DELIMITED = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask often, so that no test waits for seconds."""
    monkeypatch.setattr(stream_module, "ASK_EVERY_S", 0.01)


@pytest.fixture
def sluggish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask so rarely that whoever waits for the next question waits too long."""
    monkeypatch.setattr(stream_module, "ASK_EVERY_S", 1000.0)


def connection(server: ScriptedServer, **limits: float) -> DifyConnection:
    values: dict[str, Any] = {
        "first_event_timeout_s": 10.0,
        "idle_timeout_s": 10.0,
        "total_timeout_s": 10.0,
    }
    return DifyConnection(
        server.url, "app-key", mode="advanced-chat", **{**values, **limits}
    )


def run(
    server: ScriptedServer, should_stop: Callable[[], bool], **limits: float
) -> DifyReply:
    return DifyClient(connection(server, **limits)).run(
        query="Hello", inputs={}, user="u1", should_stop=should_stop
    )


def after(times: int) -> Callable[[], bool]:
    """Say no `times` times, then yes."""
    asked = count(1)
    return lambda: next(asked) > times


def never() -> bool:
    return False


def silent(exchange: Exchange) -> None:
    exchange.send_stream(STARTED)
    exchange.hang()


def headers_only(exchange: Exchange) -> None:
    exchange.send(SSE_HEADERS)
    exchange.hang()


def pinging(exchange: Exchange) -> None:
    exchange.send_stream(STARTED)
    exchange.repeat(chunk(PING))


def trickling(exchange: Exchange) -> None:
    exchange.send_stream(STARTED)
    exchange.send(b"ffff\r\n")
    exchange.repeat(b"x")


def close_delimited(exchange: Exchange) -> None:
    exchange.send(CLOSE_DELIMITED + STARTED)
    exchange.hang()


@pytest.mark.parametrize(
    ("script", "ids"),
    [
        (silent, IDS),
        (headers_only, None),
        (pinging, IDS),
        (trickling, IDS),
        (close_delimited, IDS),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_run_is_given_up_whatever_arrives(
    serve: Serve, script: Callable[[Exchange], None], ids: StreamIds | None
) -> None:
    with pytest.raises(RunAborted) as caught:
        run(serve(script), after(20))

    assert caught.value.code == "run_aborted"
    assert not caught.value.retryable
    assert caught.value.ids == ids
    assert str(caught.value).startswith("The bridge itself gave the run up")


@pytest.mark.usefixtures("impatient")
def test_connection_of_a_run_given_up_is_closed_and_told(serve: Serve) -> None:
    told: list[tuple[int | None, str]] = []
    gone: list[bool] = []
    seen = Event()

    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        gone.append(exchange.socket.recv(1) == b"")
        seen.set()

    server = serve(script)
    client = DifyClient(
        connection(server),
        call_log=lambda call: told.append((call.status, call.error_code)),
    )
    with pytest.raises(RunAborted):
        client.run(query="Hi", inputs={}, user="u", should_stop=after(3))

    assert seen.wait(5)
    assert gone == [True]
    assert told == [(200, "run_aborted")]


def test_run_is_given_up_before_its_first_byte(
    serve: Serve,
) -> None:
    """The first question comes before the first read."""
    with pytest.raises(RunAborted):
        run(serve(silent), after(0))


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
@pytest.mark.usefixtures("impatient")
def test_reply_is_the_same_for_a_caller_that_never_stops(
    serve: Serve, size: int
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(CHATFLOW, size=size)
        exchange.hang()

    reply = run(serve(script), never)

    assert reply.answer == "echo: Hello stream 🙂"
    assert reply.ids == IDS


@pytest.mark.usefixtures("sluggish")
def test_bytes_that_wait_in_a_buffer_are_seen_at_once(serve: Serve) -> None:
    """They make no socket readable; 8 KiB of them fit into http.client's buffer."""
    pieces = [chunk(piece) for piece in recorded.cut(CHATFLOW, size=50)]

    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS + b"".join(pieces))
        exchange.hang()

    assert run(serve(script), never, idle_timeout_s=3.0).is_answer


@pytest.mark.usefixtures("sluggish")
def test_end_of_the_stream_is_seen_at_once(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.send(LAST_CHUNK)
        exchange.hang()

    with pytest.raises(StreamCut, match="without an ending event"):
        run(serve(script), never)


@pytest.mark.parametrize(
    ("script", "limits", "kind"),
    [
        (headers_only, {"first_event_timeout_s": 0.1}, SilentStream),
        (silent, {"idle_timeout_s": 0.1}, StreamCut),
        (silent, {"total_timeout_s": 0.1}, RunTooLong),
        (pinging, {"total_timeout_s": 0.2}, RunTooLong),
        (trickling, {"total_timeout_s": 0.2}, RunTooLong),
        (close_delimited, {"idle_timeout_s": 0.1}, StreamCut),
    ],
)
@pytest.mark.parametrize("rhythm", ["impatient", "sluggish"])
def test_limits_hold_for_a_caller_that_never_stops(
    serve: Serve,
    request: pytest.FixtureRequest,
    rhythm: str,
    script: Callable[[Exchange], None],
    limits: dict[str, float],
    kind: type[DifyError],
) -> None:
    request.getfixturevalue(rhythm)

    with pytest.raises(DifyError) as caught:
        run(serve(script), never, **limits)

    assert type(caught.value) is kind


@pytest.mark.parametrize("error", [TimeoutError, OSError, ValueError])
@pytest.mark.usefixtures("impatient")
def test_what_the_caller_raises_comes_out(serve: Serve, error: type[Exception]) -> None:
    """Also what would pass for a failure of the connection."""

    def should_stop() -> bool:
        raise error("of the caller")

    with pytest.raises(error, match="of the caller"):
        run(serve(silent), should_stop)


@pytest.fixture
def tls_serve(
    tmp_path: Path,
) -> Iterator[Callable[[Callable[[Exchange], None]], ScriptedServer]]:
    """Start servers that speak TLS; their certificate is in `server.pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(tmp_path))
    servers: list[ScriptedServer] = []

    def start(script: Callable[[Exchange], None]) -> ScriptedServer:
        servers.append(ScriptedServer(script, tls=context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def make_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def follow_by_tls(
    server: ScriptedServer, folder: Path, should_stop: Callable[[], bool]
) -> DifyReply:
    started = monotonic()
    with requests.post(
        server.url, stream=True, verify=str(folder / "server.pem"), timeout=10
    ) as response:
        return RunStream(
            response,
            connection=connection(server, idle_timeout_s=3.0),
            started=started,
            should_stop=should_stop,
        ).follow()


@pytest.mark.usefixtures("sluggish")
def test_bytes_that_tls_has_decrypted_already_are_seen_at_once(
    tls_serve: Serve, tmp_path: Path
) -> None:
    """A record holds 16 KiB, of which http.client takes 8 at a time."""
    padding = b": " + b"x" * 30_000 + b"\n\n"

    def script(exchange: Exchange) -> None:
        pieces = recorded.cut(padding + CHATFLOW, size=500)
        exchange.send(SSE_HEADERS + b"".join(map(chunk, pieces)))
        exchange.hang()

    assert follow_by_tls(tls_serve(script), tmp_path, never).is_answer


@pytest.mark.usefixtures("sluggish")
def test_bytes_that_tls_alone_still_holds_are_seen_at_once(
    tls_serve: Serve, tmp_path: Path
) -> None:
    """http.client's 8 KiB end with a chunk; the next one is in the same record."""
    room = 8192 - len(SSE_HEADERS) - len(b"1fff\r\n" + b"\r\n")
    padding = chunk(b":".ljust(room - 2, b"x") + b"\n\n")
    assert len(SSE_HEADERS + padding) == 8192

    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS + padding + chunk(CHATFLOW))
        exchange.hang()

    assert len(CHATFLOW) < 8000
    assert follow_by_tls(tls_serve(script), tmp_path, never).is_answer


@pytest.mark.usefixtures("impatient")
def test_run_is_given_up_behind_tls(tls_serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(RunAborted) as caught:
        follow_by_tls(tls_serve(silent), tmp_path, after(20))

    assert caught.value.ids == IDS
