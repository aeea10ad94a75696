"""supervisord as our child: it starts the programs and brings back what dies.

`supervisor` was chosen because it has done this one thing since 2004, is still
released, needs no root, and can be asked what it does: `supervisorctl -c
.local/supervisord.conf`.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from local_stack.data_dir import PROJECT_ROOT, DataDir
from local_stack.leftovers import end_leftover
from local_stack.privileges import own_process
from local_stack.programs import Program

# It waits one second longer after each failed try, and never gives up.
TRIES = 1_000_000
LOG_BYTES, LOG_COPIES = 10 * 1024 * 1024, 3
# A worker holds a socket for each running Dify stream.
OPEN_FILES = 8192
STOP_WAIT_S = 120
# The system allows 107 (104 on macOS); supervisord adds its pid while it starts.
SOCKET_PATH_BYTES = 90


@dataclass(frozen=True)
class State:
    """What supervisord says about one program, e.g. RUNNING with its pid."""

    name: str
    pid: int


class Supervision:
    """One supervisord for one data folder."""

    def __init__(self, folder: DataDir) -> None:
        self._folder = folder
        self._config = folder.root / "supervisord.conf"
        self._pid_file = folder.root / "supervisord.pid"
        self._cleanup = ExitStack()
        self.socket = self._place_for_socket()
        self._process: subprocess.Popen[bytes] | None = None

    def end_leftover(self) -> bool:
        """Stop the supervisord of a start that crashed, with all its programs."""
        return end_leftover(self._pid_file, data=self._folder.root)

    def start(self, programs: Iterable[Program], *, env: Mapping[str, str]) -> None:
        """Start supervisord, and with it the programs that start by themselves."""
        text = configuration(
            programs, folder=self._folder, socket=self.socket, pid_file=self._pid_file
        )
        self._config.write_text(text)
        command = [
            *(sys.executable, "-m", "supervisor.supervisord"),
            *("--configuration", str(self._config)),
        ]
        with (self._folder.logs / "supervisord.out").open("wb") as out:
            self._process = subprocess.Popen(
                own_process(command, when_parent_dies="TERM"),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C and a closing terminal reach us only; we stop it in order.
                start_new_session=True,
                cwd=PROJECT_ROOT,
            )

    def start_program(self, name: str) -> None:
        """Start a program of the configuration; returns at once."""
        with control(self.socket) as server:
            server.supervisor.startProcess(name, False)

    def has_ended(self) -> bool:
        """Whether supervisord is gone though nobody stopped it."""
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """Stop every program in reverse order, then supervisord. Always cleans up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                # The kernel ends its children then, see `own_process`.
                self._process.kill()
                self._process.wait()
        self._pid_file.unlink(missing_ok=True)
        self._cleanup.close()

    def _place_for_socket(self) -> Path:
        """In the data folder, or in a shorter one if that path is too long."""
        place = self._folder.root / "supervisor.sock"
        if len(os.fsencode(place)) <= SOCKET_PATH_BYTES:
            return place
        folder = self._cleanup.enter_context(TemporaryDirectory(prefix="bridge-"))
        return Path(folder) / place.name


def control(socket: Path) -> xmlrpc.client.ServerProxy:
    """supervisord's own XML-RPC interface; to be used as a context manager."""
    transport = SupervisorTransport(None, None, f"unix://{socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)


def states(socket: Path) -> dict[str, State]:
    """What each program is doing, by its name."""
    with control(socket) as server:
        rows = server.supervisor.getAllProcessInfo()
    return {
        row["name"]: State(name=row["statename"], pid=row["pid"])
        for row in cast("list[dict[str, Any]]", rows)
    }


def configuration(
    programs: Iterable[Program], *, folder: DataDir, socket: Path, pid_file: Path
) -> str:
    """The text of supervisord.conf. Secrets travel in the environment, not here."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lines = [
        "[supervisord]",
        "nodaemon = true",
        "silent = true",
        f"logfile = {_escaped(str(folder.logs / 'supervisord.log'))}",
        f"logfile_maxbytes = {LOG_BYTES}",
        f"logfile_backups = {LOG_COPIES}",
        f"pidfile = {_escaped(str(pid_file))}",
        f"minfds = {OPEN_FILES if hard < 0 else min(OPEN_FILES, hard)}",
        *(["user = root"] if os.geteuid() == 0 else []),
        "",
        "[unix_http_server]",
        f"file = {_escaped(str(socket))}",
        "chmod = 0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = "
        "supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        f"serverurl = unix://{_escaped(str(socket))}",
    ]
    for program in programs:
        lines += ["", *_section(program, folder=folder)]
    return "\n".join([*lines, ""])


def _section(program: Program, *, folder: DataDir) -> list[str]:
    log = folder.logs / f"{program.name}.log"
    return [
        f"[program:{program.name}]",
        f"command = {_escaped(shlex.join(program.command))}",
        f"directory = {_escaped(str(PROJECT_ROOT))}",
        f"priority = {program.order}",
        f"autostart = {'true' if program.starts_by_itself else 'false'}",
        "autorestart = true",
        "startsecs = 1",
        f"startretries = {TRIES}",
        f"stopsignal = {program.stop_signal}",
        f"stopwaitsecs = {program.stop_wait_s}",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_escaped(str(log))}",
        f"stdout_logfile_maxbytes = {LOG_BYTES}",
        f"stdout_logfile_backups = {LOG_COPIES}",
    ]


def _escaped(value: str) -> str:
    return value.replace("%", "%%")
