"""Something is broken again and again while customers go on writing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class Breaker:
    """A thread that breaks something at given moments, or every few seconds."""

    def __init__(self, breaks: Sequence[Callable[[], object]]) -> None:
        self._breaks = breaks
        self._stopping = threading.Event()
        self.count = 0
        self.last_at = time.monotonic()
        self.fault: Exception | None = None

    def every(self, seconds: float) -> None:
        """Break the things in turn until stopped."""
        while not self._stopping.wait(seconds):
            self._break()

    def at(self, moments_s: Sequence[float]) -> None:
        """Break at those moments, counted from now."""
        began = time.monotonic()
        for moment in sorted(moments_s):
            pause = began + moment - time.monotonic()
            if self._stopping.wait(max(pause, 0.0)):
                return
            self._break()

    def stop(self) -> None:
        """Break nothing more."""
        self._stopping.set()

    def _break(self) -> None:
        try:
            self._breaks[self.count % len(self._breaks)]()
        except Exception as err:
            # Raised in the scenario's own thread, see `breaking`.
            self.fault = err
            self._stopping.set()
            return
        self.count += 1
        self.last_at = time.monotonic()


@contextmanager
def breaking(
    *breaks: Callable[[], object],
    every_s: float | None = None,
    at_s: Sequence[float] = (),
) -> Iterator[Breaker]:
    """Break things during the block; it ends when no break is under way any more.

    With `every_s` in turn until the block ends, else at the moments `at_s`, which are
    waited for. Raises what a break raised.
    """
    breaker = Breaker(breaks)
    work = (
        (lambda: breaker.at(at_s))
        if every_s is None
        else (lambda: breaker.every(every_s))
    )
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield breaker
    except BaseException:
        breaker.stop()
        raise
    finally:
        if every_s is not None:
            breaker.stop()
        thread.join()
    if breaker.fault is not None:
        raise breaker.fault
