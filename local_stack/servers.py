"""PostgreSQL and Redis for those who need them without `make run`: tests, commands.

Tests get them through `local_stack.pytest_plugin`, which `pytest.ini` names. It calls
`ensure_for_tests()` before Django's settings are loaded and stops the servers when the
session ends; a `conftest.py` needs to do nothing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local_stack.data_dir import DataDir, local_dir
from local_stack.errors import LocalStackError, NotReady
from local_stack.postgres import Postgres
from local_stack.redis_server import Redis

PATIENCE_S = 30

Server = Postgres | Redis

_for_tests = ExitStack()
_test_urls: dict[str, str] = {}


def wanted(folder: DataDir, *, durable: bool) -> dict[str, Server]:
    """The servers that we must start, by the variable that would give another one."""
    every: dict[str, Server] = {
        "DATABASE_URL": Postgres(folder, durable=durable),
        "REDIS_URL": Redis(folder, durable=durable),
    }
    return {name: one for name, one in every.items() if not os.environ.get(name)}


def given() -> dict[str, str]:
    """The addresses of servers that the environment names and we do not start."""
    names = ("DATABASE_URL", "REDIS_URL")
    return {name: url for name in names if (url := os.environ.get(name))}


@contextmanager
def running(
    folder: DataDir, *, durable: bool, say: Callable[[str], None]
) -> Iterator[dict[str, str]]:
    """DATABASE_URL and REDIS_URL of servers that live as long as the block.

    The caller holds the lock of the folder. Raises `LocalStackError`.
    """
    urls = given()
    with ExitStack() as stack:
        for name, server in wanted(folder, durable=durable).items():
            server.prepare(say=say)
            child = _Child(server, folder)
            stack.callback(child.stop)
            wait_until_ready(server, folder=folder, meanwhile=child.keep_alive)
            urls[name] = server.url()
        yield urls


def wait_until_ready(
    server: Server, *, folder: DataDir, meanwhile: Callable[[], None]
) -> None:
    """Return when the server answers. Raises `LocalStackError` when it never does.

    `meanwhile` is called between two tries.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return server.make_ready()
        except NotReady as err:
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"The {server.name} server did not answer within {PATIENCE_S} s: "
                    f"{err}\nWhat it says itself: {folder.logs}/{server.name}.log"
                ) from err
        meanwhile()
        time.sleep(0.05)


def ensure_for_tests() -> dict[str, str]:
    """Start the servers for a test session; returns DATABASE_URL and REDIS_URL.

    To be called before Django's settings are loaded, as often as you like. Servers
    that the environment names are used as they are. Own ones keep their data folder
    in LOCAL_DIR/tests (fast, not durable), on free ports; a second session of the same
    copy that runs at the same time gets a folder of its own, which is thrown away.
    They end with `stop_for_tests()`, at the latest with this process.
    """
    if not _test_urls:
        atexit.register(stop_for_tests)
        folder = _folder_for_tests()
        _test_urls.update(
            _for_tests.enter_context(
                running(folder, durable=False, say=lambda _line: None)
            )
        )
    return dict(_test_urls)


def stop_for_tests() -> None:
    """Stop what `ensure_for_tests` started. Harmless when there is nothing."""
    _test_urls.clear()
    _for_tests.close()


def _folder_for_tests() -> DataDir:
    folder = DataDir(local_dir() / "tests")
    folder.prepare()
    if _for_tests.enter_context(folder.lock()):
        return folder
    path = Path(tempfile.mkdtemp(prefix="bridge-tests-"))
    _for_tests.callback(shutil.rmtree, path, ignore_errors=True)
    folder = DataDir(path)
    folder.prepare()
    return folder


class _Child:
    """A server as a child of ours, out of reach of the terminal's Ctrl-C."""

    def __init__(self, server: Server, folder: DataDir) -> None:
        self._server = server
        self._log = folder.logs / f"{server.name}.log"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._server.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )

    def keep_alive(self) -> None:
        """Start it again if it ended at once, on another port if that was taken."""
        if self._process.poll() is not None:
            self._process = self._start()

    def stop(self) -> None:
        # PostgreSQL's fast shutdown; Redis stops at it as well.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
