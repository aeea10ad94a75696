"""What a worker process does besides its tasks: it sweeps, and ends in good order."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import worker_init, worker_shutting_down

from conversations.leases import keeper
from conversations.sweeper import Sweeper

logger = logging.getLogger(__name__)

# What is nearly done may end by itself; what is not is handed back. Docker and
# supervisord give a process ten seconds.
GRACE_S = 4.0

_sweeper = Sweeper()
_told_to_end = threading.Event()


@worker_init.connect
def begin(**_: Any) -> None:
    """Sweep from the start on, also when Redis is not there yet."""
    _sweeper.start()
    threading.Thread(target=_hand_back_when_told, daemon=True).start()


@worker_shutting_down.connect
def end(**_: Any) -> None:
    """End within ten seconds; other workers go on with what is not done by then.

    Called in the middle of a signal, where nothing may wait, not even for a thread.
    """
    _told_to_end.set()


def _hand_back_when_told() -> None:
    _told_to_end.wait()
    _sweeper.stop()
    pause = threading.Event()
    for _ in range(round(GRACE_S * 10)):
        if not keeper.count:
            break
        pause.wait(0.1)
    if keeper.count:
        logger.info("%s runs are handed back to other workers", keeper.count)
    keeper.shut_down()
