"""How many bytes of answers' files a process holds; hundreds of runs share it.

A file is in memory from its fetching to its post. Anybody may get a model to name large
ones, so there is a limit for all of them together.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, RLock

from chatwoot_api.message_calls import Upload

MAX_BYTES = 128 * 1024 * 1024
# Each may come to as much as one answer's files may have together.
FETCHES_AT_ONCE = 6


class Room:
    """What is left for files; one that nobody holds any more takes none."""

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, at_once: int = FETCHES_AT_ONCE
    ) -> None:
        self._left = max_bytes
        # Whoever counts may be interrupted by a file's end.
        self._lock = RLock()
        self._places = BoundedSemaphore(at_once)

    @property
    def left_bytes(self) -> int:
        return self._left

    @contextmanager
    def place(self, *, wait_s: float) -> Iterator[bool]:
        """Wait for a place to fetch in; False if none got free."""
        is_free = self._places.acquire(timeout=max(wait_s, 0.0))
        try:
            yield is_free
        finally:
            if is_free:
                self._places.release()

    def hold(self, upload: Upload) -> None:
        """Count a file until it is let go of."""
        size = len(upload.content)
        self._add(-size)
        weakref.finalize(upload, self._add, size).atexit = False

    def _add(self, size: int) -> None:
        with self._lock:
            self._left += size


room = Room()
