"""Recorded bytes of real Dify servers, and ways to cut them up."""

from __future__ import annotations

from collections.abc import Iterator
from json import loads
from pathlib import Path
from random import Random
from typing import Any

from dify_api.collector import StreamCollector
from dify_api.sse import SseDecoder

RECORDINGS = Path(__file__).parent / "recordings"


def stream(name: str) -> bytes:
    """Return a recorded stream, for example "1.14.2/chat/02_echo_streaming…"."""
    return (RECORDINGS / f"{name}.sse").read_bytes()


def body(name: str) -> Any:
    """Return the JSON body of a recorded answer."""
    return loads((RECORDINGS / f"{name}.json").read_text())


def all_streams() -> list[str]:
    """Return the names of all recorded and composed streams."""
    return sorted(
        str(path.relative_to(RECORDINGS).with_suffix(""))
        for path in RECORDINGS.rglob("*.sse")
    )


def first_ids(data: bytes) -> dict[str, str]:
    """Return the ids of the first data event, read without our decoder."""
    names = ("task_id", "conversation_id", "message_id", "workflow_run_id")
    for line in data.splitlines():
        if line.startswith(b"data:"):
            event = loads(line[5:])
            return {name: event.get(name, "") for name in names}
    return dict.fromkeys(names, "")


def cut(data: bytes, *, size: int) -> Iterator[bytes]:
    """Cut into pieces of `size` bytes; 0 means random sizes, the same each time."""
    random = Random(len(data))
    position = 0
    while position < len(data):
        step = size or random.randint(1, 400)
        yield data[position : position + step]
        position += step


def collect(
    data: bytes, *, mode: str, size: int = 1 << 20, answer_output: str = ""
) -> StreamCollector:
    """Feed a stream, cut into pieces, to a collector as the client does."""
    collector = StreamCollector(mode=mode, answer_output=answer_output)
    decoder = SseDecoder()
    for piece in cut(data, size=size):
        for event in decoder.feed(piece):
            collector.feed_data(event)
    for event in decoder.end():
        collector.feed_data(event)
    return collector
