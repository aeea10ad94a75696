"""How a server process is started: as which user, and what it does when we die."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

from local_stack.errors import LocalStackError

# Exists everywhere, owns nothing, may do nothing.
UNPRIVILEGED_USER = "nobody"

# What the unprivileged user may need in addition, weakest first, when the project
# lies below a folder only root may enter (/root): to pass folders, to pass all.
EXTRA_CAPABILITIES = (None, "dac_read_search", "dac_override")


def own_process(command: list[str], *, when_parent_dies: str) -> list[str]:
    """The command, so that the kernel sends it a signal when its parent dies.

    Nothing is left running then even if the parent was killed with `kill -9`. Where
    `setpriv` is missing (macOS) the next start cleans up instead.
    """
    if not _has_setpriv():
        return command
    return ["setpriv", "--pdeathsig", when_parent_dies, "--", *command]


def owner_uid(data: Path) -> int:
    """The uid a server with that data folder runs as. PostgreSQL refuses root.

    Raises `LocalStackError` if the folder belongs to somebody we cannot become.
    """
    mine = os.geteuid()
    owner = data.stat().st_uid if data.exists() else mine
    if mine == 0:
        return owner or pwd.getpwnam(UNPRIVILEGED_USER).pw_uid
    if owner != mine:
        raise LocalStackError(
            f"{data} belongs to another user (uid {owner}), so the database in it "
            "cannot be opened. Run this as that user or as root, or give a data "
            "folder of your own with LOCAL_DIR=..."
        )
    return mine


def as_user(
    command: list[str], *, uid: int, data: Path, when_parent_dies: str
) -> list[str]:
    """The command, run as `uid`, able to reach `data` and its own program.

    As a normal user that is the command itself. As root the rights are dropped
    without touching a folder's mode: if a folder on the way is closed to others, the
    process keeps the right to pass folders (and as a last resort, to pass files).
    """
    if os.geteuid() == uid:
        return own_process(command, when_parent_dies=when_parent_dies)
    return [
        *_drop_root(uid, Path(command[0]), data),
        *("--pdeathsig", when_parent_dies, "--"),
        *command,
    ]


@cache
def _drop_root(uid: int, program: Path, data: Path) -> list[str]:
    if not _has_setpriv():
        raise LocalStackError(
            "PostgreSQL refuses to run as root, and the command setpriv (package "
            "util-linux) that would drop the rights is missing. Run this as a normal "
            "user, install util-linux, or set DATABASE_URL to a running server."
        )
    gid = pwd.getpwuid(uid).pw_gid
    test = f'test -x "{program}" && test -w "{data}"'
    for capability in EXTRA_CAPABILITIES:
        drop = [
            *("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
            "--no-new-privs",
        ]
        if capability:
            # PostgreSQL asks access(2), which forgets capabilities without that bit.
            drop += ["--securebits=+no_setuid_fixup"]
            drop += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
        if (
            subprocess.run(
                [*drop, "--", "sh", "-c", test],
                check=False,
                capture_output=True,
                cwd="/",
            ).returncode
            == 0
        ):
            return drop
    raise LocalStackError(
        f"PostgreSQL refuses to run as root, and the user {UNPRIVILEGED_USER} can "
        f"reach neither {program} nor {data} (the container forbids it). Move the "
        "project to a folder that others may enter, run this as a normal user, or "
        "set DATABASE_URL to a running server."
    )


@cache
def _has_setpriv() -> bool:
    found = shutil.which("setpriv")
    if found is None:
        return False
    usage = subprocess.run([found, "--help"], check=False, capture_output=True)
    return b"--pdeathsig" in usage.stdout
