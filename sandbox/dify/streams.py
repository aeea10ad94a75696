"""Turns a run into server-sent events: framing, pings, silence, ends and cuts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox import times
from sandbox.closing import Closing
from sandbox.dify.runs import Run, Runs
from sandbox.dify.versions import Version
from sandbox.json_types import Json
from sandbox.settings import Settings

PING = b"event: ping\n\n"
MEDIA_TYPE = "text/event-stream; charset=utf-8"


class EventStream(StreamingResponse):
    """A chunked answer without content length, as gunicorn sends it."""

    def __init__(self, frames: AsyncIterator[bytes], *, version: Version) -> None:
        super().__init__(
            frames, headers={**version.headers, "Content-Type": MEDIA_TYPE}
        )


def frame(event: Json, *, version: Version) -> bytes:
    return f"data: {version.event_json(event)}\n\n".encode()


def stream_run(
    run: Run, *, runs: Runs, settings: Settings, request: Request, closing: Closing
) -> Response:
    """The answer to a streaming request that started ``run``."""

    followed = _follow(run, settings=settings, request=request, closing=closing)

    async def frames() -> AsyncIterator[bytes]:
        try:
            if run.is_flow and run.version.runs_in_celery:
                yield PING
            async for piece in followed:
                yield piece
        finally:
            # Reached early when the reader has gone; the run may go on without it.
            if not run.done:
                runs.client_left(run)

    return EventStream(frames(), version=run.version)


async def _follow(
    run: Run,
    *,
    settings: Settings,
    request: Request,
    closing: Closing,
    first: int = 0,
) -> AsyncIterator[bytes]:
    sent = first
    next_ping = times.now() + settings.ping_interval_s
    hushed = run.plan.start_delay_s > 0 and run.version.runs_in_celery and run.is_flow
    while True:
        while sent < len(run.events):
            if run.cut_at is not None and sent >= run.cut_at:
                await abort(request)
            yield frame(run.events[sent], version=run.version)
            sent += 1
        if run.cut_at is not None and sent >= run.cut_at:
            await abort(request)
        if run.done:
            break
        if not await _news(run, sent=sent, until=next_ping):
            next_ping = times.now() + settings.ping_interval_s
            # Nothing pings while the job waits in the queue, nor in a hung run.
            waiting = hushed and sent == 0
            if not waiting and not _is_hung(run, sent=sent):
                yield PING
    if run.stays_open:
        await closing.wait(settings.silence_limit_s)
    elif run.is_flow and run.version.runs_in_celery:
        await closing.wait(settings.close_delay_s)


def _is_hung(run: Run, *, sent: int) -> bool:
    return run.plan.hang_after is not None and sent > run.plan.hang_after


async def _news(run: Run, *, sent: int, until: float) -> bool:
    """True when there is something new before ``until``."""

    def changed() -> bool:
        return len(run.events) > sent or run.done or run.cut_at is not None

    async def wait() -> None:
        async with run.news:
            await run.news.wait_for(changed)

    try:
        await asyncio.wait_for(wait(), timeout=max(until - times.now(), 0.001))
    except TimeoutError:
        return False
    return True


async def abort(request: Request) -> None:
    """Break the TCP connection; the middleware provides the means."""
    request.scope["sandbox.abort"]()
    await asyncio.Event().wait()  # the server cancels us now


def silent_stream(
    *, version: Version, ping_first: bool, settings: Settings, closing: Closing
) -> Response:
    """200, at most one ping, then nothing until the idle limit, then EOF."""

    async def frames() -> AsyncIterator[bytes]:
        yield PING if ping_first else b""
        await closing.wait(settings.silence_limit_s)

    return EventStream(frames(), version=version)


def stream_finished(event: Json, *, version: Version) -> Response:
    """A re-attached stream of a run that is over: one event."""

    async def frames() -> AsyncIterator[bytes]:
        yield frame(event, version=version)

    return EventStream(frames(), version=version)


def stream_again(
    run: Run, *, settings: Settings, request: Request, closing: Closing
) -> Response:
    """A second reader of a run that still goes on; leaving changes nothing."""

    followed = _follow(
        run,
        settings=settings,
        request=request,
        closing=closing,
        first=run.resumed_at,
    )

    async def frames() -> AsyncIterator[bytes]:
        yield PING
        async for piece in followed:
            yield piece

    return EventStream(frames(), version=run.version)
