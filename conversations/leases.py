"""Keep this process's running turns from being taken for abandoned.

One thread renews all leases with one statement: five hundred streams that each renewed
their own would keep the database busy with nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.database import release_connection
from conversations.models import Turn

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 10.0


class LeaseKeeper:
    """Renews the leases that it holds until they are let go."""

    def __init__(self, *, every_s: float = RENEW_EVERY_S) -> None:
        self._every_s = every_s
        self._leases: set[UUID] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def kept(self, lease: UUID) -> Iterator[None]:
        """Renew `lease` for as long as the block runs."""
        with self._lock:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._renew_while_any, daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._leases.discard(lease)

    def _renew_while_any(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._every_s)
            with self._lock:
                leases = set(self._leases)
                if not leases:
                    self._thread = None
                    return
            try:
                Turn.objects.renew(leases, now=timezone.now())
            except Exception as err:  # the thread must outlive every fault
                logger.warning("Leases could not be renewed: %s", err)
            finally:
                release_connection()


keeper = LeaseKeeper()
