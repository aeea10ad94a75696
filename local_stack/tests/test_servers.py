from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from local_stack import servers
from local_stack.data_dir import DataDir
from local_stack.errors import LocalStackError
from local_stack.postgres import Postgres


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    """A fresh data folder, and no servers given by the environment."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    folder = DataDir(tmp_path / "data")
    folder.prepare()
    return folder


def test_second_start_continues_with_the_data(folder: DataDir) -> None:
    lines: list[str] = []
    with servers.running(folder, durable=True, say=lines.append) as urls:
        with psycopg.connect(urls["DATABASE_URL"]) as db:
            db.execute("CREATE TABLE kept AS SELECT 'Ärger'::text AS word")
            assert _setting(db, "fsync") == "on"
            assert _setting(db, "synchronous_commit") == "on"
            assert _setting(db, "server_version_num")[:2] == "18"
        with redis.Redis.from_url(urls["REDIS_URL"]) as client:
            client.set("kept", "yes")
    assert lines == ["Making a new PostgreSQL database (once, takes some seconds)"]

    with servers.running(folder, durable=True, say=lines.append) as urls:
        with psycopg.connect(urls["DATABASE_URL"]) as db:
            row = db.execute("SELECT upper(word) FROM kept").fetchone()
            assert row == ("ÄRGER",)
        with redis.Redis.from_url(urls["REDIS_URL"]) as client:
            assert client.get("kept") == b"yes"
    assert len(lines) == 1


def test_servers_listen_to_this_machine_only_and_want_a_password(
    folder: DataDir,
) -> None:
    with servers.running(folder, durable=False, say=_ignore) as urls:
        with psycopg.connect(urls["DATABASE_URL"]) as db:
            assert _setting(db, "listen_addresses") == "127.0.0.1"
            assert _setting(db, "unix_socket_directories") == ""
            assert _setting(db, "max_connections") == "200"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(_without_password(urls["DATABASE_URL"]))
        with (
            redis.Redis.from_url(_without_password(urls["REDIS_URL"])) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_nothing_is_left_when_the_block_ends(folder: DataDir) -> None:
    with servers.running(folder, durable=False, say=_ignore):
        assert _processes_of(folder) == ["postgres", "redis-server"]

    assert _processes_of(folder) == []


def test_start_succeeds_when_a_crash_left_a_server_running(folder: DataDir) -> None:
    with servers.running(folder, durable=False, say=_ignore):
        pass
    orphan = subprocess.Popen(
        Postgres(folder, durable=False).command(), stderr=subprocess.DEVNULL
    )
    lines: list[str] = []
    servers.wait_until_ready(
        Postgres(folder, durable=False), folder=folder, meanwhile=lambda: None
    )

    with servers.running(folder, durable=False, say=lines.append) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()

    assert orphan.wait() == 0
    assert lines == ["Stopped a PostgreSQL server that an earlier start left behind"]


def test_pid_file_that_names_a_stranger_is_dropped_and_the_stranger_lives(
    folder: DataDir,
) -> None:
    with servers.running(folder, durable=False, say=_ignore):
        pass
    (folder.root / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")

    with servers.running(folder, durable=False, say=_ignore) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()


def test_data_of_another_postgres_version_is_refused(folder: DataDir) -> None:
    (folder.root / "postgres").mkdir()
    (folder.root / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(LocalStackError, match="was made by PostgreSQL 17, this is 18"):
        Postgres(folder, durable=True).prepare(say=_ignore)


def test_interrupted_initdb_is_done_again(folder: DataDir) -> None:
    half_done = folder.root / "postgres.new"
    half_done.mkdir()
    (half_done / "PG_VERSION").write_text("18\n")

    Postgres(folder, durable=False).prepare(say=_ignore)

    assert (folder.root / "postgres" / "global" / "pg_control").exists()
    assert not half_done.exists()
    assert not (folder.root / "postgres.password").exists()


def test_given_servers_are_used_and_none_is_started(
    folder: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "DATABASE_URL": "postgres://u:p@db.example.com/x",
        "REDIS_URL": "redis://redis.example.com/3",
    }
    for name, url in given.items():
        monkeypatch.setenv(name, url)

    with servers.running(folder, durable=True, say=_ignore) as urls:
        assert urls == given
        assert _processes_of(folder) == []


def test_only_the_missing_server_is_started(
    folder: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@db.example.com/x")

    assert list(servers.wanted(folder, durable=True)) == ["REDIS_URL"]


def test_test_session_has_both_servers() -> None:
    assert servers.ensure_for_tests() == {
        name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")
    }


def _setting(db: psycopg.Connection, name: str) -> str:
    row = db.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _without_password(url: str) -> str:
    scheme, rest = url.split("://")
    login, place = rest.split("@")
    return f"{scheme}://{login.split(':')[0]}@{place}".replace("//@", "//")


def _processes_of(folder: DataDir) -> list[str]:
    """Names of the servers that name this folder in their command line."""
    found = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        if any(str(folder.root) in part for part in process.info["cmdline"] or ()):
            found.add(process.info["name"])
    return sorted(found)


def _ignore(_line: str) -> None:
    return None
