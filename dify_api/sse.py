"""Cuts a server's byte stream into the data of its events.

sseclient-py 1.9 was looked at: it has no limit for a frame, adds up a long line in
quadratic time, and dies of bytes that are not UTF-8 with a bare UnicodeDecodeError;
httpx-sse would bring httpx along. What Dify sends needs little: only `data` counts (the
event's name stands in the JSON again), and `event: ping` has no data at all.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from dify_api.failures import DifyUnexpectedReply

# Longest data of one event. Dify sends node outputs uncut (reference section 2), of
# which an HTTP node alone may have 10 MB.
MAX_FRAME_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SseDecoder:
    """Push bytes in as they come, get the data of finished events out."""

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._pieces: list[bytes] = []  # of a line whose end has not come
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._data_size = 0
        self._size = 0  # of both
        self._is_first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that `chunk` completes.

        Raises DifyUnexpectedReply when an event grows beyond the limit.
        """
        if not chunk:
            return []
        self._grow(len(chunk))
        # A carriage return at the end may be half of CRLF: the next byte tells.
        undecided = bool(self._pieces) and self._pieces[-1].endswith(b"\r")
        self._pieces.append(chunk)
        if not undecided and b"\n" not in chunk and b"\r" not in chunk:
            return []
        lines = b"".join(self._pieces).splitlines(keepends=True)
        self._pieces = [] if lines[-1].endswith(b"\n") else [lines.pop()]
        return self._take(lines)

    def end(self) -> list[bytes]:
        """Return the data of an event that lacks its blank line, if there is one."""
        lines = b"".join(self._pieces).splitlines()
        self._pieces = []
        return self._take([*lines, b"\n"])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            content = line.rstrip(b"\r\n")
            if self._is_first:
                content = content.removeprefix(_BOM)
                self._is_first = False
            if not content:
                # An event with empty data is none, says the standard.
                if any(self._data):
                    events.append(b"\n".join(self._data))
                self._data, self._data_size = [], 0
                continue
            name, _, value = content.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
                # An empty line takes memory, too.
                self._data_size += len(line)
        self._size = self._data_size + sum(map(len, self._pieces))
        return events

    def _grow(self, added: int) -> None:
        self._size += added
        if self._size > self._max_frame_bytes:
            raise DifyUnexpectedReply(
                f"Dify sent an event of more than {self._max_frame_bytes} bytes. A "
                "node of the flow has an output that is too large to be streamed.",
                service="dify",
                code="event_too_large",
            )
