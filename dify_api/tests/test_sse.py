"""Byte streams are cut into the data of events."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_api.failures import DifyUnexpectedReply
from dify_api.sse import SseDecoder
from dify_api.tests import recorded


def decode(data: bytes, *, size: int = 1 << 20) -> list[bytes]:
    decoder = SseDecoder()
    return feed_all(decoder, recorded.cut(data, size=size)) + decoder.end()


def feed_all(decoder: SseDecoder, pieces: Iterable[bytes]) -> list[bytes]:
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: {}\n\n", [b"{}"]),
        (b"data:{}\n\n", [b"{}"]),
        (b"data:  x\n\n", [b" x"]),
        (b"data: {}\r\n\r\n", [b"{}"]),
        (b"data: {}\r\rdata: 2\r\r", [b"{}", b"2"]),
        (b"event: ping\n\n", []),
        (b"event: ping\n\ndata: 1\n\n", [b"1"]),
        (b": comment\n\ndata: 1\n\n", [b"1"]),
        (b"data: a\n: comment\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\ndata:\n\ndata: 1\n\n", [b"1"]),
        (b"id: 7\nretry: 10\nevent: message\ndata: 1\n\n", [b"1"]),
        ("data: naïve 🙂\n\n".encode(), ["naïve 🙂".encode()]),
        (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
        (b"data: 1", [b"1"]),
        (b"data: 1\n", [b"1"]),
        (b"data: 1\r\ndata: 2", [b"1\n2"]),
        (b"\n\n\ndata: 1\n\n\n\n", [b"1"]),
        (b"data: \xff\xfe\n\n", [b"\xff\xfe"]),
        (b"", []),
    ],
)
def test_events_are_found_however_the_stream_is_cut(
    data: bytes, events: list[bytes], size: int
) -> None:
    assert decode(data, size=size) == events


def test_event_comes_out_with_its_last_byte() -> None:
    decoder = SseDecoder()

    assert decoder.feed(b"data: 1\n") == []
    assert decoder.feed(b"\n") == [b"1"]
    assert decoder.feed(b"data: 2\n\ndata: 3") == [b"2"]
    assert decoder.end() == [b"3"]
    assert decoder.end() == []


@pytest.mark.parametrize("size", [1, 100])
def test_event_beyond_the_limit_is_refused(size: int) -> None:
    decoder = SseDecoder(max_frame_bytes=50)

    with pytest.raises(DifyUnexpectedReply) as caught:
        feed_all(decoder, recorded.cut(b"data: " + b"x" * 60, size=size))

    assert caught.value.code == "event_too_large"


def test_many_lines_of_one_event_count_together() -> None:
    decoder = SseDecoder(max_frame_bytes=50)

    with pytest.raises(DifyUnexpectedReply):
        feed_all(decoder, [b"data: xxxxxxxx\n"] * 10)


def test_limit_is_for_each_event_anew() -> None:
    decoder = SseDecoder(max_frame_bytes=50)

    events = feed_all(decoder, [b"data: 12345678\n\n"] * 10)

    assert events == [b"12345678"] * 10


@settings(deadline=None)  # a busy machine is no failure
@given(
    frames=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1),
        max_size=5,
    ),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(1, 20), max_size=40),
)
def test_any_cut_gives_the_same_events(
    frames: list[str], end: bytes, cuts: list[int]
) -> None:
    data = b"".join(b"data: " + f.encode() + end + end for f in frames)
    decoder = SseDecoder()
    events: list[bytes] = []
    for step in cuts:
        events += decoder.feed(data[:step])
        data = data[step:]
    events += decoder.feed(data) + decoder.end()

    assert events == [frame.encode() for frame in frames]


def test_endless_empty_data_lines_are_refused() -> None:
    decoder = SseDecoder(max_frame_bytes=1000)

    with pytest.raises(DifyUnexpectedReply) as caught:
        feed_all(decoder, [b"data:\n"] * 200)
    assert caught.value.code == "event_too_large"
