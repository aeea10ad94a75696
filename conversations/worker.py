"""What a worker process does besides its tasks: it sweeps, and ends in good order."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from bridge_project.lib.http import USER_AGENT
from bridge_project.lib.types import JsonObject
from conversations.heartbeats import Pulse
from conversations.jobs.engine import keeper as job_keeper
from conversations.leases import keeper
from conversations.sweeper import Sweeper

logger = logging.getLogger(__name__)

# What is nearly done may end by itself; what is not is handed back. Docker and
# supervisord give a process ten seconds.
GRACE_S = 4.0

_sweeper = Sweeper()
_pulse = Pulse()
_told_to_end = threading.Event()


@worker_init.connect
def begin(sender: Any, **_: Any) -> None:
    """Sweep from the start on, also when Redis is not there yet."""
    _sweeper.start()
    _pulse.start(lambda: describe(sender))
    threading.Thread(target=_hand_back_when_told, daemon=True).start()


@worker_shutting_down.connect
def end(**_: Any) -> None:
    """End within ten seconds; other workers go on with what is not done by then.

    Called in the middle of a signal, where nothing may wait, not even for a thread.
    """
    _told_to_end.set()


@worker_shutdown.connect
def be_forgotten(**_: Any) -> None:
    """Leave no sign of life; it may have been left before the tasks had ended."""
    _pulse.stop()


def describe(worker: Any) -> JsonObject:
    """Tell what a person wants to know about this process; `worker` is Celery's."""
    pool = worker.pool_cls  # a name, until Celery has imported it
    return {
        "node": str(worker.hostname),
        "version": USER_AGENT.partition("/")[2],
        "pool": pool if isinstance(pool, str) else pool.__module__.rpartition(".")[2],
        "concurrency": int(worker.concurrency),
        "turns": keeper.count,
        "jobs": job_keeper.count,
    }


def _hand_back_when_told() -> None:
    _told_to_end.wait()
    _sweeper.stop()
    # A job ends here after the item that is being done, which may take all the time.
    job_keeper.shut_down()
    _pulse.stop()
    pause = threading.Event()
    for _ in range(round(GRACE_S * 10)):
        if not keeper.count:
            break
        pause.wait(0.1)
    if keeper.count:
        logger.info("%s runs are handed back to other workers", keeper.count)
    keeper.shut_down()
