from __future__ import annotations

import threading
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO

import pytest

from bridge_project.lib.errors import UpstreamUnavailable
from bridge_project.lib.http import FinishedCall, JsonApi
from bridge_project.lib.multipart import FormWithFile, SentFile

PNG = bytes(range(256)) * 2000


class Api(JsonApi):
    service = "dify"


@pytest.fixture
def stored() -> Iterator[IO[bytes]]:
    """A file on disk."""
    with SpooledTemporaryFile(max_size=1024) as content:
        content.write(PNG)
        yield content


def form(
    stored: IO[bytes], *, name: str = "seam.png", total_timeout_s: float = 60.0
) -> FormWithFile:
    file = SentFile(name=name, content_type="image/png", content=stored)
    return FormWithFile(
        fields={"user": "anna"},
        field="file",
        file=file,
        total_timeout_s=total_timeout_s,
    )


def test_a_server_reads_the_form_as_browsers_write_it(stored: IO[bytes]) -> None:
    received: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            kind = self.headers["Content-Type"]
            raw = f"Content-Type: {kind}\r\n\r\n".encode() + self.rfile.read(length)
            for part in BytesParser(policy=HTTP).parsebytes(raw).iter_parts():
                name = part.get_param("name", header="content-disposition")
                received[str(name)] = (
                    part.get_filename(),
                    part.get_content_type(),
                    part.get_payload(decode=True),
                )
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b'{"id": "1"}')

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    calls: list[FinishedCall] = []
    api = Api(base_url=f"http://127.0.0.1:{server.server_port}", call_log=calls.append)

    body = api.request_json(
        "POST", "/up", headers={}, form=form(stored), repeat_safe=True
    )

    thread.join()
    server.server_close()
    assert body == {"id": "1"}
    assert received["user"] == (None, "text/plain", b"anna")
    assert received["file"] == ("seam.png", "image/png", PNG)
    # The record names the file and holds nothing of it.
    assert calls[0].request_excerpt == (
        '{"user": "anna", "file": "seam.png (512000 bytes)"}'
    )


def test_it_is_read_in_pieces_and_as_long_as_it_says(stored: IO[bytes]) -> None:
    body = form(stored)
    length = len(body)

    pieces = iter(lambda: body.read(1000), b"")
    sizes = [len(piece) for piece in pieces]

    assert max(sizes) == 1000
    assert sum(sizes) == length


def test_names_cannot_break_out_of_their_line(stored: IO[bytes]) -> None:
    body = form(stored, name='a"b\r\nX-Evil: 1 фото.png')

    head = body.read(400).decode("utf-8", "replace")

    assert 'filename="a%22b  X-Evil: 1 фото.png"\r\n' in head


def test_what_takes_too_long_counts_as_not_there(stored: IO[bytes]) -> None:
    api = Api(base_url="http://127.0.0.1:9")
    late = form(stored, total_timeout_s=-1.0)
    with pytest.raises(TimeoutError):
        late.read(10)
    with pytest.raises(UpstreamUnavailable):
        api.request_json("POST", "/up", headers={}, form=late, repeat_safe=True)


def test_a_file_is_sent_from_its_beginning() -> None:
    content = BytesIO(b"abc")
    content.seek(2)
    file = SentFile(name="a", content_type="text/plain", content=content)

    body = FormWithFile(fields={}, field="file", file=file, total_timeout_s=9)

    assert b"\r\n\r\nabc\r\n" in body.read()
