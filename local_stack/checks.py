"""`make check`: everything that CI runs, step by step, until one fails."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.data_dir import PROJECT_ROOT
from local_stack.environment import fernet_key
from local_stack.servers import ensure_for_tests

PROGRAMS = Path(sys.executable).parent

# What `check --deploy` should say nothing about: the bridge as an operator runs it.
PRODUCTION = {
    "DEBUG": "False",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "FIELD_ENCRYPTION_KEYS": fernet_key(),
    "PUBLIC_URL": "https://bridge.example.com",
    "ALLOWED_HOSTS": "bridge.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://bridge.example.com",
}

# What the compose file insists on.
COMPOSE = {
    "POSTGRES_PASSWORD": "only-to-read-the-file",
    "SECRET_KEY": "only-to-read-the-file",
    "FIELD_ENCRYPTION_KEYS": "only-to-read-the-file",
}


@dataclass(frozen=True)
class Check:
    """One step: what it is, and the command that fails if something is wrong."""

    title: str
    command: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    # Long output that nobody reads when all is well.
    is_quiet: bool = False


def checks() -> list[Check]:
    """All steps, quick ones first."""
    return [
        Check("ruff: style and common mistakes", _tool("ruff", "check", ".")),
        Check("ruff: form of the code", _tool("ruff", "format", "--check", ".")),
        Check("import contracts", _tool("lint-imports"), is_quiet=True),
        Check("mypy: types", _tool("mypy", ".")),
        Check("no migration is missing", _manage("makemigrations", "--check")),
        Check(
            "old code survives each migration",
            [sys.executable, "-m", "local_stack.migration_rules"],
        ),
        Check(
            "the settings are fit for production",
            _manage("check", "--deploy", "--fail-level", "WARNING"),
            env=PRODUCTION,
        ),
        Check(
            "docker-compose.yml follows the Compose specification",
            _tool(
                *("check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
                "docker-compose.yml",
            ),
        ),
        Check(
            "docker-compose.yml can be read with its variables filled in",
            # It asks the engine for its version; any program that has one will do.
            _tool(
                *("podman-compose", "--podman-path", sys.executable),
                *("--file", "docker-compose.yml", "config"),
            ),
            env=COMPOSE,
            is_quiet=True,
        ),
        Check(
            "no package has a known vulnerability",
            [sys.executable, "-m", "local_stack.audit"],
        ),
        Check("tests", [sys.executable, "-m", "pytest"]),
        Check(
            "nothing is lost, doubled or silent when things break",
            [sys.executable, "-m", "chaos", "--short"],
        ),
    ]


def run_all(steps: Sequence[Check], *, env: Mapping[str, str]) -> int:
    """Run one after the other until one fails; returns the exit code."""
    started_at = time.monotonic()
    for number, check in enumerate(steps, start=1):
        _say(f"\n==> {number}/{len(steps)} {check.title}")
        ended = subprocess.run(
            check.command,
            check=False,
            cwd=PROJECT_ROOT,
            env={**env, **check.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if check.is_quiet else None,
            stderr=subprocess.STDOUT if check.is_quiet else None,
        )
        if ended.returncode != 0:
            _say((ended.stdout or b"").decode(errors="replace"))
            _say(
                f"make check: step {number}, {check.title}, failed; the later ones "
                f"did not run. Again by hand: {' '.join(check.command)}"
            )
            return 1
    duration_s = time.monotonic() - started_at
    _say(f"\nmake check: all {len(steps)} steps passed in {duration_s:.0f} s.")
    return 0


def main() -> int:
    return run_all(checks(), env=os.environ | ensure_for_tests())


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(PROGRAMS / name), *arguments]


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
