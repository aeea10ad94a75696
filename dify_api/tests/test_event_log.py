"""What a person is shown of a run's event stream."""

from __future__ import annotations

import json

import pytest

from bridge_project.lib.types import JsonObject
from dify_api.event_log import EXCERPT_CHARS, MAX_EVENTS, EventLog


def logged(*events: JsonObject) -> list[JsonObject]:
    log = EventLog()
    for number, event in enumerate(events):
        log.add(json.dumps(event).encode(), at_ms=number * 10)
    return log.rows


def test_pieces_of_one_text_are_one_line() -> None:
    pieces: list[JsonObject] = [
        {"event": "message", "answer": "Your "},
        {"event": "message", "answer": "order"},
        {"event": "node_finished", "data": {"title": "LLM", "status": "succeeded"}},
        {"event": "message", "answer": "!"},
    ]

    rows = logged(*pieces)

    first, second = {"at_ms": 0, "event": "message"}, {"at_ms": 20}
    assert rows == [
        {**first, "text": "Your order", "count": 2, "until_ms": 10},
        {**second, "event": "node_finished", "text": "LLM · succeeded", "count": 1},
        {"at_ms": 30, "event": "message", "text": "!", "count": 1},
    ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "agent_thought", "tool": "shop", "thought": "Look"}, "shop · Look"),
        ({"event": "error", "code": "quota", "message": "used up"}, "quota · used up"),
        (
            {
                "event": "message_end",
                "metadata": {
                    "usage": {"total_tokens": 42},
                    "retriever_resources": [{"document_name": "Tents.pdf"}],
                },
            },
            "42 tokens · Tents.pdf",
        ),
        ({"event": "text_chunk", "data": {"text": "Hi"}}, "Hi"),
        ({"event": "tts_message", "audio": "AAAA"}, ""),
        ({"event": "of_tomorrow", "what": 5}, ""),
        ({"event": "message", "answer": None}, ""),
        ({"event": "workflow_started", "data": "odd"}, ""),
    ],
)
def test_each_event_says_its_main_thing(event: JsonObject, text: str) -> None:
    assert [row["text"] for row in logged(event)] == [text]


def test_what_is_no_event_is_left_out() -> None:
    log = EventLog()
    for data in (b"", b"nonsense", b"[1]", b'{"event": "ping"}', b"[" * 100_000):
        log.add(data, at_ms=0)

    assert log.rows == []
    assert log.left_out == 0


def test_keys_and_tokens_are_masked() -> None:
    token = "bridge-conv-" + "x" * 100

    [row] = logged({"event": "error", "code": "", "message": f"app-1234567890 {token}"})

    assert row["text"] == " · [secret] [secret]"


def test_a_long_stream_is_bounded_and_says_so() -> None:
    log = EventLog()
    long: JsonObject = {"event": "message_replace", "answer": "x" * 5000}
    for number in range(MAX_EVENTS * 2):
        log.add(json.dumps(long).encode(), at_ms=number)

    assert len(log.rows) == MAX_EVENTS
    assert log.left_out == MAX_EVENTS
    assert all(len(str(row["text"])) <= EXCERPT_CHARS + 60 for row in log.rows)


def test_many_pieces_stay_one_short_line() -> None:
    piece: JsonObject = {"event": "message", "answer": "word "}

    [row] = logged(*[piece] * 5000)

    assert (row["count"], row["until_ms"]) == (5000, 49_990)
    assert len(str(row["text"])) == EXCERPT_CHARS
