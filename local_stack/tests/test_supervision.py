from __future__ import annotations

import configparser
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local_stack import programs
from local_stack.data_dir import DataDir
from local_stack.privileges import own_process
from local_stack.programs import Program
from local_stack.supervision import Supervision, configuration, states
from local_stack.testing import wait_until

SLEEPER = Program(
    name="sleeper",
    command=own_process(["sleep", "600"], when_parent_dies="TERM"),
    order=1,
    starts_by_itself=True,
)


@pytest.fixture
def supervision(tmp_path: Path) -> Iterator[Supervision]:
    """A supervisord with one program that sleeps."""
    folder = DataDir(tmp_path / "data")
    folder.prepare()
    one = Supervision(folder)
    one.start([SLEEPER], env=os.environ)
    wait_until(one.socket.exists, patience_s=20, what="supervisord to start")
    yield one
    one.stop()


def _pid(supervision: Supervision) -> int:
    """The pid of the sleeper, 0 while it does not run (for a second at least)."""
    state = states(supervision.socket)["sleeper"]
    return state.pid if state.name == "RUNNING" else 0


def test_killed_program_comes_back(supervision: Supervision) -> None:
    wait_until(lambda: _pid(supervision) > 0, patience_s=20, what="the sleeper")
    first = _pid(supervision)

    os.kill(first, signal.SIGKILL)

    wait_until(
        lambda: _pid(supervision) not in (0, first), patience_s=20, what="its return"
    )


def test_stop_ends_the_programs(supervision: Supervision) -> None:
    wait_until(lambda: _pid(supervision) > 0, patience_s=20, what="the sleeper")
    sleeper = psutil.Process(_pid(supervision))

    supervision.stop()

    assert not sleeper.is_running()
    assert not supervision.socket.exists()


def test_programs_end_when_the_supervisor_is_killed(supervision: Supervision) -> None:
    wait_until(lambda: _pid(supervision) > 0, patience_s=20, what="the sleeper")
    sleeper = psutil.Process(_pid(supervision))

    sleeper.parent().kill()  # type: ignore[union-attr]

    wait_until(lambda: not sleeper.is_running(), patience_s=20, what="its end")
    wait_until(supervision.has_ended, patience_s=20, what="the news of it")


def test_socket_moves_to_a_short_place_when_the_path_is_too_long(
    tmp_path: Path,
) -> None:
    near = Supervision(DataDir(Path("/data")))
    far = Supervision(DataDir(tmp_path / ("x" * 90)))

    assert near.socket == Path("/data/supervisor.sock")
    assert len(str(far.socket)) < 90
    far.stop()
    assert not far.socket.parent.exists()


def test_every_program_is_brought_back_and_logged(tmp_path: Path) -> None:
    folder = DataDir(tmp_path / "100% mine")
    every = programs.processes(folder, with_sandbox=True)
    parser = configparser.RawConfigParser()

    parser.read_string(
        configuration(
            every, folder=folder, socket=tmp_path / "s", pid_file=tmp_path / "p"
        )
    )

    assert [one.name for one in every] == ["sandbox", "worker", "beat", "web"]
    for one in every:
        section = parser[f"program:{one.name}"]
        assert section["autorestart"] == "true"
        assert section["autostart"] == "false"
        assert int(section["startretries"]) >= 1000
        log = f"{folder.logs}/{one.name}.log".replace("%", "%%")
        assert section["stdout_logfile"] == log
        assert section["stdout_logfile_backups"] == "3"


def test_processes_stop_before_what_they_need(tmp_path: Path) -> None:
    every = programs.processes(DataDir(tmp_path), with_sandbox=True)
    order = {one.name: one.order for one in every}

    assert order == {"sandbox": 20, "worker": 30, "beat": 40, "web": 50}


def test_no_sandbox_without_need(tmp_path: Path) -> None:
    every = programs.processes(DataDir(tmp_path), with_sandbox=False)

    assert [one.name for one in every] == ["worker", "beat", "web"]


def test_worker_takes_its_size_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_CONCURRENCY", "250")

    (worker, *_rest) = programs.processes(DataDir(tmp_path), with_sandbox=False)

    assert worker.command[-2:] == ["--concurrency", "250"]


def test_the_worker_is_patched_before_kombu_is_imported(tmp_path: Path) -> None:
    """Else it keeps the real `sleep`, and waiting for Redis stops every run."""
    (worker, *_rest) = programs.processes(DataDir(tmp_path), with_sandbox=False)
    door = worker.command.index("gevent.monkey")
    script = "import kombu.utils.functional as f; print(f.sleep.__module__)"

    printed = subprocess.run(
        [*worker.command[: door + 1], "--module", "timeit", "-n1", "-r1", script],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert worker.command[door + 1 : door + 3] == ["--module", "celery"]
    assert printed.splitlines()[0] == "gevent.hub"
