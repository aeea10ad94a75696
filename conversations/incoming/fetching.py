"""Fetches a customer's file from Chatwoot onto the disk, while it is needed there."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from threading import BoundedSemaphore
from time import monotonic
from types import TracebackType
from typing import IO, Self
from urllib.parse import urljoin, urlsplit

from bridge_project.lib import outside
from bridge_project.lib.errors import UpstreamError, UpstreamUnavailable
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import Attachment
from conversations.leases import Watch

TOTAL_TIMEOUT_S = 60.0
# For a place among those that are fetched at once.
WAIT_S = 60.0
# Of a worker: each holds a file, and /tmp of a container may be memory.
_AT_ONCE = 8
_MAX_IN_MEMORY = 256 * 1024
_PLACE = "/rails/active_storage/"
_free = BoundedSemaphore(_AT_ONCE)


class Download:
    """A customer's file, fetched when first asked for; gone at the block's end."""

    def __init__(
        self,
        attachment: Attachment,
        *,
        account: ChatwootAccount,
        max_bytes: int,
        watch: Watch,
    ) -> None:
        self._attachment = attachment
        self._account = account
        self._max_bytes = max_bytes
        self._watch = watch
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._error: UpstreamError | None = None
        # What the file's server says it is.
        self.content_type = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def content(self) -> IO[bytes]:
        """Return the file, read from its beginning; raises UpstreamError."""
        if self._error is not None:
            raise self._error
        if self._file is None:
            try:
                self._wait()
                self._file = self._fetched()
            except UpstreamError as err:
                # Whoever asks next gets no other answer.
                self._error = err
                raise
        self._file.seek(0)
        return self._file

    def _wait(self) -> None:
        """Wait for one of the few places; raises Interrupted when no longer wanted.

        Not for ever: raises UpstreamUnavailable when none gets free.
        """
        ends_at = monotonic() + WAIT_S
        while not _free.acquire(timeout=min(WAIT_S, 1.0)):
            self._watch.check()
            if monotonic() >= ends_at:
                raise UpstreamUnavailable(
                    "Too many files are being fetched already.", service="outside"
                )
        self._stack.callback(_free.release)
        self._watch.check()

    def _fetched(self) -> IO[bytes]:
        """Fetch it from where Chatwoot says, else from Chatwoot itself.

        The address begins with what Chatwoot takes for its own (FRONTEND_URL), and that
        may lead nowhere from here: there may be another way to the same server.
        """
        ends_at = monotonic() + TOTAL_TIMEOUT_S
        given = self._attachment.data_url
        here = urljoin(self._account.server_url(), _PLACE)
        try:
            return self._try(given, own_place=here, ends_at=ends_at)
        except UpstreamError as err:
            other = _same_path(given, place=here)
            if not other or err.code == "too_large":
                raise
            try:
                return self._try(other, own_place=here, ends_at=ends_at)
            except UpstreamError as second:
                # What may pass decides whether it is tried again.
                passes = err.retryable and not second.retryable
                raise (err if passes else second) from second

    def _try(self, url: str, *, own_place: str, ends_at: float) -> IO[bytes]:
        file = SpooledTemporaryFile(max_size=_MAX_IN_MEMORY)  # noqa: SIM115
        try:
            self.content_type = outside.fetch_into(
                file,
                url=url,
                own_places=[own_place],
                max_bytes=self._max_bytes,
                total_timeout_s=max(ends_at - monotonic(), 1.0),
            )
        except BaseException:
            # What came of it takes room that the next try may need.
            file.close()
            raise
        self._stack.callback(file.close)
        return file


def _same_path(url: str, *, place: str) -> str:
    """Return the file's address on the account's own server, "" if it is given so.

    Nothing but stored files is asked for there: `outside` checks the path once more.
    """
    try:
        parts, own = urlsplit(url), urlsplit(place)
    except ValueError:
        return ""
    if not parts.path.startswith(_PLACE):
        return ""
    other = parts._replace(scheme=own.scheme, netloc=own.netloc).geturl()
    return "" if other == url else other
