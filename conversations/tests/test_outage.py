"""The web process without its servers, asked as Chatwoot asks: with 5 s of patience."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connection, transaction
from pytest_django import Settings

from bridge_project.lib.types import JsonObject
from conversations.tests.factories import make_account
from local_stack.data_dir import PROJECT_ROOT, free_port
from local_stack.testing import wait_until

CHATWOOT_WAITS_S = 5


@contextmanager
def web(**env: str) -> Iterator[str]:
    """gunicorn as in production; yields its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "WEB_PORT": str(port), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port), patience_s=30, what="gunicorn")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def web_without_database() -> Iterator[str]:
    """A web process with a database address where nobody listens."""
    nowhere = f"postgres://bridge:bridge@127.0.0.1:{free_port()}/bridge"
    with web(DATABASE_URL=nowhere) as address:
        yield address


def url_of_the_test_database() -> str:
    """Return DATABASE_URL with the name that the test session gave its database."""
    name = connection.settings_dict["NAME"]
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def options_of(url: str, **env: str) -> JsonObject:
    """Return what the settings of another process make of DATABASE_URL."""
    script = "import json, bridge_project.settings as s; print(json.dumps(s.DATABASES))"
    unset = {"DB_STATEMENT_TIMEOUT_MS": "0", "DB_LOCK_TIMEOUT_MS": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        env={**os.environ, **unset, "DATABASE_URL": url, **env},
        check=True,
        capture_output=True,
    ).stdout
    options: JsonObject = json.loads(printed)["default"]["OPTIONS"]
    del options["pool"]
    return options


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_a_database_chatwoot_is_asked_to_send_again(
    web_without_database: str,
) -> None:
    answer = requests.post(
        f"{web_without_database}/api/v1/chatwoot-webhook",
        json={"event": "message_created"},
        timeout=CHATWOOT_WAITS_S,
    )

    # Chatwoot repeats 500; after 503 it would take the conversation from the bot.
    assert answer.status_code == 500
    assert answer.json()["code"] == "database_unavailable"


def test_without_a_database_the_health_check_says_so(
    web_without_database: str,
) -> None:
    answer = requests.get(f"{web_without_database}/api/v1/health", timeout=10)

    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert answer.json()["database"] == "unreachable"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "table", ["chatwoot_api_chatwootaccount", "conversations_webhookevent"]
)
def test_a_locked_database_keeps_chatwoot_waiting_no_longer_than_it_waits(
    settings: Settings, table: str
) -> None:
    make_account(webhook_token="t0ken")
    body = {"event": "conversation_teleported"}
    with web(
        DATABASE_URL=url_of_the_test_database(),
        FIELD_ENCRYPTION_KEYS=",".join(settings.FIELD_ENCRYPTION_KEYS),
    ) as address:
        url = f"{address}/api/v1/chatwoot-webhook?token=t0ken"
        before = requests.post(url, json={**body, "n": 1}, timeout=CHATWOOT_WAITS_S)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            answer = requests.post(url, json={**body, "n": 2}, timeout=CHATWOOT_WAITS_S)
        after = requests.post(url, json={**body, "n": 2}, timeout=CHATWOOT_WAITS_S)

    assert (before.status_code, after.status_code) == (200, 200)
    assert answer.status_code == 500
    assert answer.json()["code"] == "database_unavailable"


def test_options_of_the_database_address_count() -> None:
    assert options_of("postgres://a:b@db:5432/x?sslmode=require") == {
        "sslmode": "require",
        "connect_timeout": 3,
    }


def test_an_address_may_choose_its_own_patience() -> None:
    assert options_of("postgres://a:b@db:5432/x?connect_timeout=9") == {
        "connect_timeout": 9
    }


def test_time_limits_stand_behind_the_options_of_the_address() -> None:
    options = options_of(
        "postgres://a:b@db:5432/x?options=-c%20search_path%3Dbridge",
        DB_STATEMENT_TIMEOUT_MS="2800",
        DB_LOCK_TIMEOUT_MS="1500",
    )

    assert options == {
        "connect_timeout": 3,
        "options": (
            "-c search_path=bridge -c statement_timeout=2800 -c lock_timeout=1500"
        ),
        "tcp_user_timeout": 2800,
    }
