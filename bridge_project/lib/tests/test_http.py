"""Every failure on the wire becomes one of our errors."""

from __future__ import annotations

import socket
from dataclasses import asdict
from typing import Any, ClassVar

import pytest
import requests
import responses

from bridge_project.lib.errors import (
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.http import FinishedCall, JsonApi, shared_session

URL = "https://service.test"


class Service(JsonApi):
    service: ClassVar[str] = "service"


def ask(service: JsonApi | None = None, *, repeat_safe: bool = True) -> Any:
    service = service or Service(base_url=f"{URL}/", secrets=("t0ken",))
    return service.request_json(
        "POST",
        "/thing",
        headers={"Authorization": "Bearer t0ken"},
        json={"a": "ü"},
        repeat_safe=repeat_safe,
    )


def test_returns_the_decoded_body(wire: responses.RequestsMock) -> None:
    wire.post(f"{URL}/thing", json={"ok": True})

    assert ask() == {"ok": True}
    request = wire.calls[0].request
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.headers["User-Agent"] == "chatwoot-dify-bridge/1"


def test_an_empty_body_is_none(wire: responses.RequestsMock) -> None:
    wire.post(f"{URL}/thing", body="")

    assert ask() is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UpstreamRejected),
        (400, UpstreamRejected),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (422, UpstreamRejected),
        (429, UpstreamRateLimited),
        (500, UpstreamUnavailable),
        (502, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        (504, UpstreamUnavailable),
        (599, UpstreamUnavailable),
    ],
)
def test_each_status_has_its_error(
    wire: responses.RequestsMock, status: int, kind: type[UpstreamError]
) -> None:
    wire.post(f"{URL}/thing", status=status, body="<html>t0ken</html>")

    with pytest.raises(UpstreamError) as caught:
        ask()

    err = caught.value
    assert type(err) is kind
    assert (err.service, err.method, err.path, err.status) == (
        "service",
        "POST",
        "/thing",
        status,
    )
    assert err.excerpt == "<html>[secret]</html>"


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxys_error_leaves_the_outcome_open(
    wire: responses.RequestsMock, status: int
) -> None:
    wire.post(f"{URL}/thing", status=status)

    with pytest.raises(OutcomeUnknown):
        ask(repeat_safe=False)


@pytest.mark.parametrize(
    "failure",
    [
        requests.ReadTimeout("read"),
        requests.ConnectionError("reset by peer"),
        requests.exceptions.ChunkedEncodingError("cut"),
    ],
)
@pytest.mark.parametrize(
    ("repeat_safe", "kind"), [(True, UpstreamUnavailable), (False, OutcomeUnknown)]
)
def test_a_lost_connection_leaves_the_outcome_open(
    wire: responses.RequestsMock,
    failure: Exception,
    repeat_safe: bool,
    kind: type[UpstreamError],
) -> None:
    wire.post(f"{URL}/thing", body=failure)

    with pytest.raises(UpstreamError) as caught:
        ask(repeat_safe=repeat_safe)

    assert type(caught.value) is kind


def test_a_connection_that_was_never_made_had_no_effect() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(UpstreamUnavailable):
        ask(Service(base_url=f"http://127.0.0.1:{port}"), repeat_safe=False)


def test_a_page_in_place_of_json_is_named(wire: responses.RequestsMock) -> None:
    wire.post(f"{URL}/thing", body="<html>Log in</html>")

    with pytest.raises(UnexpectedReply, match="not with JSON"):
        ask()


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None)])
def test_reads_how_long_to_wait(
    wire: responses.RequestsMock, header: str, seconds: float | None
) -> None:
    wire.post(f"{URL}/thing", status=429, headers={"Retry-After": header})

    with pytest.raises(UpstreamRateLimited) as caught:
        ask()

    assert caught.value.retry_after_s == seconds


def test_sessions_are_shared_by_address() -> None:
    assert shared_session(URL) is shared_session(URL)
    assert shared_session(URL) is not shared_session("https://other.test")


def test_cookies_of_one_call_do_not_reach_the_next(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{URL}/thing", json={}, headers={"Set-Cookie": "session=1"})

    ask()
    ask()

    assert "Cookie" not in wire.calls[1].request.headers


def test_each_call_is_told_without_its_secrets(
    wire: responses.RequestsMock,
) -> None:
    told: list[FinishedCall] = []
    service = Service(base_url=URL, secrets=("t0ken",), call_log=told.append)
    wire.post(f"{URL}/thing", status=503, body="down, t0ken")

    with pytest.raises(UpstreamUnavailable):
        ask(service)

    call = asdict(told.pop())
    assert call.pop("duration_ms") >= 0
    assert call == {
        "service": "service",
        "method": "POST",
        "path": "/thing",
        "status": 503,
        "error_code": "unavailable",
        "request_excerpt": '{"a": "ü"}',
        "response_excerpt": "down, [secret]",
    }
