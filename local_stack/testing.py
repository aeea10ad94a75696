"""For end-to-end tests: the whole stack as `make run` starts it, beside others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack.data_dir import PROJECT_ROOT, free_port
from local_stack.privileges import own_process
from local_stack.run import RUN_FILE
from local_stack.supervision import states

START_PATIENCE_S = 120
STOP_PATIENCE_S = 60

# Set by the test session, or by the developer's `.env` for real servers. Empty, they
# count as not given, and `.env` is not asked.
NOT_PASSED_ON = (
    "DATABASE_URL",
    "REDIS_URL",
    "PUBLIC_URL",
    "WEB_BIND",
    "CHATWOOT_API_URL",
    "CHATWOOT_BASE_URL",
    "DIFY_API_URL",
    "BOOTSTRAP",
)


@dataclass(frozen=True)
class RunningStack:
    """Where everything is. `output` is what `make run` would show on the terminal."""

    web: str
    sandbox: str
    username: str
    password: str
    database_url: str
    redis_url: str
    local_dir: Path
    process: subprocess.Popen[bytes]
    supervisor: Path

    @property
    def logs(self) -> Path:
        """The folder with one log file for each process, e.g. worker.log."""
        return self.local_dir / "logs"

    @property
    def output(self) -> str:
        return _output(self.local_dir)

    def shell(self, code: str) -> str:
        """Run a line in its Django shell and return what that prints."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "local_stack", "exec", "--", "python"),
                *("manage.py", "shell", "--no-imports", "--command", code),
            ],
            cwd=PROJECT_ROOT,
            env={
                **os.environ,
                "DATABASE_URL": "",
                "REDIS_URL": "",
                "LOCAL_DIR": str(self.local_dir),
            },
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout.strip()

    def pids(self) -> dict[str, int]:
        """The pid of each running process: web, worker, beat, sandbox, ..."""
        return {
            name: state.pid
            for name, state in states(self.supervisor).items()
            if state.name == "RUNNING"
        }

    def kill(self, name: str) -> int:
        """`kill -9` that process, wait until another one runs; returns its new pid."""
        former = self.pids()[name]
        os.kill(former, signal.SIGKILL)
        wait_until(
            lambda: self.pids().get(name, former) != former,
            patience_s=30,
            what=f"{name} to come back",
        )
        return self.pids()[name]


@contextmanager
def running_stack(
    local_dir: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """Everything running, until the block ends; then Ctrl-C and exit code 0.

    `env` is added to the environment of `make run`. A second stack on the same folder
    continues with its data. Raises `RuntimeError` with the terminal's output if it
    does not start, or does not stop cleanly.
    """
    local_dir.mkdir(parents=True, exist_ok=True)
    with (local_dir / "terminal.log").open("wb") as output:
        process = subprocess.Popen(
            own_process(
                [sys.executable, "-m", "local_stack", "run"], when_parent_dies="TERM"
            ),
            cwd=PROJECT_ROOT,
            env=_environment(local_dir) | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _started(process, local_dir)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=STOP_PATIENCE_S)
    if code != 0:
        raise RuntimeError(f"`make run` ended with {code}:\n{_output(local_dir)}")


def wait_until(is_so: Callable[[], bool], *, patience_s: float, what: str) -> None:
    """Return as soon as `is_so()` is true. Raises `TimeoutError` that names `what`."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:.0f} s in vain for {what}")
        time.sleep(0.1)


def _environment(local_dir: Path) -> dict[str, str]:
    return {
        **os.environ,
        **dict.fromkeys(NOT_PASSED_ON, ""),
        "LOCAL_DIR": str(local_dir),
        "WEB_PORT": str(free_port()),
        "SANDBOX_PORT": str(free_port()),
    }


def _started(process: subprocess.Popen[bytes], local_dir: Path) -> RunningStack:
    run_file = local_dir / RUN_FILE

    def is_ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"`make run` ended at once:\n{_output(local_dir)}")
        return run_file.exists()

    wait_until(is_ready, patience_s=START_PATIENCE_S, what="the stack to start")
    facts = json.loads(run_file.read_text())
    return RunningStack(
        web=facts["web"],
        sandbox=facts["sandbox"],
        username=facts["admin"]["username"],
        password=facts["admin"]["password"],
        database_url=facts["DATABASE_URL"],
        redis_url=facts["REDIS_URL"],
        local_dir=local_dir,
        process=process,
        supervisor=Path(facts["supervisor"]),
    )


def _output(local_dir: Path) -> str:
    return (local_dir / "terminal.log").read_text(errors="replace")
