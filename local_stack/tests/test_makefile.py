from __future__ import annotations

import re
import subprocess

from local_stack.data_dir import PROJECT_ROOT

MAKEFILE = PROJECT_ROOT / "Makefile"


def _make(*arguments: str) -> str:
    return subprocess.run(
        ["make", *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_help_lists_every_target() -> None:
    targets = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE.read_text(), re.MULTILINE)
    listed = re.findall(r"^([a-z-]+)  +\S", _make("help"), re.MULTILINE)

    assert sorted(listed) == sorted(targets)
    assert set(targets) >= {"run", "test", "check", "help", "install", "format"}


def test_help_is_what_make_says_without_a_target() -> None:
    assert _make() == _make("help")


def test_old_python_is_refused_with_a_sentence(tmp_path: object) -> None:
    made = subprocess.run(
        ["make", "install", "VENV=/nonexistent/venv", "PYTHON=false"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode != 0
    assert "is too old, the bridge needs Python 3.11 or newer" in made.stdout


def test_ci_runs_what_developers_run() -> None:
    script = PROJECT_ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert "make check" in script.read_text()
