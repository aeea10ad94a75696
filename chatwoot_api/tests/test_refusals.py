"""Which refusals Chatwoot means, and with which token a call is made after one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from bridge_project.lib.errors import (
    ConfigurationError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.refusals import (
    Blocked,
    NotOpenToBots,
    NotPermitted,
    TokenName,
    TokenRefused,
)

ONE = "https://chat.test/api/v1/accounts/2/conversations/133"
INVALID = {"error": "Invalid Access Token"}
NOT_FOR_BOTS = {"error": "Access to this endpoint is not authorized for bots"}
NOT_THIS = {"error": "You are not authorized to do this action"}
AT = datetime(2026, 6, 16, 9, 5, tzinfo=UTC)
BOT_REFUSED: dict[str, Any] = {"health": Health.REFUSED, "last_error_at": AT}
ADMIN_REFUSED: dict[str, Any] = {"admin_token_refused_at": AT}


def client(told: list[TokenRefused] | None = None, **fields: Any) -> ChatwootClient:
    values: dict[str, Any] = {
        "base_url": "https://chat.test",
        "account_id": 2,
        "bot_token": "bot-t0ken",
        "admin_token": "admin-t0ken",
    }
    account = ChatwootAccount(**{**values, **fields})
    return ChatwootClient(account, on_refused=None if told is None else told.append)


def post(chatwoot: ChatwootClient, *, private: bool) -> int:
    return chatwoot.create_message(
        133, content="Hi", private=private, mark="m-1", channel="Channel::WebWidget"
    )


def used(wire: responses.RequestsMock) -> list[str]:
    """The tokens of the calls, in their order."""
    return [
        call.request.headers["api-access-token"].removesuffix("-t0ken")
        for call in wire.calls
    ]


def error_case(name: str, cases: Any) -> Any:
    return next(case for case in cases if case["case"].startswith(name))


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("unknown or missing-owner token", TokenRefused),
        ("bot of another account", TokenRefused),
        ("user not in the account", TokenRefused),
        ("account suspended", TokenRefused),
        ("no credentials at all", TokenRefused),
        ("bot token on an endpoint outside", NotOpenToBots),
        ("role or inbox permission refused", NotPermitted),
        ("message status PATCH", NotPermitted),
    ],
)
def test_tells_chatwoots_refusals_apart(
    wire: responses.RequestsMock,
    payload: Callable[[str], Any],
    case: str,
    kind: type[Exception],
) -> None:
    answer = error_case(case, payload("api/errors"))
    wire.post(f"{ONE}/messages", status=answer["status"], json=answer["body"])

    with pytest.raises(UpstreamRejected) as caught:
        post(client(), private=False)

    assert type(caught.value) is kind
    assert caught.value.status == answer["status"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", ["<html>Log in</html>", "", '"no"', "[]", "{}", '{"message": "Forbidden"}']
)
def test_a_login_page_or_firewall_is_no_refusal_of_the_token(
    wire: responses.RequestsMock, status: int, body: str
) -> None:
    wire.post(f"{ONE}/toggle_status", status=status, body=body)
    told: list[TokenRefused] = []

    with pytest.raises(Blocked):
        client(told).toggle_status(133, status="open")

    # The administrator's token would not get past it either.
    assert (used(wire), told) == (["bot"], [])


def test_a_refused_public_message_is_not_sent_as_a_human(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/messages", status=401, json=INVALID)
    told: list[TokenRefused] = []

    with pytest.raises(TokenRefused, match="bot's token") as caught:
        post(client(told), private=False)

    assert caught.value.token == "bot"
    assert told == [caught.value]
    assert used(wire) == ["bot"]


def test_a_note_is_posted_as_the_administrator_when_the_bot_is_refused(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/messages", status=401, json=INVALID)
    wire.post(f"{ONE}/messages", json={"id": 9040})
    wire.post(f"{ONE}/toggle_status", json={"payload": {"success": True}})
    told: list[TokenRefused] = []
    chatwoot = client(told)

    posted = post(chatwoot, private=True)
    chatwoot.toggle_status(133, status="open")

    assert posted == 9040
    assert used(wire) == ["bot", "admin", "admin"]
    assert [(err.token, err.status) for err in told] == [("bot", 401)]
    assert json.loads(wire.calls[1].request.body or "")["private"] is True


@pytest.mark.parametrize("answer", [INVALID, NOT_THIS, NOT_FOR_BOTS])
def test_opens_with_the_administrators_token_when_the_bots_may_not(
    wire: responses.RequestsMock, answer: dict[str, str]
) -> None:
    wire.post(f"{ONE}/toggle_status", status=401, json=answer)
    wire.post(f"{ONE}/toggle_status", json={"payload": {"success": True}})

    client().toggle_status(133, status="open")

    assert used(wire) == ["bot", "admin"]


def test_what_is_known_to_be_refused_is_not_sent(wire: responses.RequestsMock) -> None:
    told: list[TokenRefused] = []
    chatwoot = client(told, **BOT_REFUSED)

    with pytest.raises(TokenRefused) as caught:
        post(chatwoot, private=False)
    chatwoot.show_typing(133, on=True)

    assert str(caught.value).startswith(
        "The bot's token was refused at 2026-06-16 09:05 UTC; the bridge does not try "
        "it again until a check succeeds."
    )
    assert (caught.value.token, caught.value.status) == ("bot", None)
    assert (len(wire.calls), told) == (0, [])


def test_the_administrator_stands_in_for_a_bot_that_is_refused(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/messages", json={"id": 9040})
    wire.post(f"{ONE}/toggle_status", json={"payload": {"success": True}})
    wire.get(ONE, json={"id": 133, "status": "open"})
    chatwoot = client(**BOT_REFUSED)

    assert post(chatwoot, private=True) == 9040
    chatwoot.toggle_status(133, status="open")
    assert chatwoot.show_conversation(133)[0].status == "open"

    assert chatwoot.can_read_messages
    assert used(wire) == ["admin", "admin", "admin"]


def test_a_refused_administrator_is_as_none(wire: responses.RequestsMock) -> None:
    wire.get(ONE, json={"id": 133, "status": "open"})
    chatwoot = client(**ADMIN_REFUSED)

    assert not chatwoot.can_read_messages
    with pytest.raises(TokenRefused, match="administrator's token was refused at"):
        chatwoot.list_messages(133)
    assert chatwoot.show_conversation(133)[0].status == "open"

    assert used(wire) == ["bot"]


@pytest.mark.parametrize(
    ("answer", "after"), [(INVALID, ["bot"]), (NOT_THIS, ["admin", "bot"])]
)
def test_a_conversation_is_read_as_the_bot_when_the_administrator_may_not(
    wire: responses.RequestsMock, answer: JsonObject, after: list[str]
) -> None:
    is_admin = responses.matchers.header_matcher({"api-access-token": "admin-t0ken"})
    is_bot = responses.matchers.header_matcher({"api-access-token": "bot-t0ken"})
    wire.get(ONE, status=401, json=answer, match=[is_admin])
    wire.get(ONE, json={"id": 133, "status": "pending"}, match=[is_bot])
    told: list[TokenRefused] = []
    chatwoot = client(told)

    first, _last = chatwoot.show_conversation(133)
    again, _last = chatwoot.show_conversation(133)

    assert first.status == again.status == "pending"
    # Refused is remembered; not permitted here may be permitted elsewhere.
    assert used(wire) == ["admin", "bot", *after]
    assert chatwoot.can_read_messages is (answer is NOT_THIS)
    assert [err.token for err in told] == (["admin"] if answer is INVALID else [])


def test_history_that_is_refused_is_not_asked_for_again(
    wire: responses.RequestsMock,
) -> None:
    wire.get(f"{ONE}/messages", status=401, json=INVALID)
    told: list[TokenRefused] = []
    chatwoot = client(told)

    for _ in range(2):
        with pytest.raises(TokenRefused) as caught:
            chatwoot.list_messages(133)

    assert caught.value.token == "admin"
    assert (used(wire), len(told)) == (["admin"], 1)


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, "bot"),
        ({"admin_token": ""}, "bot"),
        ({"bot_token": ""}, "admin"),
        ({**BOT_REFUSED, **ADMIN_REFUSED}, "bot"),
    ],
)
def test_with_no_token_left_the_first_refusal_is_raised(
    wire: responses.RequestsMock, fields: dict[str, Any], first: TokenName
) -> None:
    wire.post(f"{ONE}/toggle_status", status=401, json=INVALID)

    with pytest.raises(TokenRefused) as caught:
        client(**fields).toggle_status(133, status="open")

    assert caught.value.token == first


@pytest.mark.parametrize("private", [False, True])
def test_without_any_token_an_operator_must_act(private: bool) -> None:
    with pytest.raises(ConfigurationError, match="no bot token"):
        post(client(bot_token="", admin_token=""), private=private)


def test_a_failure_after_a_refusal_may_be_repeated(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/toggle_status", status=401, json=INVALID)
    wire.post(f"{ONE}/toggle_status", status=503)
    told: list[TokenRefused] = []

    with pytest.raises(UpstreamUnavailable):
        client(told).toggle_status(133, status="open")

    assert [err.token for err in told] == ["bot"]


def test_no_refusal_shows_a_token(wire: responses.RequestsMock) -> None:
    echo = {"error": "Invalid Access Token bot-t0ken"}
    wire.post(f"{ONE}/messages", status=401, json=echo)

    with pytest.raises(TokenRefused) as caught:
        post(client(), private=False)

    assert "t0ken" not in f"{caught.value} {caught.value!r} {caught.value.excerpt}"
