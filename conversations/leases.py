"""Keep this process's running turns from being taken for abandoned, and watch them.

One thread renews all leases with one statement, and asks with another whose run is no
longer wanted: five hundred streams that each asked for themselves would keep the
database busy with nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Protocol
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.database import release_connection
from conversations.models import Turn
from conversations.outcomes import LEASE_LOST, SHUTDOWN, Interrupted

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 1.0
RENEW_EVERY = 5  # times WATCH_EVERY_S
# A run that does not end this long after it was told to hangs: others may have it.
HANGS_AFTER_S = 90.0


class Watch:
    """Tells one run whether it is still wanted."""

    def __init__(self) -> None:
        self.cause = ""
        self._since = 0.0

    def interrupt(self, cause: str) -> None:
        """Tell the run to end; the first cause counts."""
        if cause and not self.cause:
            self.cause, self._since = cause, monotonic()

    def hangs(self) -> bool:
        """Tell whether the run does not hear."""
        return bool(self.cause) and monotonic() - self._since > HANGS_AFTER_S

    def is_interrupted(self) -> bool:
        return bool(self.cause)

    def check(self) -> None:
        """Raise Interrupted when the run is to be given up."""
        if self.cause:
            raise Interrupted(self.cause)


class Leases(Protocol):
    """The rows of one table that processes hold leases of."""

    def renew(self, leases: Iterable[UUID], *, now: datetime) -> int:
        """Prolong them; return how many still hold."""

    def interrupts(self, leases: Iterable[UUID]) -> dict[UUID, str]:
        """Return why each is to be given up, "" if it is not; lost ones are missing."""


class _TurnLeases:
    def renew(self, leases: Iterable[UUID], *, now: datetime) -> int:
        return Turn.objects.renew(leases, now=now)

    def interrupts(self, leases: Iterable[UUID]) -> dict[UUID, str]:
        rows = Turn.objects.filter(status=Turn.Status.RUNNING, lease__in=leases)
        found = rows.values_list("lease", "interrupt")
        return {lease: cause for lease, cause in found if lease is not None}


class LeaseKeeper:
    """Renews the leases that it holds until they are let go."""

    def __init__(
        self, leases: Leases | None = None, *, every_s: float = WATCH_EVERY_S
    ) -> None:
        """Without `leases` it keeps those of turns."""
        self._leases = leases or _TurnLeases()
        self._every_s = every_s
        self._watches: dict[UUID, Watch] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._shuts_down = False

    @contextmanager
    def kept(self, lease: UUID) -> Iterator[Watch]:
        """Renew `lease` for as long as the block runs."""
        watch = Watch()
        with self._lock:
            if self._shuts_down:
                watch.interrupt(SHUTDOWN)
            self._watches[lease] = watch
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._watch_while_any, daemon=True
                )
                self._thread.start()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.pop(lease, None)

    def shut_down(self) -> None:
        """Have every run handed back, those that are yet to begin as well."""
        with self._lock:
            self._shuts_down = True
            for watch in self._watches.values():
                watch.interrupt(SHUTDOWN)

    @property
    def is_ending(self) -> bool:
        """Tell whether this process takes nothing new."""
        return self._shuts_down

    @property
    def count(self) -> int:
        """How many runs of its kind this process has."""
        with self._lock:
            return len(self._watches)

    def _watch_while_any(self) -> None:
        pause = threading.Event()
        rounds = 0
        while True:
            pause.wait(self._every_s)
            with self._lock:
                watches = dict(self._watches)
                if not watches:
                    self._thread = None
                    return
            rounds += 1
            try:
                if rounds % RENEW_EVERY == 0:
                    alive = [x for x, watch in watches.items() if not watch.hangs()]
                    self._leases.renew(alive, now=timezone.now())
                found = self._leases.interrupts(list(watches))
                for lease, watch in watches.items():
                    watch.interrupt(found.get(lease, LEASE_LOST))
            except Exception as err:  # the thread must outlive every fault
                logger.warning("Leases could not be renewed: %s", err)
            finally:
                release_connection()


keeper = LeaseKeeper()
