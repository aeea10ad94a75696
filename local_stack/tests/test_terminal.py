from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.terminal import LogFollower, prefixed, tail


def test_new_lines_are_repeated_with_the_name_of_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "web.log"
    log.write_text("from yesterday\n")
    follower = LogFollower(["web", "beat"], logs=tmp_path)
    with log.open("a") as file:
        file.write("one\ntwo\nunfinished")
    (tmp_path / "beat.log").write_text("tick\n")

    follower.start()
    follower.stop()

    assert capsys.readouterr().out.splitlines() == [
        "web       | one",
        "web       | two",
        "beat      | tick",
    ]


def test_lines_before_and_after_a_rotation_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "web.log"
    log.touch()
    follower = LogFollower(["web"], logs=tmp_path)
    log.write_text("before\n")
    log.rename(tmp_path / "web.log.1")
    log.write_text("after\n")

    follower.start()
    follower.stop()

    assert capsys.readouterr().out.splitlines() == [
        "web       | before",
        "web       | after",
    ]


def test_prefix_has_no_colour_outside_a_terminal() -> None:
    assert prefixed("web", "line\n", colour=32) == "web       | line"


def test_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("1\n2\n3\n")

    assert tail(log, lines=2) == "2\n3"
    assert tail(tmp_path / "none.log", lines=2) == "(no log)"
