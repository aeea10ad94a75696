"""What is remembered of an account's refused tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge_project.lib.errors import UpstreamUnavailable
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.refusals import Blocked, NotOpenToBots, TokenName, TokenRefused

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 16, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=1)


@pytest.fixture
def account() -> ChatwootAccount:
    return ChatwootAccount.objects.create(
        name="Nordlicht", key="nordlicht", base_url="https://chat.test", account_id=2
    )


def refusal(token: TokenName, *, status: int | None = 401) -> TokenRefused:
    return TokenRefused(status=status, excerpt="Invalid Access Token").of(token)


def test_a_refused_bot_is_the_accounts_health(account: ChatwootAccount) -> None:
    assert ChatwootAccount.objects.all().note(refusal("bot")) == 1

    account.refresh_from_db()
    assert account.health == Health.REFUSED
    assert account.last_error == (
        "Chatwoot does not accept the bot's token. — Invalid Access Token"
    )
    assert account.admin_token_refused_at is None


def test_a_refused_administrator_is_not(account: ChatwootAccount) -> None:
    ChatwootAccount.objects.all().mark_ok()

    assert ChatwootAccount.objects.all().note(refusal("admin")) == 1
    account.refresh_from_db()
    since = account.admin_token_refused_at
    assert ChatwootAccount.objects.all().note(refusal("admin")) == 0

    account.refresh_from_db()
    assert (account.health, account.admin_token_refused_at) == (Health.OK, since)
    assert since is not None
    assert account.last_error.startswith("Chatwoot does not accept the administrator's")


def test_the_bots_refusal_stays_the_last_error(account: ChatwootAccount) -> None:
    ChatwootAccount.objects.all().note(refusal("bot"))
    ChatwootAccount.objects.all().note(refusal("admin"))

    account.refresh_from_db()
    assert account.last_error.startswith("Chatwoot does not accept the bot's")
    assert account.admin_token_refused_at is not None


@pytest.mark.parametrize("token", ["bot", "admin"])
def test_a_call_that_was_not_made_is_no_news(
    account: ChatwootAccount, token: TokenName
) -> None:
    assert ChatwootAccount.objects.all().note(refusal(token, status=None)) == 0

    account.refresh_from_db()
    assert account.health == Health.UNKNOWN
    assert account.admin_token_refused_at is None


@pytest.mark.parametrize(
    ("err", "health"),
    [
        (Blocked(status=403), Health.FAILING),
        (UpstreamUnavailable(status=503), Health.FAILING),
        (NotOpenToBots(status=401), Health.UNKNOWN),
    ],
)
def test_what_is_no_refusal_refuses_nothing(
    account: ChatwootAccount, err: Any, health: str
) -> None:
    ChatwootAccount.objects.all().note(err)

    account.refresh_from_db()
    assert account.health == health


def test_the_administrator_is_accepted_again(account: ChatwootAccount) -> None:
    ChatwootAccount.objects.all().note(refusal("admin"))

    assert ChatwootAccount.objects.all().mark_admin_ok() == 1
    assert ChatwootAccount.objects.all().mark_admin_ok() == 0

    account.refresh_from_db()
    assert account.admin_token_refused_at is None


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, False),
        ({"health": Health.FAILING}, False),
        ({"health": Health.REFUSED}, True),
        ({"health": Health.REFUSED, "next_probe_at": NOW}, True),
        ({"health": Health.REFUSED, "next_probe_at": SOON}, False),
        ({"admin_token_refused_at": NOW}, True),
        ({"admin_token_refused_at": NOW, "next_probe_at": SOON}, False),
        ({"next_probe_at": NOW}, False),
    ],
)
def test_only_refused_tokens_are_probed_and_only_in_time(
    account: ChatwootAccount, fields: dict[str, Any], is_due: bool
) -> None:
    ChatwootAccount.objects.update(**fields)

    assert ChatwootAccount.objects.all().to_probe(NOW).exists() is is_due
