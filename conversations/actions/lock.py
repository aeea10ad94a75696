"""One change of labels and attributes of a conversation at a time.

Chatwoot replaces them as a whole. Within a process callers wait in the order in which
they came; between processes a row is tried again and again, so nobody holds a database
connection while waiting or calling.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.database import release_connection
from conversations.actions.outcome import NotDone
from conversations.actions.target import Target
from conversations.models import ActionLock

# Calls are begun within the first seconds only, and the last of them ends (connect 3 s,
# read 8 s) before the lock expires: whoever comes next is alone. The rest is for clocks
# of several machines that do not quite agree.
BEGIN_WITHIN_S = 8.0
EXPIRES_AFTER_S = BEGIN_WITHIN_S + 17.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.15
_random = random.SystemRandom()

# What is left of the caller's time is for what needs no lock.
SHARE_OF_TIME = 0.8

Key = tuple[int, int]


class Busy(NotDone):
    """The conversation did not get free in time."""


class _Lines:
    """Who waits for which conversation, first come first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: dict[Key, deque[threading.Event]] = {}

    def join(self, key: Key) -> threading.Event:
        """Return an event that is set when it is one's turn."""
        turn = threading.Event()
        with self._guard:
            line = self._lines.setdefault(key, deque())
            line.append(turn)
            if line[0] is turn:
                turn.set()
        return turn

    def leave(self, key: Key, turn: threading.Event) -> None:
        """Let the next one come, also when one has not waited to the end."""
        with self._guard:
            line = self._lines[key]
            was_first = line[0] is turn
            line.remove(turn)
            if not line:
                del self._lines[key]
            elif was_first:
                line[0].set()


_lines = _Lines()


@contextmanager
def alone(target: Target) -> Iterator[Target]:
    """Yield the target, with a shorter time, while nobody else merges into it.

    Raises Busy if the conversation does not get free in time.
    """
    key = (target.account.pk, target.number)
    wait_until = time.monotonic() + max(target.left_s(), 0.0) * SHARE_OF_TIME
    turn = _lines.join(key)
    try:
        release_connection()
        if not turn.wait(timeout=max(wait_until - time.monotonic(), 0.0)):
            raise _busy()
        holder, taken_at = _taken(target, wait_until=wait_until)
        try:
            yield replace(target, until=min(target.until, taken_at + BEGIN_WITHIN_S))
        finally:
            ActionLock.objects.give_back(holder)
    finally:
        _lines.leave(key, turn)


def _taken(target: Target, *, wait_until: float) -> tuple[UUID, float]:
    """Return who holds the lock now, and since when, on the clock `time.monotonic`.

    That is when it was asked for: the database may take its time to answer.
    """
    while True:
        asked_at = time.monotonic()
        holder = ActionLock.objects.take(
            target.account.pk,
            number=target.number,
            now=timezone.now(),
            for_s=EXPIRES_AFTER_S,
        )
        if holder is not None:
            return holder, asked_at
        pause_s = _random.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S)
        if time.monotonic() + pause_s > wait_until:
            raise _busy()
        release_connection()
        time.sleep(pause_s)


def _busy() -> Busy:
    return Busy(
        "Other changes of this conversation's labels and attributes are still going "
        "on. Try again in a moment.",
        code="busy",
        result="failed",
    )
