from __future__ import annotations

import os
import sys

import pytest

from local_stack.checks import Check, checks, run_all


def _step(title: str, code: str, *, is_quiet: bool = False) -> Check:
    return Check(
        title, [sys.executable, "-c", code], env={"WORD": title}, is_quiet=is_quiet
    )


def test_steps_run_in_order_with_their_environment(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import os; print('WORD is', os.environ['WORD'])"
    steps = [
        _step("one", code),
        _step("two", code),
        _step("three", code, is_quiet=True),
    ]

    assert run_all(steps, env=os.environ) == 0

    lines = [line for line in capfd.readouterr().out.splitlines() if line]
    assert lines[:5] == [
        "==> 1/3 one",
        "WORD is one",
        "==> 2/3 two",
        "WORD is two",
        "==> 3/3 three",
    ]
    assert lines[5].startswith("make check: all 3 steps passed in ")


def test_first_failure_ends_the_run_and_shows_quiet_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps = [
        _step("one", "print('the reason'); raise SystemExit(3)", is_quiet=True),
        _step("two", "print('not reached')"),
    ]

    assert run_all(steps, env=os.environ) == 1

    output = capfd.readouterr().out
    assert "the reason" in output
    assert "make check: step 1, one, failed; the later ones did not run." in output
    assert "not reached" not in output


def test_what_takes_longest_comes_last() -> None:
    assert [check.command[1:] for check in checks()[-2:]] == [
        ["-m", "pytest"],
        ["-m", "chaos", "--short"],
    ]


@pytest.mark.parametrize("module", ["local_stack.audit", "local_stack.migration_rules"])
def test_our_own_steps_are_part_of_it(module: str) -> None:
    assert [sys.executable, "-m", module] in [check.command for check in checks()]
