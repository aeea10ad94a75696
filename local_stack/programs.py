"""Which processes make up the bridge, and how each is run and stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from local_stack.data_dir import DataDir
from local_stack.privileges import own_process
from local_stack.servers import Server

# Quiet: no banner.
CELERY = ["celery", "--quiet", "--app", "bridge_project"]
# By gevent's own door: patched by Celery, kombu would keep the real `time.sleep` and
# stop all runs of the worker while it waits for a Redis that is away. And without the
# warning that root reads each time.
WORKER = [
    *("-W", "ignore:You're running the worker"),
    *("-m", "gevent.monkey", "--module", *CELERY, "worker", "--pool", "gevent"),
]


@dataclass(frozen=True)
class Program:
    """One supervised process. Lower `order` starts earlier and stops later."""

    name: str
    command: list[str]
    order: int
    starts_by_itself: bool = False
    stop_signal: str = "TERM"
    stop_wait_s: int = 10


def servers(started: Iterable[Server]) -> list[Program]:
    """PostgreSQL and Redis, as far as we start them."""
    return [
        Program(
            name=server.name,
            command=server.command(),
            order=10,
            starts_by_itself=True,
            # PostgreSQL's fast shutdown; Redis stops at it as well.
            stop_signal="INT",
            stop_wait_s=30,
        )
        for server in started
    ]


def processes(folder: DataDir, *, with_sandbox: bool) -> list[Program]:
    """What is started when the database is ready, in this order."""
    concurrency = os.environ.get("WORKER_CONCURRENCY") or "1000"
    level = os.environ.get("LOG_LEVEL") or "INFO"
    worker = [*WORKER, "--loglevel", level, "--concurrency", concurrency]
    schedule = str(folder.root / "celerybeat-schedule")
    beat = ["beat", "--pidfile=", "--schedule", schedule]
    web = ["-m", "gunicorn", "--config", "gunicorn.conf.py", "bridge_project.wsgi"]
    sandbox = [_python_program("sandbox", ["-m", "sandbox"], order=20)]
    return [
        *(sandbox if with_sandbox else []),
        _python_program("worker", worker, order=30),
        _python_program("beat", ["-m", *CELERY, *beat], order=40),
        _python_program("web", web, order=50),
    ]


def _python_program(name: str, arguments: list[str], *, order: int) -> Program:
    command = own_process([sys.executable, *arguments], when_parent_dies="TERM")
    return Program(name=name, command=command, order=order)
