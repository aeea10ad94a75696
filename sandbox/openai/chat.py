"""POST /chat/completions and GET /models: a model that repeats what it was told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.json_types import Json
from sandbox.openai.refusals import refusal, why_refused

BASE = "/openai/v1"
MODELS = ("sandbox-model", "whisper-1")


def routes() -> list[Route]:
    return [
        Route(f"{BASE}/models", models),
        Route(f"{BASE}/chat/completions", complete, methods=["POST"]),
    ]


async def models(request: Request) -> Response:
    if refused := why_refused(request):
        return refused
    rows = [{"id": name, "object": "model"} for name in MODELS]
    return JSONResponse({"object": "list", "data": rows})


async def complete(request: Request) -> Response:
    if refused := why_refused(request):
        return refused
    try:
        body: Json = await request.json()
        told = [(str(row["role"]), str(row["content"])) for row in body["messages"]]
        question = told[-1][1]
    except (ValueError, TypeError, KeyError, IndexError):
        return refusal(400, "messages is a required property")
    model = body.get("model")
    if model not in MODELS:
        return refusal(404, f"The model `{model}` does not exist.")
    roles = ", ".join(role for role, _text in told)
    answer = f"You asked: “{question}”. I am {model} and was told: {roles}."
    words = sum(len(text.split()) for _role, text in told)
    usage: Json = {
        "prompt_tokens": words,
        "completion_tokens": len(answer.split()),
        "total_tokens": words + len(answer.split()),
    }
    if not body.get("stream"):
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"model": model, "choices": [choice], "usage": usage})
    counts = bool((body.get("stream_options") or {}).get("include_usage"))
    return StreamingResponse(
        _stream(answer, model=model, usage=usage if counts else None),
        media_type="text/event-stream",
    )


async def _stream(answer: str, *, model: str, usage: Json | None) -> AsyncIterator[str]:
    for word in answer.split(" "):
        yield _event(model, {"content": f"{word} "})
    yield _event(model, {}, finish_reason="stop")
    if usage is not None:
        data = {"object": "chat.completion.chunk", "choices": [], "usage": usage}
        yield f"data: {json.dumps(data)}\n\n"
    yield "data: [DONE]\n\n"


def _event(model: str, delta: Json, *, finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    data = {"object": "chat.completion.chunk", "model": model, "choices": [choice]}
    return f"data: {json.dumps(data)}\n\n"
