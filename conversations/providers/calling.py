"""Ask code that is not ours, without waiting for it longer than is wanted.

It runs in a thread of its own (in a greenlet where the worker's pool is gevent), since
nothing can be ended from outside. Who hangs is left to itself: the turn goes on, the
thread ends with its function, or with the process. Too many that hang are a reason not
to ask again until some have ended.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError, UpstreamUnavailable
from conversations.leases import Watch
from conversations.outcomes import Interrupted
from conversations.providers.contract import Reply

logger = logging.getLogger(__name__)

# The `service` of errors that code of other projects makes.
SERVICE = "provider"
# How long it takes at most until an interruption is heard.
LOOK_EVERY_S = 1.0
# Of one provider in one process.
MAX_HANGING = 20
# Chatwoot takes 150,000 characters in one message.
MAX_CHARS = 1_000_000

_hanging: dict[str, set[Call]] = defaultdict(set)
_lock = threading.Lock()


class TookTooLong(BridgeError):
    """The provider did not answer in time."""

    code = "provider_too_slow"


class WrongReply(BridgeError):
    """The provider returned no text, or ended as no function should."""

    code = "provider_wrong_reply"


class Call:
    """One call of a provider, and what has come of it by now."""

    def __init__(self, produce: Callable[[], Reply]) -> None:
        self._produce = produce
        self._pieces: list[str] = []
        self._chars = 0
        self._is_unwanted = False
        self._started = monotonic()
        self.error: BaseException | None = None
        self.first_text_ms: int | None = None
        self.done = threading.Event()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def elapsed_ms(self) -> int:
        return round((monotonic() - self._started) * 1000)

    def run(self) -> None:
        """Do it, in this thread, and keep what comes of it."""
        try:
            self._collect(self._produce())
        except BaseException as err:  # noqa: BLE001 whatever ends a function of others
            self.error = err
        finally:
            # It may have used the database.
            with suppress(Exception):
                release_connection()
            self.done.set()

    def give_up(self) -> None:
        """Have a provider that yields end at its next piece."""
        self._is_unwanted = True

    def _collect(self, reply: Reply) -> None:
        if reply is None:
            return
        if isinstance(reply, str):
            self._take(reply)
            return
        if isinstance(reply, bytes | dict) or not isinstance(reply, Iterable):
            raise WrongReply(f"It returned {_kind(reply)}, and no text.")
        try:
            for piece in reply:
                if self._is_unwanted:
                    return
                self._take(piece)
        finally:
            # A generator then lets go of what it holds: connections, files.
            close = getattr(reply, "close", None)
            if callable(close):
                close()

    def _take(self, piece: str) -> None:
        if not isinstance(piece, str):
            raise WrongReply(f"It yielded {_kind(piece)}, and no text.")
        self._chars += len(piece)
        if self._chars > MAX_CHARS:
            raise WrongReply(f"Its answer has more than {MAX_CHARS} characters.")
        if piece and self.first_text_ms is None:
            self.first_text_ms = self.elapsed_ms()
        self._pieces.append(piece)


def call(
    produce: Callable[[], Reply], *, name: str, timeout_s: float, watch: Watch
) -> Call:
    """Return the finished call; raises what the provider raised.

    Raises TookTooLong, Interrupted when nobody wants the answer any more, and
    UpstreamUnavailable while too many earlier calls hang.
    """
    _refuse_if_hanging(name)
    release_connection()
    made = Call(produce)
    # A daemon: a process that is told to end does not wait for it.
    threading.Thread(target=made.run, name=f"provider-{name}", daemon=True).start()
    deadline = monotonic() + timeout_s
    while not made.done.wait(min(LOOK_EVERY_S, max(deadline - monotonic(), 0.0))):
        if watch.is_interrupted():
            _leave(made, name=name)
            raise Interrupted(watch.cause)
        if monotonic() >= deadline:
            _leave(made, name=name)
            raise TookTooLong(f"It did not answer within {timeout_s:.0f} s.")
    if made.error is None:
        return made
    if not isinstance(made.error, Exception):
        # `sys.exit()` is meant for a process of its own, not for this one.
        raise WrongReply(f"It ended with {_kind(made.error)}.") from made.error
    raise made.error


def _leave(made: Call, *, name: str) -> None:
    made.give_up()
    with _lock:
        _hanging[name].add(made)


def _refuse_if_hanging(name: str) -> None:
    with _lock:
        still = {one for one in _hanging[name] if not one.done.is_set()}
        _hanging[name] = still
    if len(still) >= MAX_HANGING:
        raise UpstreamUnavailable(
            f"{len(still)} earlier calls of “{name}” hang in this worker. It is asked "
            "again once some of them have ended.",
            service=SERVICE,
        )


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
