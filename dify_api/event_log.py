"""Makes of a run's event stream a list that a person can read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from json import loads

from bridge_project.lib.redact import cut, mask
from bridge_project.lib.types import JsonObject
from dify_api.reading import integer, nested, objects, text

MAX_EVENTS = 500
MAX_CHARS = 200_000
EXCERPT_CHARS = 300
# Pieces of one text: hundreds of them are one line with a count.
_PIECES = frozenset({"message", "agent_message", "text_chunk", "reasoning_chunk"})


class EventLog:
    """Keeps when each event came, its name and the beginning of what it says."""

    def __init__(self) -> None:
        self.rows: list[JsonObject] = []
        self.left_out = 0
        self._chars = 0

    def add(self, data: bytes, *, at_ms: int) -> None:
        """Take the data of one event; what is no event at all is left out."""
        event = _parsed(data)
        name = text(event, "event")[:100]
        if name in ("", "ping"):
            return
        said = cut(mask(_said(name, event)), max_chars=EXCERPT_CHARS)
        last = self.rows[-1] if self.rows else {}
        if name in _PIECES and last.get("event") == name:
            self._join(last, said, at_ms=at_ms)
            return
        if len(self.rows) >= MAX_EVENTS or self._chars > MAX_CHARS:
            self.left_out += 1
            return
        self.rows.append({"at_ms": at_ms, "event": name, "text": said, "count": 1})
        self._chars += len(name) + len(said)

    def _join(self, row: JsonObject, said: str, *, at_ms: int) -> None:
        """Make the next piece of a text a part of the line that has the others."""
        row["count"] = integer(row, "count") + 1
        row["until_ms"] = at_ms
        known = text(row, "text")
        if len(known) < EXCERPT_CHARS:
            row["text"] = (known + said)[:EXCERPT_CHARS]
            self._chars += len(text(row, "text")) - len(known)


def _parsed(data: bytes) -> JsonObject:
    try:
        event = loads(data)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _said(name: str, event: JsonObject) -> str:
    say = _SAY.get(name)
    if say is not None:
        return say(event)
    return _step(event) if "data" in event else ""


def _step(event: JsonObject) -> str:
    """Say of a node, a workflow or a loop what it is and how it went."""
    data = nested(event, "data")
    words = [text(data, key) for key in ("title", "node_type", "status", "error")]
    return " · ".join(filter(None, words))


def _thought(event: JsonObject) -> str:
    words = [text(event, key) for key in ("tool", "thought")]
    return " · ".join(filter(None, words))


def _end(event: JsonObject) -> str:
    usage = nested(nested(event, "metadata"), "usage")
    sources = nested(event, "metadata").get("retriever_resources")
    names = [text(source, "document_name") for source in objects(sources)]
    tokens = integer(usage, "total_tokens")
    words = [f"{tokens} tokens" if tokens else "", *names]
    return " · ".join(filter(None, words))


_SAY: dict[str, Callable[[JsonObject], str]] = {
    "message": lambda event: text(event, "answer"),
    "agent_message": lambda event: text(event, "answer"),
    "message_replace": lambda event: text(event, "answer"),
    "text_chunk": lambda event: text(nested(event, "data"), "text"),
    "text_replace": lambda event: text(nested(event, "data"), "text"),
    "reasoning_chunk": lambda event: text(nested(event, "data"), "reasoning"),
    "agent_thought": _thought,
    "message_end": _end,
    "message_file": lambda event: text(event, "type"),
    "error": lambda event: f"{text(event, 'code')} · {text(event, 'message')}",
    "tts_message": lambda event: "",
}
