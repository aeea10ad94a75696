"""A model that is not Dify's, and a ceiling: what the platforms are told, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.models import Bot, Conversation, OpenAIServer, PipelineRun, Turn
from conversations.tests.factories import (
    make_app,
    make_event,
    make_turn,
    message_payload,
)
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, make_sandbox_account

pytestmark = pytest.mark.django_db

Say = Callable[[str], Turn]


@pytest.fixture
def say(sandbox: SandboxChatwoot, payload: Callable[[str], JsonObject]) -> Say:
    """The customer says something, and a worker takes it; return its turn."""

    def do(text: str) -> Turn:
        conversation = Conversation.objects.get()
        number = conversation.chatwoot_conversation_id
        path = f"/conversations/{number}/customer-messages"
        newest = sandbox.control("POST", path, {"content": text})
        bot = Bot.objects.get()
        turn = make_turn(conversation, bot, last_message_id=newest["id"])
        sample = message_payload(
            payload("message_created_incoming_text"),
            id=newest["id"],
            content=text,
            conversation={"id": number},
        )
        make_event(bot.account, sample, conversation=conversation, turn=turn)
        sandbox.control("DELETE", "/wire")
        pipeline.run(turn.pk)
        turn.refresh_from_db()
        if turn.handover_reason:
            # Handing over is an attempt of its own.
            pipeline.run(turn.pk)
            turn.refresh_from_db()
        return turn

    return do


def begin(sandbox: SandboxChatwoot, **bot: Any) -> int:
    """Make a bot and a conversation; return the conversation's number."""
    account = make_sandbox_account(sandbox)
    made = Bot.objects.create(name="Nordbot", account=account, **bot)
    known = sandbox.known_conversation(made, status="pending")
    return known.chatwoot_conversation_id


def asked(sandbox: SandboxChatwoot, path: str) -> list[Any]:
    """Return the bodies of the requests to an address."""
    rows = sandbox.control("GET", f"/wire?method=POST&path={path}")["entries"]
    return [json.loads(row["request_body"]) for row in rows]


def test_another_servers_model_answers(sandbox: SandboxChatwoot, say: Say) -> None:
    server = OpenAIServer.objects.create(
        name="Played",
        base_url=f"{sandbox.base_url}/openai/v1",
        api_key="sandbox-openai-key",
        chat_model="sandbox-model",
        system_prompt="Be brief.",
    )
    number = begin(sandbox, provider="openai", openai_server=server)

    turn = say("Where is my order?")

    answer = (
        "You asked: “Where is my order?”. I am sandbox-model and was told: "
        "system, user."
    )
    assert turn.status == "answered", turn.error
    assert sandbox.public_messages(number)[-1] == answer
    assert asked(sandbox, "/openai/v1/chat/completions") == [
        {
            "model": "sandbox-model",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Where is my order?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert PipelineRun.objects.get().total_tokens == 6 + len(answer.split())


def test_at_a_ceiling_the_humans_have_it_and_dify_is_not_asked(
    sandbox: SandboxChatwoot, say: Say
) -> None:
    app = make_app(
        base_url=f"{sandbox.base_url}/v1", api_key="app-sandbox-chat", mode="chat"
    )
    number = begin(
        sandbox,
        dify_app=app,
        max_answers_per_hour=1,
        ceiling_text="A colleague will go on from here.",
    )
    assert say("Where is my order?").status == "answered"

    turn = say("And when will it come?")

    assert (turn.status, turn.reason) == ("handed_over", "ceiling_reached")
    assert asked(sandbox, "/v1/chat-messages") == []
    public, note = (
        row
        for row in asked(sandbox, f"/conversations/{number}/messages")
        if row["message_type"] == "outgoing"
    )
    if public["private"]:
        public, note = note, public
    assert public["content"] == "A colleague will go on from here."
    assert note["private"] is True
    assert asked(sandbox, f"/conversations/{number}/toggle_status") == [
        {"status": "open"}
    ]
    assert sandbox.state(number)["status"] == "open"
