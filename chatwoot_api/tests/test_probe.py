"""Asking Chatwoot whether it accepts a token, and what is stored of the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.probe import probe, store

pytestmark = pytest.mark.django_db

ZERO = "https://chat.test/api/v1/accounts/2/conversations/0"
AT = datetime(2026, 6, 16, 9, 0, tzinfo=UTC)
KNOWN = (404, {"error": "Resource could not be found"})
INVALID = (401, {"error": "Invalid Access Token"})


def make_account(**fields: Any) -> ChatwootAccount:
    values: dict[str, Any] = {
        "name": "Nordlicht",
        "key": "nordlicht",
        "base_url": "https://chat.test",
        "account_id": 2,
        "bot_token": "bot-t0ken",
        "admin_token": "admin-t0ken",
    }
    return ChatwootAccount.objects.create(**{**values, **fields})


def answer(wire: responses.RequestsMock, token: str, status: int, body: Any) -> None:
    header = responses.matchers.header_matcher({"api-access-token": f"{token}-t0ken"})
    content = {"body": body} if isinstance(body, str) else {"json": body}
    wire.get(ZERO, status=status, match=[header], **content)


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (*KNOWN, "ok"),
        # Chatwoot before 4.14.2.
        (401, {"error": "Access to this endpoint is not authorized for bots"}, "ok"),
        (401, {"error": "You are not authorized to do this action"}, "ok"),
        (*INVALID, "refused"),
        (401, {"error": "Bot is not authorized to access this account"}, "refused"),
        (401, {"error": "Account is suspended"}, "refused"),
        (401, "<html>Log in</html>", "unknown"),
        (403, "Forbidden", "unknown"),
        (404, "<html>Not here</html>", "unknown"),
        (302, "", "unknown"),
        (429, "Retry later", "unknown"),
        (500, {"status": 500, "error": "Internal Server Error"}, "unknown"),
        (502, "", "unknown"),
        (200, "<html>Welcome</html>", "unknown"),
    ],
)
def test_reads_what_chatwoot_says_of_a_token(
    wire: responses.RequestsMock, status: int, body: Any, state: str
) -> None:
    account = make_account(health=Health.REFUSED)
    answer(wire, "bot", status, body)

    result = probe(account)

    assert (result.bot, result.admin) == (state, "unknown")
    assert result.states() == {"bot": state}
    assert len(wire.calls) == 1
    assert set(result.errors) == (set() if state == "ok" else {"bot"})


def test_without_a_connection_nothing_is_known(wire: responses.RequestsMock) -> None:
    account = make_account(health=Health.REFUSED)
    wire.get(ZERO, body=requests.ConnectTimeout())

    result = probe(account)
    store(account, result)

    assert result.bot == "unknown"
    account.refresh_from_db()
    assert account.health == Health.REFUSED


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, []),
        ({"health": Health.REFUSED}, ["bot"]),
        ({"admin_token_refused_at": AT}, ["admin"]),
        ({"health": Health.REFUSED, "admin_token_refused_at": AT}, ["bot", "admin"]),
        ({"health": Health.REFUSED, "bot_token": ""}, []),
    ],
)
def test_asks_once_for_each_refused_token(
    wire: responses.RequestsMock, fields: dict[str, Any], asked: list[str]
) -> None:
    for token in ("bot", "admin"):
        answer(wire, token, *KNOWN)

    assert probe(make_account(**fields)).asked == tuple(asked)

    used = [call.request.headers["api-access-token"] for call in wire.calls]
    assert used == [f"{token}-t0ken" for token in asked]


def test_tokens_that_work_again_are_stored(wire: responses.RequestsMock) -> None:
    account = make_account(health=Health.REFUSED, admin_token_refused_at=AT)
    for token in ("bot", "admin"):
        answer(wire, token, *KNOWN)

    store(account, probe(account))

    account.refresh_from_db()
    assert (account.health, account.admin_token_refused_at) == (Health.OK, None)


def test_one_tokens_answer_is_not_the_others(wire: responses.RequestsMock) -> None:
    account = make_account(health=Health.REFUSED, admin_token_refused_at=AT)
    answer(wire, "bot", *INVALID)
    answer(wire, "admin", *KNOWN)

    store(account, probe(account))

    account.refresh_from_db()
    assert (account.health, account.admin_token_refused_at) == (Health.REFUSED, None)


def test_a_token_that_stays_refused_keeps_its_since(
    wire: responses.RequestsMock,
) -> None:
    account = make_account(
        health=Health.REFUSED,
        last_error="401",
        last_error_at=AT,
        admin_token_refused_at=AT,
    )
    for token in ("bot", "admin"):
        answer(wire, token, *INVALID)

    store(account, probe(account))

    account.refresh_from_db()
    assert (account.health, account.last_error) == (Health.REFUSED, "401")
    assert (account.last_error_at, account.admin_token_refused_at) == (AT, AT)


def test_a_full_check_finds_tokens_that_are_refused(
    wire: responses.RequestsMock,
) -> None:
    account = make_account()
    for token in ("bot", "admin"):
        answer(wire, token, *INVALID)

    store(account, probe(account, only_refused=False))

    account.refresh_from_db()
    assert account.health == Health.REFUSED
    assert account.admin_token_refused_at is not None


def test_a_token_that_is_not_set_cannot_be_checked() -> None:
    with pytest.raises(ConfigurationError, match="administrator's token"):
        ChatwootClient(make_account(admin_token="")).check_token("admin")
