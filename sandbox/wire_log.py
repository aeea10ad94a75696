"""Every HTTP request in and out of the sandbox, kept in memory, tokens masked."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox import times
from sandbox.json_types import Json

BODY_LIMIT = 4096
KEPT_ENTRIES = 2000
_QUEUE_LIMIT = 1000
_SHOWN_HEADERS = (
    "content-type",
    "user-agent",
    "x-trace-id",
    "x-version",
    "x-chatwoot-delivery",
    "x-chatwoot-timestamp",
    "x-chatwoot-signature",
)
_SECRET_HEADERS = ("authorization", "api_access_token", "api-access-token")
_SECRET_JSON = re.compile(
    r'("(?:pubsub_token|access_token|api_access_token|secret|conversation_token)"'
    r'\s*:\s*")([^"]*)(")'
)
# The bridge's own tokens, wherever a flow may repeat one.
_BRIDGE_TOKEN = re.compile(r"\b(bridge-(?:bot|conv)-)[\w.:=-]{8,}", re.ASCII)
_SECRET_QUERY = re.compile(r"((?:token|key|sign)=)[^&\s\"]+")


@dataclass
class WireEntry:
    """One request. ``direction`` reads sender → receiver.

    The bodies' first bytes are kept as they came, and masked when somebody reads them:
    under load nobody does.
    """

    id: int
    direction: str
    method: str
    path: str
    started_at: float
    status: int | None = None
    ms: int | None = None
    open: bool = True
    error: str | None = None
    note: str | None = None
    request_headers: dict[str, str] = field(default_factory=dict)
    request_raw: bytes = b""
    request_bytes: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_raw: bytes = b""
    response_bytes: int = 0

    @property
    def request_body(self) -> str:
        kind = self.request_headers.get("content-type", "")
        return shown_body(self.request_raw, kind=kind, size=self.request_bytes)

    @property
    def response_body(self) -> str:
        kind = self.response_headers.get("content-type", "")
        return shown_body(self.response_raw, kind=kind, size=self.response_bytes)

    def brief(self) -> Json:
        return {
            "id": self.id,
            "direction": self.direction,
            "method": self.method,
            "path": self.path,
            "started_at": self.started_at,
            "status": self.status,
            "ms": self.ms,
            "open": self.open,
            "error": self.error,
            "note": self.note,
            "response_bytes": self.response_bytes,
        }

    def full(self) -> Json:
        return {
            **self.brief(),
            "request_headers": self.request_headers,
            "request_body": self.request_body,
            "response_headers": self.response_headers,
            "response_body": self.response_body,
        }


def mask(secret: str) -> str:
    """First characters only, enough to tell two keys apart."""
    scheme, space, token = secret.rpartition(" ")
    if len(token) <= 8:
        return f"{scheme}{space}***"
    return f"{scheme}{space}{token[:4]}***{token[-3:]}"


def mask_text(text: str) -> str:
    """The text without the secrets that can be told by their name or shape."""
    text = _SECRET_JSON.sub(lambda m: f"{m[1]}{mask(m[2])}{m[3]}", text)
    return _BRIDGE_TOKEN.sub(r"\1***", text)


def shown_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _SECRET_HEADERS:
            shown[lower] = mask(value)
        elif lower in _SHOWN_HEADERS:
            shown[lower] = value
    return shown


def shown_body(raw: bytes, *, kind: str, size: int) -> str:
    """Text of a body's first bytes cut at BODY_LIMIT, with secrets replaced."""
    if kind.startswith(("image/", "audio/", "video/")):
        return f"({size} bytes of {kind})"
    text = raw[:BODY_LIMIT].decode("utf-8", errors="replace")
    text = mask_text(text)
    return text if size <= BODY_LIMIT else f"{text}…"


class WireLog:
    """A ring of entries plus live listeners: the page and anything that waits."""

    def __init__(self) -> None:
        self.entries: deque[WireEntry] = deque(maxlen=KEPT_ENTRIES)
        self._ids = itertools.count(1)
        self._listeners: set[asyncio.Queue[Json]] = set()

    def start(self, *, direction: str, method: str, path: str) -> WireEntry:
        entry = WireEntry(
            id=next(self._ids),
            direction=direction,
            method=method,
            path=_BRIDGE_TOKEN.sub(r"\1***", _SECRET_QUERY.sub(r"\1***", path)),
            started_at=times.now(),
        )
        self.entries.append(entry)
        return entry

    def keep_request(
        self, entry: WireEntry, *, headers: Iterable[tuple[str, str]], body: bytes
    ) -> None:
        entry.request_headers = shown_headers(headers)
        entry.request_raw = body[:BODY_LIMIT]
        entry.request_bytes = len(body)
        self.touch(entry)

    def keep_response(
        self,
        entry: WireEntry,
        *,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> None:
        """For answers that the sandbox itself has asked for."""
        entry.status = status
        entry.response_headers = shown_headers(headers)
        entry.response_raw = body[:BODY_LIMIT]
        entry.response_bytes = len(body)
        self.touch(entry)

    def touch(self, entry: WireEntry) -> None:
        """Tell the listeners that an entry is new or has changed."""
        if self._listeners:
            self.publish({"type": "wire", "entry": entry.brief()})

    def finish(self, entry: WireEntry, *, error: str | None = None) -> None:
        entry.open = False
        entry.error = error or entry.error
        entry.ms = round((times.now() - entry.started_at) * 1000)
        self.touch(entry)

    def publish(self, news: Json) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # a page that sleeps loses the oldest news
            queue.put_nowait(news)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Json]]:
        queue: asyncio.Queue[Json] = asyncio.Queue(_QUEUE_LIMIT)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def clear(self) -> None:
        self.entries.clear()

    def find(
        self,
        *,
        direction: str = "",
        method: str = "",
        path: str = "",
        text: str = "",
        status: int | None = None,
        after_id: int = 0,
    ) -> list[WireEntry]:
        """Entries that fit all given filters, oldest first. Texts are substrings."""
        return [
            entry
            for entry in self.entries
            if entry.id > after_id
            and direction in entry.direction
            and (not method or entry.method == method.upper())
            and path in entry.path
            and (not text or text in entry.request_body or text in entry.response_body)
            and (status is None or entry.status == status)
        ]
