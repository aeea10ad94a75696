"""The whole stack, started and stopped as `make run` does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from local_stack.data_dir import PROJECT_ROOT
from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EVERY = {"beat", "postgres", "redis", "sandbox", "web", "worker"}


def test_stack_heals_itself_stops_cleanly_and_continues(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_stack(folder) as stack:
        assert set(stack.pids()) == EVERY
        assert _health(stack)["status"] == "healthy"
        first = stack.pids()
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: _all_are_new(stack.pids(), first),
            patience_s=60,
            what="their return",
        )
        wait_until(lambda: _is_healthy(stack), patience_s=60, what="health to return")
        with psycopg.connect(stack.database_url) as db:
            db.execute("CREATE TABLE kept AS SELECT 1 AS one")
        processes = [psutil.Process(pid) for pid in stack.pids().values()]
        processes += [one for p in processes for one in p.children(recursive=True)]

    assert [one for one in processes if one.is_running()] == []

    with running_stack(folder) as again:
        assert (again.username, again.password) == (stack.username, stack.password)
        with psycopg.connect(again.database_url) as db:
            assert db.execute("SELECT one FROM kept").fetchone() == (1,)
        assert _version_from_exec(folder) == "(1,)"


def _all_are_new(now: dict[str, int], before: dict[str, int]) -> bool:
    return set(now) == EVERY and not set(now.values()) & set(before.values())


def _health(stack: RunningStack) -> dict[str, str]:
    with urllib.request.urlopen(f"{stack.web}/api/v1/health", timeout=10) as answer:
        result: dict[str, str] = json.load(answer)
    return result


def _is_healthy(stack: RunningStack) -> bool:
    try:
        return _health(stack)["database"] == "connected"
    except OSError:
        return False


def _version_from_exec(folder: Path) -> str:
    """What a command sees that runs beside the stack, like `make manage`."""
    code = (
        "from django.db import connection as c; k = c.cursor(); "
        "k.execute('SELECT one FROM kept'); print(k.fetchone())"
    )
    return subprocess.run(
        [
            *(sys.executable, "-m", "local_stack", "exec", "--", "python"),
            *("manage.py", "shell", "--no-imports", "--command", code),
        ],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "LOCAL_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
