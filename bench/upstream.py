"""A Chatwoot and a Dify that cost as little CPU as possible, for measuring the bridge.

`python -m bench.upstream PORT SECONDS` answers every conversation as pending, takes
every message, and streams ten deltas over SECONDS for every chat. `GET /stats` tells
how many streams were open at most and how many messages arrived.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

DELTAS = 10
_stats = {"open": 0, "most_open": 0, "messages": 0}


def app(*, seconds: float) -> Starlette:
    """Build the ASGI app; each chat takes `seconds`."""

    async def show(request: Request) -> Response:
        number = int(request.path_params["number"])
        return JSONResponse(
            {
                "id": number,
                "status": "pending",
                "meta": {"channel": "Channel::Api"},
                "last_non_activity_message": {"id": number, "message_type": 0},
            }
        )

    async def take(request: Request) -> Response:
        await request.body()
        _stats["messages"] += 1
        return JSONResponse({"id": 1_000_000 + _stats["messages"]})

    async def nothing(request: Request) -> Response:
        await request.body()
        return Response()

    async def chat(request: Request) -> Response:
        user = json.loads(await request.body())["user"]
        return StreamingResponse(
            _stream(user, seconds=seconds), media_type="text/event-stream"
        )

    async def stats(request: Request) -> Response:
        return JSONResponse(_stats)

    root = "/api/v1/accounts/1/conversations/{number}"
    return Starlette(
        routes=[
            Route(root, show),
            Route(f"{root}/messages", take, methods=["POST"]),
            Route(f"{root}/toggle_typing_status", nothing, methods=["POST"]),
            Route("/v1/chat-messages", chat, methods=["POST"]),
            Route("/stats", stats),
        ]
    )


async def _stream(user: str, *, seconds: float) -> AsyncIterator[str]:
    ids = {"task_id": user, "conversation_id": user, "message_id": user}
    _stats["open"] += 1
    _stats["most_open"] = max(_stats["most_open"], _stats["open"])
    try:
        for _ in range(DELTAS):
            await asyncio.sleep(seconds / DELTAS)
            yield _frame({"event": "message", "answer": "word " * 20, **ids})
        yield _frame({"event": "message_end", "metadata": {}, **ids})
    finally:
        _stats["open"] -= 1


def _frame(event: dict[str, object]) -> str:
    return f"data: {json.dumps(event)}\n\n"


if __name__ == "__main__":
    uvicorn.run(
        app(seconds=float(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        backlog=4096,
    )
