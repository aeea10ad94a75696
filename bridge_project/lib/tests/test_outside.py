from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest

from bridge_project.lib.errors import (
    NotFound,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.outside import fetch, fetch_into

MAX_BYTES = 1000
PUBLIC = "93.184.215.14"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A real HTTP server on 127.0.0.1; its paths are functions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.paths: dict[str, Answer] = {}
        asked, paths = self.asked, self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                with suppress(ConnectionError):
                    paths[self.path.partition("?")[0]](self)

            def log_message(self, *_args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(
        target=server.http.serve_forever, args=(0.02,), daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def refusal(url: str, **arguments: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        fetch(url, **{"max_bytes": MAX_BYTES} | arguments)
    return caught.value


def test_own_server_may_be_private(server: Server) -> None:
    server.paths["/app/a.png"] = answer(200, b"picture", Content_Type="image/png")

    file = fetch(
        f"{server.url}/app/a.png?sig=1",
        own_places=[f"{server.url}/app/"],
        max_bytes=MAX_BYTES,
    )

    assert (file.content, file.content_type) == (b"picture", "image/png")
    ((path, headers),) = server.asked
    assert path == "/app/a.png?sig=1"
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    "own",
    [
        [],
        ["http://127.0.0.1:1"],
        ["https://127.0.0.1:{port}"],
        ["http://localhost:{port}"],
        ["http://127.0.0.1"],
    ],
)
def test_private_address_is_refused_unless_scheme_host_and_port_are_our_own(
    server: Server, *, own: list[str]
) -> None:
    server.paths["/"] = answer(200, b"secret")
    own = [address.format(port=server.http.server_port) for address in own]

    error = refusal(f"{server.url}/", own_places=own)

    assert type(error) is UpstreamRejected
    assert error.code == "address_refused"
    assert server.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/files",
        "/filesystem/a",
        "/files/../console/api",
        "/files/%2e%2e/console/api",
        "/files/%252e%252e/console/api",
        "/files/..%5cconsole",
    ],
)
def test_own_server_is_private_but_for_its_files(server: Server, *, path: str) -> None:
    error = refusal(server.url + path, own_places=[f"{server.url}/files/"])

    assert error.code == "address_refused"
    assert server.asked == []


def test_redirect_of_an_own_file_to_another_page_is_refused(server: Server) -> None:
    server.paths["/files/a"] = answer(302, Location="/admin")

    error = refusal(f"{server.url}/files/a", own_places=[f"{server.url}/files/"])

    assert error.code == "address_refused"
    assert len(server.asked) == 1


NO_ADDRESSES = [
    "http://[",
    "http://[::1",
    "http://a\u2100b.com/",
    "http://a:b/",
    "http://[::1]x/",
    "http://\x00/",
]


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_refused(url: str) -> None:
    assert refusal(url).code == "address_refused"


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "//[x"])
def test_redirect_to_what_is_no_address_is_refused(
    server: Server, *, location: str
) -> None:
    server.paths["/"] = answer(302, Location=location)

    error = refusal(f"{server.url}/", own_places=[server.url])

    assert error.code == "address_refused"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
    ],
)
def test_addresses_inside_are_refused_before_anything_is_sent(host: str) -> None:
    error = refusal(f"http://{host}:9/")

    assert error.code == "address_refused"
    assert not error.retryable


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://files.example.com/a",
        "gopher://files.example.com/",
        "//files.example.com/a",
        "files.example.com/a",
        "",
        "http://",
        "http://user:password@files.example.com/a",
        "http://user@files.example.com/a",
        "http://files.example.com:port/a",
    ],
)
def test_strange_addresses_are_refused(url: str) -> None:
    error = refusal(url)

    assert error.code == "address_refused"
    assert "password" not in str(error)


def test_redirect_from_our_own_server_into_the_network_is_refused(
    server: Server,
) -> None:
    with serving() as inside:
        inside.paths["/"] = answer(200, b"secret")
        server.paths["/"] = answer(302, Location=f"{inside.url}/")

        error = refusal(f"{server.url}/", own_places=[server.url])

        assert error.code == "address_refused"
        assert inside.asked == []


def test_redirect_to_a_file_is_refused(server: Server) -> None:
    server.paths["/"] = answer(302, Location="file:///etc/passwd")

    assert refusal(f"{server.url}/", own_places=[server.url]).code == "address_refused"


def test_three_redirects_are_followed_a_fourth_is_not(server: Server) -> None:
    for step in range(4):
        server.paths[f"/{step}"] = answer(302, Location=f"/{step + 1}")
    server.paths["/4"] = answer(200, b"here")

    file = fetch(f"{server.url}/1", own_places=[server.url], max_bytes=MAX_BYTES)
    error = refusal(f"{server.url}/0", own_places=[server.url])

    assert file.content == b"here"
    assert error.code == "too_many_redirects"
    assert [path for path, _ in server.asked] == [
        *("/1", "/2", "/3", "/4"),
        *("/0", "/1", "/2", "/3"),
    ]


def test_name_is_resolved_once_and_that_address_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that answers differently the second time gains nothing."""
    answers = [PUBLIC, "127.0.0.1"]
    called: list[object] = []

    def resolve(host: str, port: int, *_args: object, **_kwargs: object) -> object:
        assert host in ("rebind.example.com", PUBLIC)
        address = answers.pop(0) if host == "rebind.example.com" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(_socket: object, address: object) -> None:
        called.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)

    error = refusal("http://rebind.example.com/")

    assert type(error) is UpstreamUnavailable
    assert called == [(PUBLIC, 80)]
    assert answers == ["127.0.0.1"]


def test_proxies_of_the_environment_are_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)

    assert refusal("http://10.0.0.1/").code == "address_refused"
    assert server.asked == []


@pytest.mark.parametrize("announced", [True, False])
def test_file_that_is_too_large_is_refused(server: Server, *, announced: bool) -> None:
    body = b"x" * (MAX_BYTES + 1)
    headers = {"Content_Length": str(len(body))} if announced else {}
    server.paths["/"] = answer(200, body, **headers)

    error = refusal(f"{server.url}/", own_places=[server.url])

    assert (type(error), error.code) == (UpstreamRejected, "too_large")


def test_file_of_just_the_limit_is_taken(server: Server) -> None:
    server.paths["/"] = answer(200, b"x" * MAX_BYTES)

    file = fetch(f"{server.url}/", own_places=[server.url], max_bytes=MAX_BYTES)

    assert len(file.content) == MAX_BYTES


def test_endless_file_is_cut_at_the_limit(server: Server) -> None:
    sent: list[int] = []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 100_000)
            sent.append(100_000)

    server.paths["/"] = endless

    error = refusal(f"{server.url}/", own_places=[server.url], max_bytes=200_000)

    assert error.code == "too_large"


def test_compressed_file_is_not_unpacked(server: Server) -> None:
    server.paths["/"] = answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    assert type(refusal(f"{server.url}/", own_places=[server.url])) is UnexpectedReply


@pytest.mark.parametrize("where", ["head", "body"])
def test_server_that_dawdles_is_left_in_time(server: Server, *, where: str) -> None:
    """Each byte comes in time, the whole never does."""
    over = threading.Event()

    def dawdle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        if where == "body":
            handler.wfile.write(b"no\r\n\r\n")
        while not over.wait(0.05):
            handler.wfile.write(b"x")

    server.paths["/"] = dawdle

    error = refusal(f"{server.url}/", own_places=[server.url], total_timeout_s=0.4)
    over.set()

    assert type(error) is UpstreamUnavailable
    assert "in time" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (418, UpstreamRejected),
        (429, UpstreamUnavailable),
        (500, UpstreamUnavailable),
    ],
)
def test_failures_are_our_errors(
    server: Server, *, status: int, kind: type[UpstreamError]
) -> None:
    server.paths["/a"] = answer(status)

    error = refusal(f"{server.url}/a?token=key", own_places=[server.url])

    assert type(error) is kind
    assert error.status == status
    assert str(error) == (
        f"The file's server answered {status}. [outside GET 127.0.0.1/a, HTTP {status}]"
    )


def test_file_that_ends_early_is_no_file(server: Server) -> None:
    server.paths["/"] = answer(200, b"half", Content_Length="8")

    error = refusal(f"{server.url}/", own_places=[server.url])

    assert type(error) is UpstreamUnavailable


def test_server_that_is_not_there_may_come_back() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        error = refusal(f"{url}/", own_places=[url])

    assert type(error) is UpstreamUnavailable


def test_a_file_is_written_as_it_arrives(server: Server) -> None:
    kind = {"Content_Type": "audio/ogg"}
    server.paths["/voice"] = answer(200, b"a" * MAX_BYTES, **kind)
    file = BytesIO()

    content_type = fetch_into(
        file,
        url=f"{server.url}/voice",
        own_places=[f"{server.url}/"],
        max_bytes=MAX_BYTES,
    )

    assert (content_type, file.getvalue()) == ("audio/ogg", b"a" * MAX_BYTES)


def test_a_larger_file_is_never_written_whole(server: Server) -> None:
    server.paths["/voice"] = answer(200, b"a" * (MAX_BYTES + 1))
    file = BytesIO()

    with pytest.raises(UpstreamRejected) as caught:
        fetch_into(
            file,
            url=f"{server.url}/voice",
            own_places=[f"{server.url}/"],
            max_bytes=MAX_BYTES,
        )

    assert caught.value.code == "too_large"
    assert len(file.getvalue()) <= MAX_BYTES
