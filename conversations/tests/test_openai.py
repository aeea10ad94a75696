"""A bot of an OpenAI-compatible server: the requests, the stream, the failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.utils import timezone

from bridge_project.lib.errors import UnexpectedReply
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.models import (
    Bot,
    OpenAIServer,
    PipelineRun,
    Reason,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.openai_client import OpenAIClient
from conversations.tests.conftest import Platforms
from conversations.tests.factories import make_bot, make_event, message_payload
from dify_api.tests.scripted import SSE_HEADERS, Exchange, ScriptedServer, chunk

pytestmark = pytest.mark.django_db

LLM = "https://llm.test/v1"
CHAT = f"{LLM}/chat/completions"
KEY = "sk-a-key-that-opens-much"


def sse(*events: JsonObject | str) -> bytes:
    """The stream of these events."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in events]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def delta(text: str, **rest: Any) -> JsonObject:
    return {"choices": [{"index": 0, "delta": {"content": text, **rest}}]}


END: JsonObject = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE: JsonObject = {"choices": [], "usage": {"total_tokens": 31}}


def says(*texts: str) -> dict[str, Any]:
    """An answer of these pieces."""
    return {
        "body": sse(*(delta(text) for text in texts), END, USAGE, "[DONE]"),
        "content_type": "text/event-stream; charset=utf-8",
    }


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenAIClient, "_without_usage", set())


@pytest.fixture
def server() -> OpenAIServer:
    return OpenAIServer.objects.create(
        name="Our own model",
        base_url=f"{LLM}/",
        api_key=KEY,
        chat_model="llama3.2",
        system_prompt="You help customers of an outdoor shop.",
    )


@pytest.fixture
def bot(server: OpenAIServer) -> Bot:
    return make_bot(dify_app=None, provider="openai", openai_server=server)


def attempt(turn: Turn) -> tuple[str, str]:
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn.status, turn.reason


def asked(wire: responses.RequestsMock) -> list[Any]:
    """The bodies that the model was sent."""
    return [
        json.loads(call.request.body or "{}")
        for call in wire.calls
        if call.request.url == CHAT
    ]


def test_asks_the_model_and_posts_what_it_says(
    turn: Turn, platforms: Platforms, payload: Any, bot: Bot
) -> None:
    sample = payload("message_created_incoming_text")
    for number, content, kind in (
        (8001, "Hello", "incoming"),
        (8002, "Hi, how can I help?", "outgoing"),
    ):
        make_event(
            bot.account,
            message_payload(sample, id=number, content=content, message_type=kind),
            conversation=turn.conversation,
        )
    platforms.wire.post(CHAT, **says("<think>Seams…</think>It is ", "covered."))

    assert attempt(turn) == ("answered", "answered")

    assert [post["content"] for post in platforms.posted] == ["It is covered."]
    question = WebhookEvent.objects.get(turn=turn).payload["content"]
    assert asked(platforms.wire) == [
        {
            "model": "llama3.2",
            "messages": [
                {
                    "role": "system",
                    "content": "You help customers of an outdoor shop.",
                },
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi, how can I help?"},
                {"role": "user", "content": question},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    (request,) = [c.request for c in platforms.wire.calls if c.request.url == CHAT]
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    run = PipelineRun.objects.get()
    assert (run.provider, run.total_tokens, run.thinking) == ("openai", 31, "Seams…")
    call = UpstreamCall.objects.get(service="openai")
    assert (call.run, call.path, call.http_status, call.error_code) == (
        run,
        "/chat/completions",
        200,
        "",
    )
    assert KEY not in call.request_excerpt + call.response_excerpt


def test_tells_only_the_question_if_that_is_wanted(
    turn: Turn, platforms: Platforms, server: OpenAIServer
) -> None:
    OpenAIServer.objects.update(api_key="", system_prompt=" ", history_messages=0)
    platforms.wire.post(CHAT, **says("Yes."))

    assert attempt(turn) == ("answered", "answered")

    (body,) = asked(platforms.wire)
    assert [message["role"] for message in body["messages"]] == ["user"]
    (request,) = [c.request for c in platforms.wire.calls if c.request.url == CHAT]
    assert "Authorization" not in request.headers


def test_does_without_the_number_of_tokens_where_it_is_refused(
    turn: Turn, platforms: Platforms, server: OpenAIServer
) -> None:
    refusal = {"error": {"message": "Unknown parameter: 'stream_options'."}}
    platforms.wire.post(CHAT, status=400, json=refusal)
    platforms.wire.post(CHAT, **says("Yes."))

    assert attempt(turn) == ("answered", "answered")

    first, second = asked(platforms.wire)
    assert first.pop("stream_options") == {"include_usage": True}
    assert second == first
    # The next time it is not even tried.
    list(OpenAIClient.of(server).chat([], model="llama3.2"))
    assert "stream_options" not in asked(platforms.wire)[-1]


def test_takes_an_answer_in_one_piece(turn: Turn, platforms: Platforms) -> None:
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    platforms.wire.post(
        CHAT,
        json={
            "choices": [{"message": message, "finish_reason": "length"}],
            "usage": {"total_tokens": 5},
        },
    )

    assert attempt(turn) == ("answered", "answered")
    run = PipelineRun.objects.get()
    assert (run.answer, run.thinking, run.total_tokens) == ("Yes.", "Hm.", 5)
    assert run.notes == ["The model stopped before its end: length."]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 429, "json": {"error": "slow down"}}, "slow down"),
        ({"status": 503, "body": "<html>"}, "failed for a moment"),
        (
            {"body": sse(delta("It is ")), "content_type": "text/event-stream"},
            "broke off in the middle",
        ),
        (
            {
                "body": sse(delta("It"), {"error": {"message": "out of memory"}}),
                "content_type": "text/event-stream",
            },
            "The server gave up: out of memory",
        ),
    ],
)
def test_what_may_pass_is_tried_again(
    turn: Turn, platforms: Platforms, answer: dict[str, Any], said: str
) -> None:
    platforms.wire.post(CHAT, **answer)

    assert attempt(turn)[0] == "retrying"

    assert said in turn.error
    assert turn.handover_reason == ""
    account = turn.conversation.account
    account.refresh_from_db()
    assert account.last_error == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"status": 401, "json": {"error": {"message": f"Bad key {KEY}"}}},
            "does not accept our token or key: Bad key [secret]",
        ),
        (
            {"status": 400, "json": {"error": {"message": "prompt too long"}}},
            "prompt too long",
        ),
        (
            {"status": 404, "json": {"error": "model 'llama3.2' not found"}},
            "model 'llama3.2' not found",
        ),
        (
            {
                "status": 429,
                "json": {"error": {"code": "insufficient_quota", "message": "pay"}},
            },
            "pay",
        ),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, "text/html"),
        (says(" <think>nothing</think> "), "The model gave an empty answer."),
        (
            {"body": sse("{"), "content_type": "text/event-stream"},
            "It sent what is no JSON.",
        ),
    ],
)
def test_what_does_not_pass_is_for_the_humans(
    turn: Turn, platforms: Platforms, answer: dict[str, Any], said: str
) -> None:
    platforms.wire.post(CHAT, **answer)

    attempt(turn)
    assert turn.handover_reason == Reason.PROVIDER_FAILED
    assert said in turn.error
    assert KEY not in turn.error

    assert attempt(turn) == ("handed_over", "provider_failed")
    assert said in str(platforms.posted[1]["content"])
    assert len(asked(platforms.wire)) == 1


@pytest.mark.parametrize("missing", ["server", "model"])
def test_settings_that_are_incomplete_are_named(
    turn: Turn, platforms: Platforms, bot: Bot, missing: str
) -> None:
    if missing == "server":
        Bot.objects.update(openai_server=None)
    else:
        OpenAIServer.objects.update(chat_model="")

    attempt(turn)
    assert turn.handover_reason == Reason.CONFIGURATION
    assert missing in turn.error


def test_reads_the_stream_as_it_comes_and_ends_the_models_work() -> None:
    """Over a real connection: the second piece is only sent once the first is read."""
    seen: list[str] = []

    def script(exchange: Exchange) -> None:
        exchange.send(SSE_HEADERS)
        exchange.send(chunk(sse(delta("one"))))
        while not seen:
            exchange.stopped.wait(0.01)
        exchange.send(chunk(sse(delta("two"))))
        exchange.hang()

    told: list[FinishedCall] = []
    llm = ScriptedServer(script)
    try:
        client = OpenAIClient(
            base_url=llm.url, api_key=KEY, timeout_s=10, call_log=told.append
        )
        chat = client.chat([{"role": "user", "content": "?"}], model="m")
        pieces: Iterator[str] = iter(chat)
        seen.append(next(pieces))
        seen.append(next(pieces))
        chat.close()
    finally:
        llm.close()

    assert seen == ["one", "two"]
    assert [(call.error_code, call.response_excerpt) for call in told] == [
        ("aborted", "onetwo")
    ]


def test_names_the_models(server: OpenAIServer, wire: responses.RequestsMock) -> None:
    wire.get(f"{LLM}/models", json={"data": [{"id": "llama3.2"}, {"id": "qwen3"}]})
    assert OpenAIClient.of(server).models() == ["llama3.2", "qwen3"]


def test_an_address_of_something_else_is_told(
    server: OpenAIServer, wire: responses.RequestsMock
) -> None:
    wire.get(f"{LLM}/models", json={"hello": "world"})
    with pytest.raises(UnexpectedReply, match="not with a list of models"):
        OpenAIClient.of(server).models()
