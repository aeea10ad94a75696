"""The web process without its servers, asked as Chatwoot asks: with 5 s of patience."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from local_stack.data_dir import PROJECT_ROOT, free_port
from local_stack.testing import wait_until

CHATWOOT_WAITS_S = 5


@pytest.fixture
def web_without_database() -> Iterator[str]:
    """gunicorn as in production, with a database address where nobody listens."""
    port, nobody = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "WEB_PORT": str(port),
            "DATABASE_URL": f"postgres://bridge:bridge@127.0.0.1:{nobody}/bridge",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: _listens(port), patience_s=30, what="gunicorn")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=30)


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
