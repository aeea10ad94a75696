"""A form with one file, read from disk while it is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from time import monotonic
from typing import IO
from uuid import uuid4

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SentFile:
    """A file to be sent: an open one, read from its beginning."""

    name: str
    content_type: str
    content: IO[bytes]

    def size(self) -> int:
        """Return how many bytes it has."""
        return self.content.seek(0, os.SEEK_END)


class FormWithFile:
    """A body of `multipart/form-data` that is never in memory as a whole.

    requests sends whatever has a length and can be read. Names are written as browsers
    do, in UTF-8, which Dify reads (recording files/08).
    """

    def __init__(
        self,
        *,
        fields: Mapping[str, str],
        field: str,
        file: SentFile,
        total_timeout_s: float,
    ) -> None:
        """`total_timeout_s`: time limits of sockets are for each write alone."""
        self._ends_at = monotonic() + total_timeout_s
        boundary = f"bridge-{uuid4().hex}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        # What a record of the call may hold of it.
        self.summary = {**fields, field: f"{file.name} ({file.size()} bytes)"}
        head = "".join(
            f"--{boundary}\r\nContent-Disposition: form-data; "
            f'name="{_quoted(name)}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field)}"; '
            f'filename="{_quoted(file.name)}"\r\n'
            f"Content-Type: {_one_line(file.content_type)}\r\n\r\n"
        )
        tail = f"\r\n--{boundary}--\r\n"
        self._parts: list[IO[bytes]] = [
            BytesIO(head.encode()),
            file.content,
            BytesIO(tail.encode()),
        ]
        self._length = len(head.encode()) + file.size() + len(tail.encode())
        file.content.seek(0)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, maybe fewer than `size`, b"" at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK_BYTES), b""))
        if monotonic() > self._ends_at:
            raise TimeoutError("The file could not be sent in time.")
        while self._parts:
            chunk = self._parts[0].read(size)
            if chunk:
                return chunk
            self._parts.pop(0)
        return b""


def _quoted(name: str) -> str:
    return _one_line(name).replace('"', "%22")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
