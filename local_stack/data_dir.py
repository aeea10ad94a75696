"""The folder that holds the data of one local copy: who uses it, ports, secrets."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.errors import LocalStackError

PROJECT_ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"

# Below the range from which Linux takes ports for outgoing connections, so that a
# remembered port is not lost to somebody's HTTP request between two starts.
FIRST_PORT, LAST_PORT = 20_000, 32_000


def local_dir() -> Path:
    """The absolute folder of this copy: ${LOCAL_DIR:-.local}, from the project root."""
    return PROJECT_ROOT / Path(os.environ.get("LOCAL_DIR") or ".local").expanduser()


class DataDir:
    """One folder with servers' data, remembered ports and generated secrets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"

    def prepare(self) -> None:
        """Make the folder and its `logs`. Raises `LocalStackError` if that fails."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            probe = self.root / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as err:
            raise LocalStackError(
                f"The data folder {self.root} cannot be written ({err.strerror}). "
                "Nothing was started. Give another one with LOCAL_DIR=..., or make "
                "this one writable for your user."
            ) from err

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """True while this process alone uses the folder, False if another one does.

        The kernel drops the lock when its holder dies, however that happens.
        """
        with (self.root / "lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            handle.seek(0)
            handle.truncate()
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            yield True

    def lock_holder(self) -> str:
        """The pid that the user of the folder has written down, "?" if unknown."""
        try:
            return (self.root / "lock").read_text().strip() or "?"
        except OSError:
            return "?"

    def secret(self, name: str, *, make: Callable[[], str] | None = None) -> str:
        """The secret of that name, made once and kept in a file only we can read."""
        path = self.root / "secrets.json"
        known = _read_json(path)
        if name not in known:
            known[name] = (make or _token)()
            _write_private(path, json.dumps(known, indent=2) + "\n")
        return known[name]

    def port(self, name: str) -> int:
        """A free TCP port for that server, the same as last time if it is free."""
        path = self.root / "ports.json"
        known = _read_json(path)
        if name not in known or not port_is_free(int(known[name])):
            known[name] = str(free_port())
            _write_private(path, json.dumps(known) + "\n")
        return int(known[name])

    def last_port(self, name: str) -> int:
        """The port that the running server of that name was started with."""
        return int(_read_json(self.root / "ports.json")[name])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on that port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on, by chance so that parallel copies do not meet."""
    for _ in range(200):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if port_is_free(port):
            return port
    raise LocalStackError(
        f"No free TCP port between {FIRST_PORT} and {LAST_PORT} on {HOST}. "
        "Stop what occupies them, or set DATABASE_URL and REDIS_URL to servers "
        "that are running already."
    )


def _token() -> str:
    return secrets.token_urlsafe(24)


def _read_json(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _write_private(path: Path, text: str) -> None:
    """Replace the file at once, readable for its owner only."""
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT, 0o600), "w") as handle:
        handle.write(text)
    staged.replace(path)
