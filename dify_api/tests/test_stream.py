"""Runs over real HTTP: limits, cuts, and what is known when they happen."""

from __future__ import annotations

import gzip
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from bridge_project.lib.errors import Unauthorized, UpstreamUnavailable
from dify_api import stream as stream_module
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.failures import (
    DifyError,
    DifyRateLimited,
    DifyRejected,
    DifyUnavailable,
    DifyUnexpectedReply,
    RunTooLong,
    SilentStream,
    StreamCut,
)
from dify_api.payloads import DifyReply, StreamIds, StreamProgress
from dify_api.tests import recorded
from dify_api.tests.scripted import (
    LAST_CHUNK,
    PING,
    SSE_HEADERS,
    Exchange,
    ScriptedServer,
    answer,
    chunk,
)

Serve = Callable[[Callable[[Exchange], None]], ScriptedServer]

CHATFLOW = recorded.stream("1.14.2/chat/02_echo_streaming_first_turn")
CHAT = recorded.stream("composed/chat_stream")
IDS = StreamIds(**recorded.first_ids(CHATFLOW))


def events(data: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame.strip()]


STARTED = b"".join(events(CHATFLOW)[:2])
WITHOUT_END = b"".join(events(CHATFLOW)[:-2])
UNTIL_MESSAGE_END = b"".join(events(CHATFLOW)[:-1])


def run(server: ScriptedServer, **limits: Any) -> DifyReply:
    on_progress = limits.pop("on_progress", None)
    should_stop = limits.pop("should_stop", None)
    call_log = limits.pop("call_log", None)
    connection = DifyConnection(
        base_url=server.url,
        api_key="app-test-key",
        mode=limits.pop("mode", "advanced-chat"),
        **{
            "first_event_timeout_s": 10.0,
            "idle_timeout_s": 10.0,
            "total_timeout_s": 10.0,
            **limits,
        },
    )
    return DifyClient(connection, call_log=call_log).run(
        query="Hello",
        inputs={},
        user="u1",
        on_progress=on_progress,
        should_stop=should_stop,
    )


def failure(server: ScriptedServer, **limits: Any) -> DifyError:
    with pytest.raises(DifyError) as caught:
        run(server, **limits)
    return caught.value


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_reply_is_there_before_the_connection_ends(serve: Serve, size: int) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(CHATFLOW, size=size)
        exchange.hang()  # 1.14 closes a second later

    reply = run(serve(script))

    assert reply.answer == "echo: Hello stream 🙂"
    assert reply.finished_by == "workflow_finished"
    assert reply.ids == IDS
    assert reply.first_event_ms is not None
    assert reply.first_text_ms is not None
    assert reply.first_event_ms <= reply.first_text_ms <= reply.duration_ms


def test_events_are_seen_while_the_stream_is_open(serve: Serve) -> None:
    """Each event is only sent once the one before it has been taken."""
    progress: list[StreamProgress] = []
    arrived: list[int] = []

    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS + chunk(STARTED))
        while not progress and not exchange.stopped.wait(0.005):
            pass
        arrived.append(len(progress))
        exchange.send(chunk(CHATFLOW.removeprefix(STARTED)))

    reply = run(serve(script), on_progress=progress.append)

    assert arrived == [1]
    assert reply.is_answer
    assert progress == [
        StreamProgress(ids=IDS, ids_changed=True, elapsed_ms=progress[0].elapsed_ms)
    ]


def test_ids_that_come_later_are_told(serve: Serve) -> None:
    first = {"event": "message", "conversation_id": "c", "answer": ""}
    second = {**first, "task_id": "t", "message_id": "m"}
    end = {**second, "event": "message_end"}
    data = b"".join(
        b"data: %s\n\n" % json.dumps(e).encode() for e in (first, second, end)
    )
    progress: list[StreamProgress] = []

    run(
        serve(lambda exchange: exchange.send_stream(data)),
        mode="chat",
        on_progress=progress.append,
    )

    assert [item.ids for item in progress] == [
        StreamIds(conversation_id="c"),
        StreamIds(conversation_id="c", task_id="t", message_id="m"),
    ]


def test_pings_renew_the_lease(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "PROGRESS_INTERVAL_S", 0.0)
    progress: list[StreamProgress] = []

    def script(exchange: Exchange) -> None:
        exchange.send_stream(PING)
        exchange.send(chunk(STARTED) + chunk(PING))
        exchange.send(chunk(CHATFLOW.removeprefix(STARTED)))

    run(serve(script), on_progress=progress.append)

    assert progress[0].ids == StreamIds()
    assert [item.ids_changed for item in progress].count(True) == 1


def test_caller_can_abort_from_progress(serve: Serve) -> None:
    class HumanTookOver(Exception):
        pass

    def abort(progress: StreamProgress) -> None:
        raise HumanTookOver

    calls: list[dict[str, Any]] = []

    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.repeat(chunk(PING))  # fails once the client has closed

    with pytest.raises(HumanTookOver):
        run(
            serve(script),
            on_progress=abort,
            call_log=lambda call: calls.append(asdict(call)),
        )

    assert [call["error_code"] for call in calls] == ["aborted"]


def test_silence_after_a_ping_is_a_silent_stream(serve: Serve) -> None:
    """1.14: an unknown conversation, or a missing input of a chatflow."""

    def script(exchange: Exchange) -> None:
        exchange.send_stream(PING)
        exchange.hang()

    error = failure(serve(script), first_event_timeout_s=0.2)

    assert type(error) is SilentStream
    assert error.retryable
    assert error.ids is None
    assert "no event within 0.2 s" in str(error)


def test_pings_alone_are_a_silent_stream(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS)
        exchange.repeat(chunk(PING))

    assert type(failure(serve(script), first_event_timeout_s=0.2)) is SilentStream


def test_stream_that_ends_without_events_is_a_silent_stream(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(PING)
        exchange.send(LAST_CHUNK)

    error = failure(serve(script))

    assert type(error) is SilentStream
    assert "ended the stream without any event" in str(error)


def test_silence_before_any_byte_is_an_outage(serve: Serve) -> None:
    with pytest.raises(UpstreamUnavailable) as caught:
        run(serve(lambda exchange: exchange.hang()), first_event_timeout_s=0.2)

    assert caught.value.code == "unavailable"


def test_started_run_that_falls_silent_is_cut(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.hang()

    error = failure(serve(script), idle_timeout_s=0.2)

    assert type(error) is StreamCut
    assert error.ids == IDS
    assert "nothing for 0.2 s" in str(error)


def test_idle_limit_does_not_count_before_the_first_event(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS)
        exchange.stopped.wait(0.3)
        exchange.send(chunk(CHATFLOW))

    assert run(serve(script), idle_timeout_s=0.1).is_answer


def test_pings_keep_a_run_alive_until_the_total_limit(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.repeat(chunk(PING))

    error = failure(serve(script), idle_timeout_s=0.2, total_timeout_s=0.6)

    assert type(error) is RunTooLong
    assert not error.retryable
    assert error.ids == IDS


def test_trickling_bytes_do_not_stretch_the_limits(serve: Serve) -> None:
    """One HTTP chunk whose bytes come one at a time."""

    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.send(b"ffff\r\n")
        exchange.repeat(b"x")

    error = failure(serve(script), total_timeout_s=0.3)

    assert type(error) is RunTooLong
    assert error.ids == IDS


def test_silence_does_not_stretch_the_total_limit(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        exchange.hang()

    assert type(failure(serve(script), total_timeout_s=0.2)) is RunTooLong


@pytest.mark.parametrize("ending", [LAST_CHUNK, b""], ids=["clean", "torn"])
def test_end_without_a_last_event_is_a_cut(serve: Serve, ending: bytes) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(WITHOUT_END)
        exchange.send(ending)
        exchange.socket.shutdown(socket.SHUT_RDWR)

    error = failure(serve(script))

    assert type(error) is StreamCut
    assert error.ids == IDS
    assert error.excerpt == "echo: Hello stream 🙂"
    assert (error.method, error.path) == ("POST", "/chat-messages")


def test_end_within_an_event_is_a_cut(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(WITHOUT_END + b'data: {"event": "mess')
        exchange.send(LAST_CHUNK)

    error = failure(serve(script))

    assert type(error) is StreamCut
    assert "within an event" in str(error)


def test_reset_connection_is_a_cut(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(STARTED)
        linger = struct.pack("ii", 1, 0)  # close with a reset
        exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        exchange.socket.shutdown(socket.SHUT_WR)

    assert type(failure(serve(script))) is StreamCut


def test_last_event_may_lack_its_blank_line(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(CHAT.rstrip(b"\n"))
        exchange.send(LAST_CHUNK)

    assert run(serve(script), mode="chat").finished_by == "message_end"


@pytest.mark.parametrize("ending", ["hang", "end", "tear"])
def test_message_end_is_success_whatever_happens_then(
    serve: Serve, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "DETAILS_WAIT_S", 0.1)

    def script(exchange: Exchange) -> None:
        exchange.send_stream(UNTIL_MESSAGE_END)
        if ending == "hang":
            exchange.hang()
        elif ending == "end":
            exchange.send(LAST_CHUNK)
        exchange.socket.shutdown(socket.SHUT_RDWR)

    reply = run(serve(script))

    assert reply.answer == "echo: Hello stream 🙂"
    assert reply.finished_by == "message_end"


@pytest.mark.parametrize("ending", ["hang", "end"])
def test_finished_workflow_without_message_end_is_success(
    serve: Serve, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MESSAGE_END_WAIT_S", 0.1)
    data = recorded.stream("1.12.1/chat/02_echo_streaming_first_turn")

    def script(exchange: Exchange) -> None:
        exchange.send_stream(b"".join(events(data)[:-1]))
        if ending == "hang":
            exchange.hang()
        exchange.send(LAST_CHUNK)

    reply = run(serve(script))

    assert reply.answer == "echo: Hello stream 🙂"
    assert reply.finished_by == "workflow_finished"


def test_error_event_closes_a_stream_that_stays_open(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(
            recorded.stream("1.14.2/node_errors/05_llm_no_plugin_daemon_streaming")
        )
        exchange.hang()

    error = failure(serve(script))

    assert (type(error), error.code) == (DifyUnavailable, "plugin_daemon")
    assert error.ids is not None
    assert error.ids.conversation_id == "7bfa2cc1-4a1d-4cf0-9f33-e437c662a99a"


def test_failed_chatflow_needs_no_error_event(serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send_stream(recorded.stream("1.14.2/callback/04_bridge_500_streaming"))
        exchange.hang()

    error = failure(serve(script))

    assert (type(error), error.code) == (DifyRejected, "run_failed")
    assert error.ids is not None
    assert error.ids.workflow_run_id


def test_gzip_that_nobody_asked_for_is_unpacked(serve: Serve) -> None:
    headers = SSE_HEADERS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    server = serve(
        lambda exchange: exchange.send(
            headers + chunk(gzip.compress(CHATFLOW)) + LAST_CHUNK
        )
    )

    assert run(server).answer == "echo: Hello stream 🙂"
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_broken_gzip_is_a_cut(serve: Serve) -> None:
    headers = SSE_HEADERS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    server = serve(lambda exchange: exchange.send(headers + chunk(b"no gzip at all")))

    assert type(failure(server)) is StreamCut


def test_close_delimited_stream_is_read(serve: Serve) -> None:
    """An HTTP/1.0 proxy takes the socket out of our reach."""
    headers = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def script(exchange: Exchange) -> None:
        exchange.send(headers + CHATFLOW)
        exchange.socket.shutdown(socket.SHUT_WR)

    assert run(serve(script)).answer == "echo: Hello stream 🙂"


def test_close_delimited_stream_that_falls_silent_is_ended(serve: Serve) -> None:
    headers = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def script(exchange: Exchange) -> None:
        exchange.send(headers + STARTED)
        exchange.hang()

    error = failure(serve(script), first_event_timeout_s=0.3, idle_timeout_s=0.2)

    assert type(error) is StreamCut


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (
            answer(
                "401 UNAUTHORIZED",
                b'{"code": "unauthorized", "message": "Access token is invalid", '
                b'"status": 401}',
            ),
            Unauthorized,
            "unauthorized",
        ),
        (
            answer("502 Bad Gateway", b"<html>", content_type="text/html"),
            DifyUnavailable,
            "unavailable",
        ),
        (
            answer("429 Too Many Requests", b"error code: 1015").replace(
                b"\r\n\r\n", b"\r\nRetry-After: 7\r\n\r\n", 1
            ),
            DifyRateLimited,
            "rate_limited",
        ),
        (
            answer("200 OK", b"<html>Log in</html>", content_type="text/html"),
            DifyUnexpectedReply,
            "unexpected_reply",
        ),
        (
            answer("200 OK", b"data: [DONE]\n\n", content_type="text/event-stream"),
            DifyUnexpectedReply,
            "unexpected_reply",
        ),
        (
            answer("302 Found", b"").replace(
                b"\r\n\r\n", b"\r\nLocation: /login\r\n\r\n", 1
            ),
            Exception,
            "rejected",
        ),
    ],
    ids=["401", "502", "429", "login page", "not Dify", "redirect"],
)
def test_answers_that_are_no_stream(
    serve: Serve, reply: bytes, kind: type[Exception], code: str
) -> None:
    calls: list[dict[str, Any]] = []

    with pytest.raises(kind) as caught:
        run(
            serve(lambda exchange: exchange.send(reply)),
            call_log=lambda call: calls.append(asdict(call)),
        )

    assert getattr(caught.value, "code", "") == code
    assert [call["error_code"] for call in calls] == [code]
    if isinstance(caught.value, DifyRateLimited):
        assert caught.value.retry_after_s == 7.0


def test_refused_connection_is_an_outage() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    connection = DifyConnection(f"http://127.0.0.1:{port}", "app-key", mode="chat")

    with pytest.raises(UpstreamUnavailable):
        DifyClient(connection).run(query="Hello", inputs={}, user="u1")


def test_one_call_is_told_when_the_stream_is_over(serve: Serve) -> None:
    calls: list[dict[str, Any]] = []
    server = serve(lambda exchange: exchange.send_stream(CHATFLOW))

    run(server, call_log=lambda call: calls.append(asdict(call)))

    (call,) = calls
    assert call.pop("duration_ms") >= 0
    sent = json.loads(call.pop("request_excerpt"))
    assert sent == server.requests[0].json
    assert call == {
        "service": "dify",
        "method": "POST",
        "path": "/chat-messages",
        "status": 200,
        "error_code": "",
        "response_excerpt": "echo: Hello stream 🙂",
    }


def test_cut_stream_is_told_once_with_its_code(serve: Serve) -> None:
    calls: list[dict[str, Any]] = []

    def script(exchange: Exchange) -> None:
        exchange.send_stream(WITHOUT_END)
        exchange.send(LAST_CHUNK)

    failure(serve(script), call_log=lambda call: calls.append(asdict(call)))

    assert [(call["status"], call["error_code"]) for call in calls] == [
        (200, "stream_cut")
    ]


def test_connection_is_reused_only_after_a_stream_read_to_its_end(
    serve: Serve,
) -> None:
    def script(exchange: Exchange) -> None:
        # The end is only read when no event has ended the run before.
        whole = b"5" in exchange.request.body
        exchange.send_stream(UNTIL_MESSAGE_END if whole else CHATFLOW)
        exchange.send(LAST_CHUNK)

    server = serve(script)
    client = DifyClient(DifyConnection(server.url, "app-key", mode="advanced-chat"))

    for query in ("5", "5", "x", "5"):
        client.run(query=query, inputs={}, user="u")

    assert len(server.requests) == 4
    assert server.connections == 2
