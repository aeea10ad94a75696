"""Streams that no Dify sends: a reply or a DifyError, and little memory."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO
from time import monotonic
from typing import Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from bridge_project.lib.tests import hostile
from bridge_project.lib.types import JsonObject
from dify_api.collector import MAX_ID_CHARS, StreamCollector
from dify_api.connection import DifyConnection
from dify_api.failures import DifyError, DifyUnexpectedReply
from dify_api.payloads import AppMode, DifyReply, StreamIds
from dify_api.stream import RunStream
from dify_api.tests import recorded

STREAMS = {name: recorded.stream(name) for name in recorded.all_streams()}
MODES = [*AppMode, ""]
SIZES = st.sampled_from((1, 7, 100, 1 << 16))

# Ten thousand take minutes.
pytestmark = pytest.mark.timeout(1800)


class Pieces(BytesIO):
    """A connection that brings at most so many bytes at a time."""

    def __init__(self, data: bytes, *, size: int) -> None:
        super().__init__(data)
        self.size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self.size)


def follow(data: bytes, *, mode: str, size: int) -> DifyReply | DifyError:
    """Read a stream as the client does, and check what comes of it."""
    response = requests.Response()
    response.raw = HTTPResponse(Pieces(data, size=size), preload_content=False)
    connection = DifyConnection(base_url="https://x.test", api_key="k", mode=mode)
    stream = RunStream(response, connection=connection, started=monotonic())
    try:
        reply = stream.follow()
    except DifyError as err:
        check_error(err)
        return err
    check_reply(reply)
    return reply


def check_error(err: DifyError) -> None:
    assert err.code
    check_texts([err.message, err.excerpt, *ids_of(err.ids)])


def check_reply(reply: DifyReply) -> None:
    """Everything that is stored of it fits its column."""
    files = [(x.id, x.url, x.kind, x.filename, x.mime_type) for x in reply.files]
    pauses = [(x.form_id, x.node_title, x.content, x.actions) for x in reply.pauses]
    steps = [(x.thought, x.tool, x.tool_input, x.observation) for x in reply.steps]
    check_texts([reply.answer, reply.thinking, reply.finished_by])
    check_texts([*ids_of(reply.ids), reply.outputs, files, pauses, steps])
    usage = reply.usage
    if usage is not None:
        check_texts([usage.currency])
        assert len(usage.currency) <= 8
        assert 0 <= usage.total_tokens < 2**63
        assert usage.total_price.is_finite()
        assert usage.total_price.adjusted() < 16  # the column takes 17 places


def ids_of(ids: StreamIds | None) -> list[str]:
    if ids is None:
        return []
    texts = [ids.task_id, ids.conversation_id, ids.message_id, ids.workflow_run_id]
    assert max(map(len, texts)) <= MAX_ID_CHARS
    return texts


def check_texts(value: Any) -> None:
    """PostgreSQL takes no NUL and no half characters, as text or as JSON."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    assert b"\\u0000" not in raw.replace(b"\\\\", b"")


def events_of(data: bytes) -> list[Any]:
    lines = data.split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


EVENTS = {name: events for name, data in STREAMS.items() if (events := events_of(data))}


@hostile.examples(0.6, usual=150)
@given(
    name=st.sampled_from(sorted(EVENTS)),
    changes=hostile.changes(max_size=8),
    mode=st.sampled_from(MODES),
    size=SIZES,
)
def test_changed_events(
    name: str, changes: list[hostile.Change], mode: str, size: int
) -> None:
    events = hostile.changed(EVENTS[name], by=changes)
    items = events if isinstance(events, list) else [events]
    frames = [b"data: " + hostile.as_bytes(item) + b"\n\n" for item in items]
    follow(b"".join(frames), mode=mode, size=size)


@hostile.examples(0.3, usual=100)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    edits=hostile.edits(),
    mode=st.sampled_from(MODES),
    size=SIZES,
)
def test_edited_bytes(
    name: str, edits: list[hostile.Edit], mode: str, size: int
) -> None:
    follow(hostile.edited(STREAMS[name], by=edits), mode=mode, size=size)


@hostile.examples(0.1, usual=50)
@given(data=st.binary(max_size=300), mode=st.sampled_from(MODES), size=SIZES)
@example(data=b"", mode="chat", size=1)
@example(data=b"data: " + b"[" * 100_000 + b"\n\n", mode="chat", size=1 << 16)
@example(data=b"data: " + b"9" * 5000 + b"\n\n", mode="chat", size=1 << 16)
def test_anything_at_all(data: bytes, mode: str, size: int) -> None:
    follow(data, mode=mode, size=size)


@pytest.mark.parametrize(
    ("mode", "event"),
    [
        ("chat", {"event": "message", "answer": "x" * 10_000}),
        ("agent", {"event": "message", "answer": "x" * 10_000}),
        ("agent-chat", {"event": "agent_message", "answer": "x" * 10_000}),
        ("chat", {"event": "message_file", "answer": "x" * 10_000}),
        ("chat", {"event": "message_file", "id": "", "url": "x" * 10_000}),
        ("workflow", {"event": "text_chunk", "data": {"text": "x" * 10_000}}),
        ("workflow", {"event": "reasoning_chunk", "data": {"reasoning": "x" * 10_000}}),
        ("agent", {"event": "agent_thought", "id": "", "thought": "x" * 10_000}),
        (
            "workflow",
            {"event": "human_input_required", "data": {"form_content": "x" * 10_000}},
        ),
    ],
)
def test_endless_run_is_given_up(mode: str, event: Any) -> None:
    collector = StreamCollector(mode=mode, max_kept_chars=100_000)
    with pytest.raises(DifyUnexpectedReply) as caught:
        feed_often(collector, event, times=100)
    assert caught.value.code == "answer_too_large"


def test_endless_empty_pieces_are_given_up() -> None:
    collector = StreamCollector(mode="chat", max_kept_chars=1000)
    with pytest.raises(DifyUnexpectedReply, match="run in circles"):
        feed_often(collector, {"event": "message", "answer": ""}, times=1000)


def feed_often(collector: StreamCollector, event: Any, *, times: int) -> None:
    """The same event again and again, each time with another id if it has one."""
    for number in range(times):
        own = {"id": str(number)} if "id" in event else {}
        collector.feed({**event, **own})


@pytest.mark.parametrize("total", [-1, 2**63, 10**30])
def test_impossible_counts_are_none(total: int) -> None:
    usage: JsonObject = {
        "total_tokens": total,
        "total_price": "NaN",
        "currency": "\x00\ud800USD",
    }
    collector = StreamCollector(mode="chat")
    collector.feed({"event": "message", "answer": "Hello"})
    collector.feed({"event": "message_end", "metadata": {"usage": usage}})
    found = collector.result().usage
    assert found is not None
    assert (found.total_tokens, found.total_price) == (0, Decimal(0))
    assert found.currency == "\ufffdUSD"


def test_ids_fit_their_columns() -> None:
    collector = StreamCollector(mode="chat")
    collector.feed({"event": "message", "answer": "", "task_id": "\x00" + "t" * 100})
    assert collector.ids.task_id == "t" * 64


def test_reasoning_may_be_cut_within_a_character() -> None:
    collector = StreamCollector(mode="chat")
    for piece in ("\ud83d", "\ude00"):
        collector.feed({"event": "reasoning_chunk", "data": {"reasoning": piece}})
    collector.feed({"event": "message_end"})
    assert collector.result().thinking == "\U0001f600"
