"""A conversation token opens one conversation for a while, and is kept nowhere."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
from django.core import signing
from pytest_django import Settings

from bridge_project.lib.redact import mask
from conversations import conversation_tokens, pipeline
from conversations.conversation_tokens import BadConversationToken, ConversationClaim
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
)
from conversations.tests.conftest import Platforms, answer_events
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

SHAPE = "bridge-conv-"
SECRET_PLACES = ("inputs", "answer", "thinking", "error", "notes")


@pytest.fixture
def token(conversation: Conversation, bot: Bot, turn: Turn) -> str:
    return conversation_tokens.make(conversation, bot=bot, turn=turn)


def test_proves_the_conversation_that_it_was_made_for(
    token: str, conversation: Conversation, bot: Bot, turn: Turn
) -> None:
    assert conversation_tokens.read(f" {token}\n") == ConversationClaim(
        account_id=conversation.account_id,
        conversation_id=conversation.pk,
        bot_id=bot.pk,
        turn_id=turn.pk,
    )
    assert token.startswith(SHAPE)
    # Dify's text inputs take 256; nothing in it is escaped in an address.
    assert len(token) < 130
    assert set(token) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    )
    assert mask(f"x {token} y") == "x [secret] y"


def test_a_token_of_no_turn_says_so(conversation: Conversation, bot: Bot) -> None:
    token = conversation_tokens.make(conversation, bot=bot, turn=None)

    assert conversation_tokens.read(token).turn_id is None


def test_expires(token: str, settings: Settings) -> None:
    settings.CONVERSATION_TOKEN_MAX_AGE_S = timedelta(seconds=-1).total_seconds()

    with pytest.raises(BadConversationToken, match="has expired") as caught:
        conversation_tokens.read(token)

    assert caught.value.is_expired


def test_another_secret_key_opens_nothing_unless_it_is_an_old_one(
    token: str, settings: Settings
) -> None:
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-secret-key"
    with pytest.raises(BadConversationToken, match="not genuine"):
        conversation_tokens.read(token)

    settings.SECRET_KEY_FALLBACKS = [old]

    assert conversation_tokens.read(token).turn_id is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: "conversation.token",
        lambda token: token.removeprefix(SHAPE),
        lambda token: token.replace(SHAPE, "bridge-bot-"),
        lambda token: token[:48],
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: SHAPE,
        lambda token: f"{SHAPE}..",
        lambda token: f"{SHAPE}é\ud800",
        lambda token: f"{token}\x00",
        lambda token: SHAPE + "a." * 100_000,
        # What else Django signs here: sessions, messages.
        lambda token: SHAPE + signing.dumps([1, 2, 3, 4]).replace(":", "."),
    ],
)
def test_nothing_else_opens_anything(token: str, change: object) -> None:
    assert callable(change)

    with pytest.raises(BadConversationToken) as caught:
        conversation_tokens.read(change(token))

    assert not caught.value.is_expired


# --- On its way through a run ---------------------------------------------------------


def declare(*, max_length: int | None, required: bool = False) -> None:
    field = {
        "variable": "conversation_token",
        "label": "Token",
        "required": required,
        "max_length": max_length,
        "default": "",
        "options": [],
    }
    form = [{"text-input": field}]
    DifyApp.objects.update(parameters={"user_input_form": form, "file_upload": {}})


def test_is_sent_and_kept_nowhere(
    turn: Turn,
    bot: Bot,
    platforms: Platforms,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    declare(max_length=256)

    def sent() -> str:
        inputs = platforms.asked[0]["inputs"]
        assert isinstance(inputs, dict)
        return str(inputs["conversation_token"])

    def echo(request: object) -> tuple[int, dict[str, str], str]:
        platforms.asked.append(json.loads(request.body))  # type: ignore[attr-defined]
        said = f"<think>I hold {sent()}.</think>Your token is {sent()}."
        started = {
            "event": "workflow_started",
            "workflow_run_id": "r",
            "data": {"id": "r", "inputs": {"conversation_token": sent()}},
        }
        stream = [started, *answer_events(said)]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in stream)
        return 200, {"Content-Type": "text/event-stream"}, text

    url = "https://dify.test/v1/chat-messages"
    platforms.wire.add_callback("POST", url, callback=echo)

    pipeline.run(turn.pk)

    claim = conversation_tokens.read(sent())
    assert (claim.bot_id, claim.turn_id) == (bot.pk, turn.pk)
    assert claim.conversation_id == turn.conversation_id
    assert [post["content"] for post in platforms.posted] == ["Your token is [secret]."]
    run = PipelineRun.objects.get()
    assert run.inputs == {"conversation_token": "[secret]"}
    assert run.thinking == "I hold [secret]."
    kept = [
        str([getattr(run, name) for name in SECRET_PLACES]),
        *UpstreamCall.objects.values_list("request_excerpt", flat=True),
        *UpstreamCall.objects.values_list("response_excerpt", flat=True),
        *OutgoingMessage.objects.values_list("content", flat=True),
        caplog.text,
    ]
    assert not [text for text in kept if SHAPE in text]
    request = UpstreamCall.objects.get(service="dify").request_excerpt
    assert "[secret]" in request


def test_an_error_that_quotes_it_is_kept_without_it(
    turn: Turn, bot: Bot, platforms: Platforms, conversation: Conversation
) -> None:
    declare(max_length=256)
    token = conversation_tokens.make(conversation, bot=bot, turn=turn)
    quoted = f"Reached maximum retries for URL https://b.test/?t={token}"
    platforms.dify_answers(
        status=400, json={"code": "invalid_param", "message": quoted, "status": 400}
    )

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    run = PipelineRun.objects.get()
    kept = [
        turn.error,
        run.error,
        *UpstreamCall.objects.values_list("response_excerpt", flat=True),
    ]
    assert not [text for text in kept if SHAPE in text]
    assert any("[secret]" in text for text in kept)


def test_a_token_that_would_be_cut_is_not_sent(
    turn: Turn, platforms: Platforms
) -> None:
    declare(max_length=48)
    platforms.dify_answers(*answer_events("Hello"))

    pipeline.run(turn.pk)

    assert platforms.asked[0]["inputs"] == {}
    (note,) = PipelineRun.objects.get().notes
    assert note.startswith("input `conversation_token` was left out")
    assert "Set its maximum length in Dify to 256." in note


def test_each_run_gets_a_token_of_its_own_turn(
    turn: Turn, platforms: Platforms
) -> None:
    declare(max_length=None)
    platforms.dify_answers(*answer_events("Hello"))
    platforms.dify_answers(*answer_events("Hello again"))
    pipeline.run(turn.pk)
    again = Turn.objects.create(
        conversation=turn.conversation, bot=turn.bot, last_message_id=9001
    )
    turn.events.update(turn=again)

    pipeline.run(again.pk)

    claims = []
    for asked in platforms.asked:
        assert isinstance(asked["inputs"], dict)
        token = str(asked["inputs"]["conversation_token"])
        claims.append(conversation_tokens.read(token).turn_id)
    assert claims == [turn.pk, again.pk]
