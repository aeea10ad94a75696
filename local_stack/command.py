"""Runs one command with the database and Redis of this copy, running or not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local_stack import environment, servers
from local_stack.data_dir import PROJECT_ROOT, DataDir, local_dir
from local_stack.errors import LocalStackError
from local_stack.terminal import step


def run_command(command: list[str]) -> int:
    """Run it and return its exit code.

    While `make run` is running its servers are used, else they are started for the
    time of the command. `python` is the Python that runs us.
    """
    if command[0] == "python":
        command = [sys.executable, *command[1:]]
    try:
        environment.read_env_file()
        folder = DataDir(local_dir())
        folder.prepare()
        with _urls(folder) as urls:
            env = environment.for_processes(
                folder, urls=urls, places=environment.addresses()
            )
            # Ctrl-C is for the command; we wait for it and then stop the servers.
            signal.signal(signal.SIGINT, lambda _signal, _frame: None)
            return subprocess.call(command, cwd=PROJECT_ROOT, env=env)
    except LocalStackError as err:
        sys.stderr.write(f"{err}\n")
        return 1


@contextmanager
def _urls(folder: DataDir) -> Iterator[dict[str, str]]:
    with folder.lock() as is_ours:
        if is_ours:
            with servers.running(folder, durable=True, say=step) as urls:
                yield urls
            return
        urls = servers.given()
        for name, server in servers.wanted(folder, durable=True).items():
            servers.wait_until_ready(server, folder=folder, meanwhile=lambda: None)
            urls[name] = server.url()
        yield urls
