"""What has to be done to the database before the processes start."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.data_dir import PROJECT_ROOT, DataDir
from local_stack.errors import LocalStackError
from local_stack.privileges import own_process
from local_stack.superuser import PASSWORD_DIFFERS
from local_stack.terminal import prefixed, say, tail


@dataclass(frozen=True)
class AdminLogin:
    """How to get into the admin. Without a password: somebody has changed it."""

    username: str
    password: str | None


def manage(name: str, *arguments: str, env: Mapping[str, str], log: Path) -> None:
    """Run a command of `manage.py`, its output on the terminal and in the log.

    Raises `LocalStackError` with the last lines if it fails.
    """
    _run(["manage.py", name, *arguments], name=name, env=env, log=log, quiet=False)


def ensure_superuser(
    folder: DataDir, *, env: Mapping[str, str], log: Path
) -> AdminLogin:
    """The admin login: from DJANGO_SUPERUSER_*, else `admin` with a password made once.

    Raises `LocalStackError`.
    """
    asked_for = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    username = os.environ.get("DJANGO_SUPERUSER_USERNAME") or "admin"
    password = asked_for or folder.secret(
        f"DJANGO_SUPERUSER_PASSWORD of {username}",
        make=lambda: secrets.token_urlsafe(9),
    )
    answer = _run(
        ["-m", "local_stack.superuser"],
        name="superuser",
        env={
            **env,
            "DJANGO_SUPERUSER_USERNAME": username,
            "DJANGO_SUPERUSER_PASSWORD": password,
            "OVERWRITE_PASSWORD": "yes" if asked_for else "no",
        },
        log=log,
        quiet=True,
    )
    differs = answer.endswith(PASSWORD_DIFFERS)
    return AdminLogin(username, None if differs else password)


def _run(
    arguments: list[str], *, name: str, env: Mapping[str, str], log: Path, quiet: bool
) -> str:
    """Run Python with those arguments; returns its output. Ctrl-C ends it as well."""
    command = own_process([sys.executable, *arguments], when_parent_dies="TERM")
    output = []
    with (
        log.open("a") as file,
        subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                output.append(line)
                file.write(line)
                file.flush()
                if not quiet:
                    say(prefixed(name, line))
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise LocalStackError(
            f"The step `{name}` failed, so nothing else was started. Its last "
            f"lines, all of them are in {log}:\n{tail(log, lines=30)}"
        )
    return "".join(output).strip()
