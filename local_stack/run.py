"""`make run`: start everything, watch over it, stop everything."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from local_stack import environment, programs, servers, steps
from local_stack.data_dir import DataDir, local_dir, port_is_free
from local_stack.environment import Addresses
from local_stack.errors import LocalStackError
from local_stack.programs import Program
from local_stack.servers import Server
from local_stack.steps import AdminLogin
from local_stack.supervision import Supervision, states
from local_stack.terminal import LogFollower, is_gone, say, step, tail

START_PATIENCE_S = 90
SLOW_AFTER_S = 10
# What a test or a script reads to find the running stack.
RUN_FILE = "run.json"


class Stop(Exception):
    """Somebody asked us to stop: Ctrl-C, `kill`, or the terminal was closed."""


def run() -> int:
    """Run until somebody stops it; the exit code is 0 then, and 1 if it cannot start.

    Whatever happens, nothing that was started is left running.
    """
    signals = _Signals()
    try:
        environment.read_env_file()
        folder = DataDir(local_dir())
        folder.prepare()
        with folder.lock() as is_ours:
            if not is_ours:
                raise LocalStackError(
                    f"The bridge is running already with the data in {folder.root} "
                    f"(process {folder.lock_holder()}). Stop it there with Ctrl-C, or "
                    "start a second copy beside it: "
                    "make run LOCAL_DIR=.local2 WEB_PORT=8001 SANDBOX_PORT=8011"
                )
            _Stack(folder, signals=signals).run()
    except Stop:
        say("Everything has been stopped. The data is kept.")
        return 0
    except LocalStackError as err:
        say(f"\nmake run: {err}")
        return 1


class _Stack:
    """Everything that runs, from the first server to the last log line."""

    def __init__(self, folder: DataDir, *, signals: _Signals) -> None:
        self._signals = signals
        self._folder = folder
        self._places = environment.addresses()
        self._with_sandbox = environment.needs_sandbox()
        self._supervision = Supervision(folder)
        self._setup_log = folder.logs / "setup.log"

    def run(self) -> NoReturn:
        """Start, report, watch. Ends by `Stop` or `LocalStackError`, all stopped."""
        started = servers.wanted(self._folder, durable=True)
        self._make_room(started.values())
        every = programs.servers(started.values()) + programs.processes(
            self._folder, with_sandbox=self._with_sandbox
        )
        urls = servers.given() | {name: one.url() for name, one in started.items()}
        env = environment.for_processes(self._folder, urls=urls, places=self._places)
        follower = LogFollower([one.name for one in every], logs=self._folder.logs)
        with ExitStack() as stack:
            stack.callback(follower.stop)
            stack.callback(self._stop)
            follower.start()
            self._start(every, env=env)
            for server in started.values():
                servers.wait_until_ready(
                    server, folder=self._folder, meanwhile=self.watch
                )
            login = self._set_up(env)
            self._start_rest(every)
            self._report(login, urls=urls)
            while True:
                self.watch()
                time.sleep(0.5)

    def _make_room(self, started: Iterable[Server]) -> None:
        (self._folder.root / RUN_FILE).unlink(missing_ok=True)
        if self._supervision.end_leftover():
            step("Stopped processes that an earlier start left behind")
        self._refuse_occupied_ports()
        for server in started:
            server.prepare(say=step)

    def _start(self, every: list[Program], *, env: dict[str, str]) -> None:
        names = [one.name for one in every if one.starts_by_itself]
        step(f"Starting {' and '.join(names)}" if names else "Using the given servers")
        self._supervision.start(every, env=env)

    def _start_rest(self, every: list[Program]) -> None:
        names = [one.name for one in every if not one.starts_by_itself]
        step(f"Starting {', '.join(names)}")
        for name in names:
            self._supervision.start_program(name)
        _wait_for(f"{self._places.web}/api/v1/health", name="web", stack=self)
        if self._with_sandbox:
            _wait_for(f"{self._places.sandbox}/", name="sandbox", stack=self)

    def _set_up(self, env: dict[str, str]) -> AdminLogin:
        log = self._setup_log
        step("Bringing the database up to date")
        steps.manage("migrate", "--noinput", env=env, log=log)
        if environment.makes_first_bot():
            step("Making the first account, Dify app and bot, if they are missing")
            steps.manage("bootstrap", env=env, log=log)
        step("Looking for risky settings")
        steps.manage("check", "--database", "default", env=env, log=log)
        login = steps.ensure_superuser(self._folder, env=env, log=log)
        step("Collecting the admin's style sheets and scripts")
        steps.manage("collectstatic", "--noinput", "--verbosity=0", env=env, log=log)
        return login

    def _refuse_occupied_ports(self) -> None:
        wanted = {"WEB_PORT": self._places.web_port}
        if self._with_sandbox:
            wanted["SANDBOX_PORT"] = self._places.sandbox_port
        for name, port in wanted.items():
            if not port_is_free(port):
                raise LocalStackError(
                    f"Port {port} is in use by another program, so nothing was "
                    "started. Stop that program, or choose another port: "
                    f"make run {name}={port + 1}"
                )

    def watch(self) -> None:
        """Raises `LocalStackError` if supervisord itself was killed.

        And `Stop` if the terminal was closed and nobody passed SIGHUP on to us, as it
        happens when `make` itself leads the session.
        """
        if is_gone():
            raise Stop
        if self._supervision.has_ended():
            raise LocalStackError(
                "The supervisor ended unexpectedly, and with it all processes. The "
                "data is kept; start again with `make run`. What it said last is in "
                f"{self._folder.logs}/supervisord.log and supervisord.out."
            )

    def failure(self, name: str) -> LocalStackError:
        """That program does not answer: its state and its last lines."""
        log = self._folder.logs / f"{name}.log"
        state = states(self._supervision.socket)[name]
        return LocalStackError(
            f"{name} did not answer within {START_PATIENCE_S} s (it is {state.name}), "
            f"so everything was stopped. Its last lines, more are in {log}:\n"
            f"{tail(log, lines=30)}"
        )

    def _stop(self) -> None:
        self._signals.stop_asking()
        (self._folder.root / RUN_FILE).unlink(missing_ok=True)
        step("Stopping everything, last started first")
        self._supervision.stop()

    def _report(self, login: AdminLogin, *, urls: dict[str, str]) -> None:
        facts = {
            "web": self._places.web,
            "sandbox": self._places.sandbox if self._with_sandbox else None,
            "admin": {"username": login.username, "password": login.password},
            "supervisor": str(self._supervision.socket),
            **urls,
        }
        path = self._folder.root / RUN_FILE
        staged = path.with_suffix(".new")
        staged.touch(mode=0o600)
        staged.write_text(json.dumps(facts, indent=2) + "\n")
        staged.replace(path)
        say(
            summary(
                self._places,
                login,
                folder=self._folder,
                with_sandbox=self._with_sandbox,
            )
        )


def summary(
    places: Addresses, login: AdminLogin, *, folder: DataDir, with_sandbox: bool
) -> str:
    """The block of addresses at the end of the start."""
    password = login.password or "(the one that was set in the admin)"
    public_url = (os.environ.get("PUBLIC_URL") or places.web).rstrip("/")
    supervisorctl = Path(sys.executable).with_name("supervisorctl")
    rows = [
        *([("Chat page", f"{places.sandbox}/")] if with_sandbox else []),
        ("Admin", f"{places.web}/admin/"),
        ("  user", login.username),
        ("  password", password),
        ("Webhook URL", f"{public_url}/api/v1/chatwoot-webhook"),
        ("Health", f"{places.web}/api/v1/health"),
        ("Log files", f"{folder.logs}/"),
        ("Processes", f"{supervisorctl} -c {folder.root}/supervisord.conf"),
    ]
    line = "-" * 72
    body = "\n".join(f"  {name:<12} {value}" for name, value in rows)
    return f"\n{line}\n  The bridge is running. Ctrl-C stops it.\n\n{body}\n{line}\n"


def _wait_for(url: str, *, name: str, stack: _Stack) -> None:
    """Return when that address answers 2xx. Raises `LocalStackError` if it does not."""
    start = time.monotonic()
    said_so = False
    while not _answers(url):
        stack.watch()
        waited_s = time.monotonic() - start
        if waited_s > START_PATIENCE_S:
            raise stack.failure(name)
        if waited_s > SLOW_AFTER_S and not said_so:
            said_so = True
            step(f"Still waiting for {name} at {url}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


class _Signals:
    """Ctrl-C, `kill` and a closed terminal raise `Stop`, once; later ones only tell."""

    def __init__(self) -> None:
        self._is_stopping = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def stop_asking(self) -> None:
        """From now on a signal interrupts nothing: we are cleaning up."""
        self._is_stopping = True

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_stopping:
            # Not `say`: the interrupted code may hold its lock.
            with suppress(OSError):
                os.write(1, b"==> Still stopping, a moment please\n")
            return
        self._is_stopping = True
        raise Stop
