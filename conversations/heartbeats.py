"""Signs of life of workers and beat: written by each worker, read by the admin."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from bridge_project.lib.database import release_connection
from bridge_project.lib.types import JsonObject
from conversations.models import Heartbeat

logger = logging.getLogger(__name__)

EVERY_S = 15.0
# Three may be lost, as while the database is away for a moment.
WORKER_LIVES_FOR = timedelta(seconds=60)
# Beat sends a task each 30 s, and it comes late if the workers are busy.
BEAT_LIVES_FOR = timedelta(seconds=120)
FORGOTTEN_AFTER = timedelta(days=1)
BEAT_NAME = "beat"


def workers(now: datetime) -> list[Heartbeat]:
    """Return the workers that are alive, the oldest first."""
    rows = Heartbeat.objects.filter(
        kind=Heartbeat.Kind.WORKER, beat_at__gt=now - WORKER_LIVES_FOR
    )
    return list(rows.order_by("started_at", "name"))


def beat(now: datetime) -> Heartbeat | None:
    """Return beat if it is alive: its tasks come through Redis and are done."""
    last = last_beat()
    return last if last and last.beat_at > now - BEAT_LIVES_FOR else None


def last_beat() -> Heartbeat | None:
    """Return what was last heard of beat, however long ago."""
    rows = Heartbeat.objects.filter(kind=Heartbeat.Kind.BEAT)
    return rows.order_by("-beat_at").first()


def alive(now: datetime) -> list[Heartbeat]:
    """Return everything that is alive: workers, then beat."""
    found = beat(now)
    return [*workers(now), *([found] if found else [])]


def note_worker(
    name: str, *, started_at: datetime, now: datetime, details: JsonObject
) -> None:
    """Note that a worker lives, and forget those of which nothing was heard for a day.

    A container that was started anew has the name of its predecessor, and replaces it.
    """
    _note(Heartbeat.Kind.WORKER, name, started_at=started_at, now=now, details=details)
    Heartbeat.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER).delete()


def note_beat(*, now: datetime, by: str) -> None:
    """Note that a task of beat has arrived at a worker; called by that task."""
    known = beat(now)
    started_at = known.started_at if known else now
    details: JsonObject = {"worker": by}
    _note(
        Heartbeat.Kind.BEAT, BEAT_NAME, started_at=started_at, now=now, details=details
    )


def forget_worker(name: str) -> None:
    """Forget a worker that has ended in good order."""
    Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER, name=name).delete()


def own_name() -> str:
    """Return what this process is called: its host and number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _note(
    kind: Heartbeat.Kind,
    name: str,
    *,
    started_at: datetime,
    now: datetime,
    details: JsonObject,
) -> None:
    Heartbeat.objects.bulk_create(
        [
            Heartbeat(
                kind=kind,
                name=name,
                started_at=started_at,
                beat_at=now,
                details=details,
            )
        ],
        update_conflicts=True,
        unique_fields=["kind", "name"],
        update_fields=["started_at", "beat_at", "details"],
    )


class Pulse:
    """One thread that notes every few seconds that this worker lives."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._name = own_name()
        self._started_at = timezone.now()
        self._details: Callable[[], JsonObject] = dict
        self._stopped = threading.Event()
        # Who notes and who forgets must not meet: a dead one would look alive.
        self._lock = threading.Lock()

    def start(self, details: Callable[[], JsonObject]) -> None:
        """Begin at once; `details` are asked anew each time."""
        self._details = details
        self._started_at = timezone.now()
        threading.Thread(target=self._beat_until_stopped, daemon=True).start()

    def stop(self) -> None:
        """Forget this process; quietly, if the database is away: it will be dead."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._quietly(lambda: forget_worker(self._name))

    def _beat_until_stopped(self) -> None:
        while True:
            with self._lock:
                if self._stopped.is_set():
                    return
                self._quietly(self._note)
            self._stopped.wait(self._every_s)

    def _note(self) -> None:
        note_worker(
            self._name,
            started_at=self._started_at,
            now=timezone.now(),
            details=self._details(),
        )

    def _quietly(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as err:  # the thread must outlive every fault
            logger.warning("The sign of life could not be written: %s", err)
        finally:
            release_connection()
