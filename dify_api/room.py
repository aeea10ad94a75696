"""How much of one run is kept in memory."""

from __future__ import annotations

from dify_api.failures import DifyUnexpectedReply

# Far beyond any answer, and far below what hurts: a worker follows hundreds of streams
# at once, and a frame's own limit does not keep a stream from having many.
MAX_KEPT_CHARS = 8 * 1024 * 1024
_PIECE_CHARS = 8  # an empty piece takes memory, too


class Room:
    """Counts what a collector keeps; what is replaced later is counted as well."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._chars = 0

    def take(self, *pieces: str) -> None:
        """Make room. Raises DifyUnexpectedReply when there is none left."""
        self._chars += sum(map(len, pieces)) + _PIECE_CHARS
        if self._chars > self._max_chars:
            raise DifyUnexpectedReply(
                f"The run answered with more than {self._max_chars} characters, far "
                "more than a person reads. Does the flow run in circles?",
                service="dify",
                code="answer_too_large",
            )
