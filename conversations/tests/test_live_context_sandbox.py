"""Changes in Chatwoot reach the model of a played Dify, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.models import Bot, Conversation, PipelineRun
from conversations.tests.factories import (
    make_app,
    make_event,
    make_turn,
    message_payload,
)
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, make_sandbox_account
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

Say = Callable[[str], str]


@pytest.fixture
def say(sandbox: SandboxChatwoot, payload: Callable[[str], JsonObject]) -> Say:
    """The customer says something, and a worker answers; return the answer."""

    def do(text: str) -> str:
        conversation = Conversation.objects.get()
        bot = Bot.objects.get()
        number = conversation.chatwoot_conversation_id
        path = f"/conversations/{number}/customer-messages"
        newest = sandbox.control("POST", path, {"content": text})
        turn = make_turn(conversation, bot, last_message_id=newest["id"])
        sample = message_payload(
            payload("message_created_incoming_text"),
            id=newest["id"],
            content=text,
            conversation={"id": number},
        )
        make_event(bot.account, sample, conversation=conversation, turn=turn)
        pipeline.run(turn.pk)
        turn.refresh_from_db()
        assert turn.status == "answered", turn.error
        return sandbox.public_messages(number)[-1]

    return do


def begin(sandbox: SandboxChatwoot, *, mode: str, **bot: Any) -> DifyApp:
    account = make_sandbox_account(sandbox)
    app = make_app(
        base_url=f"{sandbox.base_url}/v1",
        api_key=f"app-sandbox-{mode}",
        mode=mode,
        parameters_read_at=None,
    )
    made = Bot.objects.create(name="Nordbot", account=account, dify_app=app, **bot)
    sandbox.known_conversation(made, status="pending")
    return app


def test_an_old_dify_hears_of_a_changed_label(
    sandbox: SandboxChatwoot, say: Say
) -> None:
    sandbox.set(dify_version="0.15")
    app = begin(sandbox, mode="chat")
    first = say("Where is my order?")
    Conversation.objects.update(labels=["vip"])

    second = say("And now?")

    app.refresh_from_db()
    assert app.server_version == "0.15.3"
    assert "You asked: “Where is my order?”" in first
    assert "You asked: “[labels: vip]\n\nAnd now?”" in second
    # Dify itself goes by the first message's inputs.
    assert "labels = vip" not in second
    assert PipelineRun.objects.latest("pk").query == "And now?"


def test_a_new_dify_hears_of_it_by_its_inputs(
    sandbox: SandboxChatwoot, say: Say
) -> None:
    sandbox.set(dify_version="1.12")
    begin(sandbox, mode="chat")
    say("Where is my order?")
    Conversation.objects.update(labels=["vip"])

    second = say("And now?")

    assert "You asked: “And now?”" in second
    assert "labels = vip" in second


@pytest.mark.parametrize("version", ["1.12", "1.14"])
def test_a_chatflows_variables_follow_chatwoot(
    sandbox: SandboxChatwoot, say: Say, version: str
) -> None:
    sandbox.set(dify_version=version)
    mapped = {
        "tags": "conversation.labels",
        "handoff": "contact.custom_attributes.vip",
        "ctx": "contact.custom_attributes",
        "turns": "contact.name",
    }
    app = begin(sandbox, mode="advanced-chat", conversation_variables=mapped)
    say("Where is my order?")
    Conversation.objects.update(
        labels=["vip", "return"], contact_custom_attributes={"vip": True}
    )

    say("And now?")

    run = PipelineRun.objects.latest("pk")
    rows = sandbox.control("GET", "/wire?method=PUT&path=/variables")["entries"]
    assert [json.loads(row["request_body"]) for row in rows] == [
        {"value": {"vip": True}, "user": run.dify_user},
        {"value": True, "user": run.dify_user},
        {"value": ["vip", "return"], "user": run.dify_user},
    ]
    user = f"user={run.dify_user}&limit=100"
    shown = sandbox.http.get(
        f"{app.connection().api_url}/conversations/{run.dify_conversation_id}"
        f"/variables?{user}",
        headers={"Authorization": f"Bearer {app.api_key}"},
        timeout=20,
    ).json()["data"]
    values = {row["name"]: row["value"] for row in shown}
    assert values["tags"] == "['vip', 'return']"
    assert values["handoff"] == "True"
    assert values["ctx"] == "{'vip': True}"
    assert run.notes == [
        "Conversation variable not set: turns; its value does not fit the type number."
    ]
