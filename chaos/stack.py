"""The running stack, and every way in which it is broken."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis
import requests

from local_stack.data_dir import PROJECT_ROOT
from local_stack.privileges import own_process
from local_stack.supervision import control
from local_stack.testing import RunningStack, wait_until

STOP_PATIENCE_S = 20


class Stack:
    """What `make run` starts; its processes are ended and brought back at will."""

    def __init__(self, running: RunningStack) -> None:
        self._running = running
        self.web = running.web
        self.sandbox_url = running.sandbox
        self.database_url = running.database_url
        self.logs = running.logs

    def is_up(self, name: str) -> bool:
        """Whether that process has been running for a second at least."""
        return name in self._running.pids()

    def answers(self, web: str) -> bool:
        """Whether that web process takes requests."""
        try:
            return requests.get(f"{web}/api/v1/health", timeout=5).ok
        except requests.RequestException:
            return False

    def send(self, name: str, number: signal.Signals) -> bool:
        """Send a process a signal; False if it is just being started again."""
        pid = self._running.pids().get(name)
        if pid is None:
            return False
        os.kill(pid, number)
        return True

    def kill(self, name: str) -> None:
        """`kill -9`; supervisord brings it back. Waits for one to kill, if need be."""
        wait_until(
            lambda: self.send(name, signal.SIGKILL),
            patience_s=30,
            what=f"a {name} that can be killed",
        )

    def crash_postgres(self) -> None:
        """Restart PostgreSQL as `pg_ctl restart -m immediate` does: all cut off."""
        wait_until(
            lambda: self.send("postgres", signal.SIGQUIT),
            patience_s=30,
            what="a postgres that can be crashed",
        )

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Keep a server down for the time of the block."""
        with control(self._running.supervisor) as server:
            server.supervisor.stopProcess(name, True)
        try:
            yield
        finally:
            with control(self._running.supervisor) as server:
                server.supervisor.startProcess(name, False)

    def flush_redis(self) -> None:
        """Empty Redis: every queued task is gone."""
        with redis.Redis.from_url(self._running.redis_url, socket_timeout=5) as client:
            client.flushall()

    @contextmanager
    def second(self, name: str) -> Iterator[Second]:
        """Run one more worker or web process beside the supervised one."""
        wait_until(lambda: self.is_up(name), patience_s=30, what=f"a running {name}")
        process = Path("/proc") / str(self._running.pids()[name])
        words = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
        env = dict(
            line.split("=", 1)
            for line in (process / "environ").read_bytes().decode().split("\0")[:-1]
        )
        port = free_port()
        if name == "worker":
            words += ["--hostname", "second@%h"]
        second = Second(
            words, env=env | {"WEB_PORT": str(port)}, log=self.logs / f"{name}2.log"
        )
        second.url = f"http://127.0.0.1:{port}"
        try:
            second.start()
            yield second
        finally:
            second.end()


class Second:
    """A process of our own with the command and environment of a supervised one."""

    url = ""

    def __init__(
        self, command: list[str], *, env: Mapping[str, str], log: Path
    ) -> None:
        self._command = own_process(command, when_parent_dies="TERM")
        self._env = dict(env)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nothing waits until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT_ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self) -> None:
        """SIGTERM, as an update does; SIGKILL if that is not enough."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=STOP_PATIENCE_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
