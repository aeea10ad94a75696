"""Refused tokens are tried again, each once a minute, and found when they work."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from django.db import connection

from chatwoot_api.models import ChatwootAccount, Health
from conversations.probes import probe_refused
from conversations.tests.factories import DIFY, make_account, make_app
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 16, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=59)
MINUTE_LATER = NOW + timedelta(seconds=60)
NOTHING = {"ok": 0, "refused": 0, "unknown": 0, "unreadable": 0}
KNOWN = (404, {"error": "Resource could not be found"})
INVALID = (401, {"error": "Invalid Access Token"})
DIFY_INVALID = {"code": "unauthorized", "message": "Access token is invalid"}
REFUSED = {"health": Health.REFUSED}


def answer(wire: responses.RequestsMock, account_id: int, reply: Any) -> None:
    status, body = reply
    url = f"https://chat.test/api/v1/accounts/{account_id}/conversations/0"
    wire.get(url, status=status, json=body)


def unreadable(row: ChatwootAccount | DifyApp, column: str) -> None:
    """Store what no key decrypts."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {row._meta.db_table} SET {column} = 'gAAAAA' WHERE id = %s",
            [row.pk],
        )


def test_services_that_work_are_left_alone(wire: responses.RequestsMock) -> None:
    make_account(health=Health.FAILING)
    make_app()

    assert probe_refused(NOW) == NOTHING
    assert len(wire.calls) == 0


def test_tokens_that_work_again_are_used_again(wire: responses.RequestsMock) -> None:
    make_account(account_id=2, **REFUSED)
    make_account(account_id=3, admin_token_refused_at=NOW, health=Health.OK)
    for account_id in (2, 3):
        answer(wire, account_id, KNOWN)

    assert probe_refused(NOW) == {**NOTHING, "ok": 2}

    used = [call.request.headers["api-access-token"] for call in wire.calls]
    assert sorted(used) == ["the-admin-token", "the-bot-token"]
    rows = ChatwootAccount.objects.values_list("health", "admin_token_refused_at")
    assert list(rows) == [(Health.OK, None), (Health.OK, None)]


@pytest.mark.parametrize("fields", [REFUSED, {"admin_token_refused_at": NOW}])
def test_a_token_is_tried_once_a_minute(
    wire: responses.RequestsMock, fields: dict[str, Any]
) -> None:
    make_account(**fields)
    answer(wire, 2, INVALID)

    counts = [probe_refused(at) for at in (NOW, SOON, MINUTE_LATER)]

    refused = {**NOTHING, "refused": 1}
    assert counts == [refused, NOTHING, refused]
    assert len(wire.calls) == 2


def test_a_service_that_is_away_stays_refused(wire: responses.RequestsMock) -> None:
    account = make_account(**REFUSED)
    answer(wire, 2, (503, {}))

    assert probe_refused(NOW) == {**NOTHING, "unknown": 1}

    account.refresh_from_db()
    assert account.health == Health.REFUSED


def test_a_dify_app_works_again(wire: responses.RequestsMock) -> None:
    app = make_app(**REFUSED)
    wire.get(f"{DIFY}/v1/info", json={"name": "Shop", "mode": "chat"})
    wire.get(f"{DIFY}/v1/parameters", json={"user_input_form": [], "file_upload": {}})

    assert probe_refused(NOW) == {**NOTHING, "ok": 1}

    app.refresh_from_db()
    assert app.health == Health.OK


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [(401, DIFY_INVALID, "refused"), (503, {}, "unknown")],
)
def test_a_dify_app_that_is_still_refused(
    wire: responses.RequestsMock, status: int, body: Any, outcome: str
) -> None:
    app = make_app(**REFUSED)
    wire.get(f"{DIFY}/v1/info", status=status, json=body)

    assert probe_refused(NOW) == {**NOTHING, outcome: 1}

    app.refresh_from_db()
    assert app.health == Health.REFUSED


def test_a_row_that_cannot_be_read_does_not_stop_the_others(
    wire: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable(make_account(account_id=2, **REFUSED), "bot_token")
    make_account(account_id=4, **REFUSED)
    unreadable(make_app(**REFUSED), "api_key")
    make_app(**REFUSED)
    answer(wire, 4, KNOWN)
    wire.get(f"{DIFY}/v1/info", status=401, json=DIFY_INVALID)

    assert probe_refused(NOW) == {"ok": 1, "refused": 1, "unknown": 0, "unreadable": 2}

    told = [entry for entry in caplog.messages if "cannot be checked" in entry]
    assert len(told) == 2


def test_a_token_that_no_header_may_hold_is_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Only a real connection gets as far as writing the header.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        make_account(base_url=address, bot_token="copied…", **REFUSED)

        assert probe_refused(NOW) == {**NOTHING, "unreadable": 1}

    assert "cannot be checked" in caplog.text
    assert "copied" not in caplog.text


def test_two_processes_ask_only_once(wire: responses.RequestsMock) -> None:
    account = make_account(**REFUSED)
    accounts = ChatwootAccount.objects.all()

    assert accounts.claim_probe(account.pk, NOW)
    assert not accounts.claim_probe(account.pk, NOW)
    assert probe_refused(NOW) == NOTHING
    assert len(wire.calls) == 0
