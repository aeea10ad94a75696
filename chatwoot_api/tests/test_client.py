"""Requests to Chatwoot, to the letter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    OutcomeUnknown,
    UnexpectedReply,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.refusals import TokenRefused

ROOT = "https://chat.test/api/v1/accounts/2"
ONE = f"{ROOT}/conversations/133"


def client(**fields: Any) -> ChatwootClient:
    values: dict[str, Any] = {
        "base_url": "https://chat.test/api/v1/",
        "account_id": 2,
        "bot_token": "bot-t0ken",
        "admin_token": "admin-t0ken",
    }
    return ChatwootClient(ChatwootAccount(**{**values, **fields}))


def post(**fields: Any) -> int:
    message: dict[str, Any] = {
        "content": "Hello",
        "private": False,
        "mark": "m-1",
        "channel": "Channel::WebWidget",
    }
    return client().create_message(133, **{**message, **fields})


@pytest.mark.parametrize(
    ("channel", "private", "sends_source_id"),
    [
        ("Channel::WebWidget", False, True),
        ("Channel::Api", False, True),
        ("Channel::Whatsapp", False, False),
        ("Channel::Email", False, False),
        ("Channel::Telegram", False, False),
        ("", False, False),
        ("Channel::Whatsapp", True, True),
    ],
)
def test_marks_a_message_without_keeping_it_from_the_channel(
    wire: responses.RequestsMock,
    payload: Callable[[str], JsonObject],
    channel: str,
    private: bool,
    sends_source_id: bool,
) -> None:
    answer = payload("api/message_create_response_200")
    wire.post(f"{ONE}/messages", json=answer)

    posted = post(channel=channel, private=private)

    assert posted == answer["id"]
    request = wire.calls[0].request
    assert request.headers["api-access-token"] == "bot-t0ken"
    expected = {
        "content": "Hello",
        "message_type": "outgoing",
        "private": private,
        "content_attributes": {"bridge_message_id": "m-1"},
    }
    if sends_source_id:
        expected["source_id"] = "m-1"
    assert json.loads(request.body or "") == expected


@pytest.mark.parametrize("answer", [[], {}, {"id": None}, {"id": "x"}, "text"])
def test_an_answer_without_an_id_leaves_the_outcome_open(
    wire: responses.RequestsMock, answer: Any
) -> None:
    wire.post(f"{ONE}/messages", json=answer)

    # Chatwoot may have stored it, so it must be looked up and not sent again.
    with pytest.raises(OutcomeUnknown, match="named no message"):
        post()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, TokenRefused),
        (404, NotFound),
        (422, UpstreamRejected),
        (429, UpstreamRateLimited),
        (500, UpstreamUnavailable),
        (504, OutcomeUnknown),
    ],
)
def test_a_refused_message_is_an_error(
    wire: responses.RequestsMock, status: int, kind: type[Exception]
) -> None:
    wire.post(f"{ONE}/messages", status=status, json={"error": "no"})

    with pytest.raises(kind) as caught:
        post()
    assert type(caught.value) is kind


def test_needs_a_bot_token_to_post() -> None:
    with pytest.raises(ConfigurationError, match="bot token"):
        client(bot_token="").create_message(
            133, content="x", private=False, mark="m", channel=""
        )


def test_reads_the_history_as_the_administrator(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    wire.get(f"{ONE}/messages", json=payload("api/messages_list_response_200"))

    history = client().list_messages(133, after=9000)

    assert [message.id for message in history] == sorted(m.id for m in history)
    assert {message.message_type for message in history} >= {"incoming", "activity"}
    request = wire.calls[0].request
    assert request.headers["api-access-token"] == "admin-t0ken"
    assert str(request.url).endswith("/messages?after=9000")


def test_a_bot_may_not_read_the_history(wire: responses.RequestsMock) -> None:
    reader = client(admin_token="")

    assert not reader.can_read_messages
    with pytest.raises(ConfigurationError, match="administrator"):
        reader.list_messages(133)
    assert len(wire.calls) == 0


@pytest.mark.parametrize(
    ("admin_token", "used"), [("admin-t0ken", "admin-t0ken"), ("", "bot-t0ken")]
)
def test_shows_a_conversation_with_the_best_token(
    wire: responses.RequestsMock,
    payload: Callable[[str], JsonObject],
    admin_token: str,
    used: str,
) -> None:
    wire.get(ONE, json=payload("api/conversation_show_response_200"))

    conversation, _last = client(admin_token=admin_token).show_conversation(133)

    assert conversation.status in {"open", "pending", "resolved", "snoozed"}
    assert wire.calls[0].request.headers["api-access-token"] == used


def test_shows_who_spoke_last(wire: responses.RequestsMock) -> None:
    last = {
        "id": 7,
        "message_type": 1,
        "content": "On it",
        "sender": {"id": 21, "type": "user"},
    }
    wire.get(ONE, json={"id": 133, "last_non_activity_message": last})

    _conversation, message = client().show_conversation(133)

    assert message is not None
    assert (message.id, message.sender.kind, message.private) == (7, "user", False)


@pytest.mark.parametrize("answer", [[], {}, {"id": "x"}])
def test_a_conversation_without_an_id_is_none(
    wire: responses.RequestsMock, answer: Any
) -> None:
    wire.get(ONE, json=answer)

    with pytest.raises(UnexpectedReply):
        client().show_conversation(133)


def test_opens_a_conversation_as_the_bot(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/toggle_status", json={"payload": {"success": None}})

    client().toggle_status(133, status="open")

    request = wire.calls[0].request
    assert json.loads(request.body or "") == {"status": "open"}
    assert request.headers["api-access-token"] == "bot-t0ken"


@pytest.mark.parametrize(("on", "word"), [(True, "on"), (False, "off")])
def test_shows_the_typing_sign(
    wire: responses.RequestsMock, on: bool, word: str
) -> None:
    wire.post(f"{ONE}/toggle_typing_status", body="")

    client().show_typing(133, on=on)

    assert json.loads(wire.calls[0].request.body or "") == {
        "typing_status": word,
        "is_private": False,
    }


def test_a_typing_sign_that_fails_is_forgotten(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/toggle_typing_status", status=401, json={"error": "no"})

    client().show_typing(133, on=True)

    assert len(wire.calls) == 1


def test_too_many_messages_is_a_limit_and_no_refusal(
    wire: responses.RequestsMock,
) -> None:
    refusal = {"error": "Validation failed: Too many messages"}
    wire.post(f"{ONE}/messages", status=422, json=refusal)

    with pytest.raises(UpstreamRateLimited):
        post()


def test_an_answer_is_cut_to_what_chatwoot_takes(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/messages", json={"id": 1})

    post(content="x" * 200_000)

    sent = json.loads(wire.calls[0].request.body or "")["content"]
    assert len(sent) == 150_000
    assert sent.endswith("x…")


def test_a_message_of_a_kind_we_do_not_know_does_not_hide_the_others(
    wire: responses.RequestsMock,
) -> None:
    known = {"id": 2, "message_type": 1, "content": "On it", "sender": {"type": "user"}}
    wire.get(f"{ONE}/messages", json={"payload": [{"id": 1, "message_type": 9}, known]})
    wire.get(
        ONE, json={"id": 133, "last_non_activity_message": {"id": 3, "message_type": 9}}
    )

    assert [message.id for message in client().list_messages(133)] == [2]
    assert client().show_conversation(133)[1] is None
