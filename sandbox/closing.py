"""The end of the process, for everything that waits on purpose."""

from __future__ import annotations

import asyncio


class Closing:
    """Set once; whoever pauses with `wait` goes on at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def begin(self) -> None:
        self._event.set()

    @property
    def has_begun(self) -> bool:
        return self._event.is_set()

    async def wait(self, seconds: float) -> None:
        """Pause for ``seconds``, or less when the process ends."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout=seconds)
        except TimeoutError:
            return
