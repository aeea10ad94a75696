"""Reads one run's event stream to its end, within the app's limits.

The socket's timeout is set anew before each read to what is left until the nearest
limit, so limits hold to the millisecond against silence. `read1` returns what has
arrived and never waits for more, so that they also hold against pings and trickling
bytes, and events are seen the moment they come.

A caller that may change its mind (`should_stop`) is asked once a second. urllib3 gives
a response up after a timeout, so such a stream is not read in slices but waited for in
slices, and read once there is something. Only while a line of HTTP comes in pieces (the
length of a chunk) is the caller not asked, until the nearest limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from io import BufferedReader
from socket import socket
from ssl import SSLWantReadError
from time import monotonic

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util.wait import wait_for_read

from dify_api.collector import StreamCollector
from dify_api.connection import DifyConnection
from dify_api.failures import (
    DifyError,
    DifyUnexpectedReply,
    RunAborted,
    RunTooLong,
    SilentStream,
    StreamCut,
)
from dify_api.payloads import DifyReply, StreamIds, StreamProgress
from dify_api.sse import SseDecoder

READ_BYTES = 64 * 1024
PROGRESS_INTERVAL_S = 10.0
# 1.14 sends `workflow_finished` in the same millisecond as `message_end`.
DETAILS_WAIT_S = 1.0
# 0.15 and 1.12 ask the moderation between `workflow_finished` and `message_end`.
MESSAGE_END_WAIT_S = 30.0

# How long at most a `should_stop` is not asked.
ASK_EVERY_S = 1.0

OnProgress = Callable[[StreamProgress], None]
ShouldStop = Callable[[], bool]
# Called with each event's data as it came, when (ms since the request), and with what
# has been collected by then.
OnEvent = Callable[[bytes, int, StreamCollector], None]


class _Limit(Enum):
    """What a deadline belongs to."""

    FIRST_EVENT = "first event"
    IDLE = "idle"
    TOTAL = "total"
    DETAILS = "details"


class RunStream:
    """Follows one run; its response is closed by whoever opened it."""

    def __init__(
        self,
        response: requests.Response,
        *,
        connection: DifyConnection,
        started: float,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """`started` is when the request was sent, by the monotonic clock."""
        self.collector = StreamCollector(
            mode=connection.mode, answer_output=connection.answer_output
        )
        self._raw: BaseHTTPResponse = response.raw
        self._connection = connection
        self._on_progress = on_progress
        self._on_event = on_event
        self._should_stop = should_stop
        self._ask_at = started  # when `should_stop` is to be asked next
        self._decoder = SseDecoder()
        self._started = started
        self._last_byte_at = started
        self._told_at = started
        self._told_ids: StreamIds | None = None
        self._complete_at: float | None = None
        self._first_event_ms: int | None = None
        self._first_text_ms: int | None = None

    def follow(self) -> DifyReply:
        """Return the reply.

        Raises the failure that Dify reports, SilentStream, StreamCut, RunTooLong,
        RunAborted or DifyUnexpectedReply, all with the ids known by then, and whatever
        `on_progress` and `should_stop` raise.
        """
        try:
            while not self.collector.is_finished:
                chunk = self._read()
                if not chunk:
                    break
                self._take(chunk)
            return replace(
                self.collector.result(),
                first_event_ms=self._first_event_ms,
                first_text_ms=self._first_text_ms,
                duration_ms=self._elapsed_ms(monotonic()),
            )
        except DifyError as err:
            err.ids = self._known_ids()
            raise

    def _read(self) -> bytes:
        """Return the next bytes; b"" if the reply is complete without more."""
        deadline, limit = self._deadline()
        while True:
            self._ask()
            try:
                if not self._has_arrived(deadline):
                    continue
                chunk = self._raw.read1(READ_BYTES, decode_content=True)
            except (TimeoutError, ReadTimeoutError) as err:
                if self._is_complete():
                    return b""
                raise self._limit_error(limit) from err
            except (HTTPError, OSError) as err:
                if self._is_complete():
                    return b""
                raise self._cut_error("The connection to Dify broke off") from err
            return chunk or self._at_end()

    def _ask(self) -> None:
        """Ask the caller once a second whether it still wants the run."""
        now = monotonic()
        if self._should_stop is None or now < self._ask_at:
            return
        self._ask_at = now + ASK_EVERY_S
        if self._should_stop():
            raise RunAborted(
                "The bridge itself gave the run up while Dify was at work on it: its "
                "answer is no longer wanted, or the worker is being stopped.",
                service="dify",
            )

    def _has_arrived(self, deadline: float) -> bool:
        """Tell whether to read now; the read will not last beyond the deadline."""
        now = monotonic()
        if deadline <= now:
            raise TimeoutError
        if self._should_stop is not None and not self._is_readable(
            min(deadline, self._ask_at) - now
        ):
            return False
        sock = self._socket()
        if sock is not None:
            sock.settimeout(max(deadline - monotonic(), 0.001))
        return True

    def _is_readable(self, wait_s: float) -> bool:
        """Wait for bytes, also for those that buffers below us hold already."""
        buffer, sock = self._buffer(), self._socket()
        if buffer is None or sock is None:
            return True
        if getattr(self._raw, "_has_decoded_content", False):
            return True  # gzip, which nobody asked for
        sock.settimeout(0)
        try:
            held = buffer.peek(1)
        except SSLWantReadError:
            held = b""  # TLS says so where plain sockets give no bytes
        if self._is_enough(held):
            return True
        # Bytes that TLS has decrypted make no socket readable.
        pending = getattr(sock, "pending", None)
        if pending is not None and pending():
            return True
        return wait_for_read(sock, timeout=max(wait_s, 0.0))

    def _is_enough(self, held: bytes) -> bool:
        """Tell whether http.client can go on without the network.

        Between two chunks it needs the whole line that tells the next one's length;
        after the first chunk the line break that ends the last one comes before it.
        """
        response = getattr(self._raw, "_fp", None)
        chunk_left = getattr(response, "chunk_left", None)
        if not getattr(response, "chunked", False) or chunk_left:
            return bool(held)
        return b"\n" in (held if chunk_left is None else held[2:])

    def _at_end(self) -> bytes:
        """Take an event that lacks its blank line; then the reply must be complete."""
        try:
            for data in self._decoder.end():
                self.collector.feed_data(data)
                self._show(data, monotonic())
        except DifyUnexpectedReply as err:
            raise self._cut_error("Dify ended the stream within an event") from err
        if self.collector.is_finished or self._is_complete():
            return b""
        if not self.collector.has_begun:
            raise self._silent_error("ended the stream without any event")
        raise self._cut_error("Dify ended the stream without an ending event")

    def _take(self, chunk: bytes) -> None:
        now = self._last_byte_at = monotonic()
        for data in self._decoder.feed(chunk):
            self.collector.feed_data(data)
            if self._first_event_ms is None and self.collector.has_begun:
                self._first_event_ms = self._elapsed_ms(now)
            if self._first_text_ms is None and self.collector.has_text:
                self._first_text_ms = self._elapsed_ms(now)
            self._tell(now)
            self._show(data, now)
            if self.collector.is_finished:
                return
        if self._complete_at is None and self._is_complete():
            self._complete_at = now
        self._tell(now)

    def _show(self, data: bytes, now: float) -> None:
        if self._on_event is not None:
            self._on_event(data, self._elapsed_ms(now), self.collector)

    def _tell(self, now: float) -> None:
        """Tell the caller of new ids at once, and that the run lives now and then."""
        if self._on_progress is None:
            return
        ids = self.collector.ids
        changed = self.collector.has_begun and ids != self._told_ids
        if changed or now - self._told_at >= PROGRESS_INTERVAL_S:
            self._told_at = now
            self._told_ids = ids if self.collector.has_begun else None
            self._on_progress(
                StreamProgress(
                    ids=ids, ids_changed=changed, elapsed_ms=self._elapsed_ms(now)
                )
            )

    def _deadline(self) -> tuple[float, _Limit]:
        """Return when to stop waiting, and why."""
        total = self._started + self._connection.total_timeout_s
        if self._complete_at is not None:
            wait_s = DETAILS_WAIT_S if self.collector.has_ended else MESSAGE_END_WAIT_S
            limit, moment = _Limit.DETAILS, self._complete_at + wait_s
        elif self.collector.has_begun:
            limit = _Limit.IDLE
            moment = self._last_byte_at + self._connection.idle_timeout_s
        else:
            limit = _Limit.FIRST_EVENT
            moment = self._started + self._connection.first_event_timeout_s
        return (moment, limit) if moment <= total else (total, _Limit.TOTAL)

    def _buffer(self) -> BufferedReader | None:
        """Return what http.client reads from; None at the end of the answer."""
        buffer = getattr(getattr(self._raw, "_fp", None), "fp", None)
        return buffer if isinstance(buffer, BufferedReader) else None

    def _socket(self) -> socket | None:
        """Return the connection's socket.

        The buffer has it also where urllib3 has let go of it (`Connection: close`).
        """
        found: socket | None = getattr(
            getattr(self._buffer(), "raw", None), "_sock", None
        )
        return found

    def _is_complete(self) -> bool:
        return self.collector.has_ended or self.collector.awaits_message_end

    def _known_ids(self) -> StreamIds | None:
        return self.collector.ids if self.collector.has_begun else None

    def _elapsed_ms(self, now: float) -> int:
        return round((now - self._started) * 1000)

    def _limit_error(self, limit: _Limit) -> DifyError:
        if limit is _Limit.TOTAL:
            return RunTooLong(
                f"The run took longer than {self._connection.total_timeout_s:g} s, the "
                "app's total limit. Make the flow quicker, or raise the limit.",
                service="dify",
            )
        if limit is _Limit.FIRST_EVENT:
            limit_s = self._connection.first_event_timeout_s
            return self._silent_error(f"sent no event within {limit_s:g} s")
        idle_s = self._connection.idle_timeout_s
        return self._cut_error(f"Dify sent nothing for {idle_s:g} s")

    def _silent_error(self, what: str) -> SilentStream:
        return SilentStream(
            f"Dify accepted the run, but {what}. The conversation may be gone, a "
            "required input may be missing, or Dify's workers are busy or down.",
            service="dify",
            status=200,
        )

    def _cut_error(self, what: str) -> StreamCut:
        return StreamCut(
            f"{what} in the middle of a run. The run may go on in Dify.",
            service="dify",
            status=200,
            excerpt=self.collector.text_so_far(),
        )
