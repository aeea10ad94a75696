"""The one way to fetch an address that somebody else chose: attachments, Dify's files.

Whoever writes to a customer's inbox, or to a Dify flow, may choose such an address. It
must not lead to what only this server can reach: databases, a cloud's metadata, other
services of the network.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from threading import Timer
from time import monotonic
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

# It resolves a name once, refuses what is not public (loopback, private, link-local,
# CGNAT, IPv4 inside IPv6 …) and connects to just that address, TLS still for the name.
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import (
    NotFound,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.http import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, USER_AGENT

MAX_REDIRECTS = 3
TOTAL_TIMEOUT_S = 60.0
_CHUNK_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERRORS: dict[int, type[UpstreamError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    410: NotFound,
    429: UpstreamUnavailable,
}

ErrorT = TypeVar("ErrorT", bound=UpstreamError)
Origin = tuple[str, str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file from outside; `content_type` is what its server claims."""

    content: bytes
    content_type: str


def fetch(
    url: str,
    *,
    own_places: Iterable[str] = (),
    max_bytes: int,
    total_timeout_s: float = TOTAL_TIMEOUT_S,
) -> Fetched:
    """Return what is at `url`, held in memory; see `fetch_into`."""
    content = BytesIO()
    content_type = fetch_into(
        content,
        url=url,
        own_places=own_places,
        max_bytes=max_bytes,
        total_timeout_s=total_timeout_s,
    )
    return Fetched(content=content.getvalue(), content_type=content_type)


def fetch_into(
    file: IO[bytes],
    *,
    url: str,
    own_places: Iterable[str] = (),
    max_bytes: int,
    total_timeout_s: float = TOTAL_TIMEOUT_S,
) -> str:
    """Write what is at `url` into `file` as it arrives, and return its content type.

    That is at most `max_bytes`, within `total_timeout_s`; after a failure the file
    may hold a part of it.
    `own_places` are where the operator's Chatwoot and Dify keep files: what has the
    same scheme, host and port, and is below the same path, may be private. Redirects
    are followed three times, each checked alike.
    Proxies of the environment are not used: they would resolve the names themselves.
    Raises UpstreamRejected for what must not or need not be tried again (code
    `address_refused`, `too_large`, `too_many_redirects`), UpstreamUnavailable for what
    may work later, and other UpstreamErrors as their names say.
    """
    release_connection()
    ends_at = monotonic() + total_timeout_s
    own = [_parsed(address) for address in own_places]
    for _hop in range(MAX_REDIRECTS + 1):
        place = _checked(url)
        is_own = any(_is_below(place, address) for address in own)
        with _Visit(place, is_own=is_own, ends_at=ends_at) as visit:
            response = visit.get()
            if response.status_code not in _REDIRECTS:
                visit.read(response, into=file, max_bytes=max_bytes)
                return response.headers.get("Content-Type", "")
            url = _joined(place, response.headers.get("Location", ""))
    raise _error(
        UpstreamRejected,
        _checked(url),
        f"The file's address redirects more than {MAX_REDIRECTS} times.",
        code="too_many_redirects",
    )


def _parsed(url: str) -> Url:
    """Parse as requests does, so that what is checked is what is called.

    Python's own parser, which requests uses as well, refuses some that urllib3 takes.
    """
    try:
        place = parse_url(url)
        urlsplit(url)
        urlsplit(place.url)
    except (LocationParseError, ValueError) as err:
        raise _refused(Url(host="?"), "It is no address.") from err
    return place


def _joined(place: Url, location: str) -> str:
    """Return where a server, which may write anything, redirects to."""
    try:
        return urljoin(place.url, location)
    except ValueError as err:
        raise _refused(place, "It redirects to what is no address.") from err


def _checked(url: str) -> Url:
    place = _parsed(url)
    if place.scheme not in _PORTS or not place.host:
        raise _refused(place, "Only http:// and https:// are fetched.")
    if place.auth:
        raise _refused(place, "An address with a user name in it is not fetched.")
    return place


def _origin(place: Url) -> Origin:
    scheme = place.scheme or ""
    return scheme, (place.host or "").lower(), place.port or _PORTS.get(scheme, 0)


def _is_below(place: Url, own: Url) -> bool:
    """Tell whether an address is one of the operator's, path included.

    A proxy may decode a path before it looks at it, and then go upwards.
    """
    path = unquote(unquote(place.path or "/")).replace("\\", "/")
    if ".." in path.split("/") or _origin(place) != _origin(own):
        return False
    return path.startswith((own.path or "").rstrip("/") + "/")


class _Visit:
    """One request to one address; its connection ends with the block."""

    def __init__(self, place: Url, *, is_own: bool, ends_at: float) -> None:
        self._place = place
        self._ends_at = ends_at
        self._session = requests.Session()
        # No proxies, no .netrc.
        self._session.trust_env = False
        adapter: _OwnAdapter | _OutsideAdapter
        if is_own:
            adapter = _OwnAdapter()
        else:
            adapter = _OutsideAdapter(is_https_proto=place.scheme == "https")
        self._session.mount(f"{place.scheme}://", adapter)
        # Time limits of sockets are for each read; a server that sends a header byte
        # by byte would keep us for hours.
        self._alarm = Timer(self._left_s(), adapter.hang_up)
        self._alarm.daemon = True
        self._response: requests.Response | None = None

    def __enter__(self) -> _Visit:
        self._alarm.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._alarm.cancel()
        if self._response is not None:
            self._response.close()
        self._session.close()

    def get(self) -> requests.Response:
        """Send the request and read the answer's head."""
        try:
            self._response = self._session.get(
                self._place.url,
                # Sent compressed, a small answer could become a huge one.
                headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
                timeout=(
                    min(CONNECT_TIMEOUT_S, self._left_s()),
                    min(READ_TIMEOUT_S, self._left_s()),
                ),
                allow_redirects=False,
                stream=True,
            )
        except InvalidIPAddress as err:
            raise _refused(
                self._place,
                "It leads into a private network. Of your own Chatwoot or Dify only "
                "files are fetched there, at the server's address that is set here.",
            ) from err
        except (requests.RequestException, HTTPError) as err:
            raise self._broken() from err
        except ValueError as err:
            # requests reads where an answer redirects to, even if it is not to follow.
            raise _refused(self._place, "It redirects to what is no address.") from err
        # Cut off by the alarm, a head looks complete.
        self._left_s()
        return self._response

    def read(
        self, response: requests.Response, *, into: IO[bytes], max_bytes: int
    ) -> None:
        """Write the body of a 2xx answer, never more of it than `max_bytes`."""
        self._refuse_failure(response)
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise self._too_large(max_bytes)
        size = 0
        try:
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                size += len(chunk)
                if size > max_bytes:
                    raise self._too_large(max_bytes)
                into.write(chunk)
                self._left_s()
        except (HTTPError, OSError) as err:
            raise self._broken() from err
        self._left_s()
        if announced.isdecimal() and size < int(announced):
            raise self._broken()

    def _refuse_failure(self, response: requests.Response) -> None:
        status = response.status_code
        if not 200 <= status < 300:
            kind = UpstreamUnavailable if status >= 500 else UpstreamRejected
            kind_of_status = _ERRORS.get(status, kind)
            raise _error(
                kind_of_status,
                self._place,
                f"The file's server answered {status}.",
                status=status,
            )
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _error(
                UnexpectedReply,
                self._place,
                "The file's server sent it compressed, which it was asked not to do.",
                status=status,
            )

    def _left_s(self) -> float:
        left_s = self._ends_at - monotonic()
        if left_s <= 0:
            raise self._broken()
        return left_s

    def _broken(self) -> UpstreamUnavailable:
        is_late = monotonic() >= self._ends_at
        return _error(
            UpstreamUnavailable,
            self._place,
            "The file did not arrive in time."
            if is_late
            else "The file could not be fetched: its server is not there or hung up.",
        )

    def _too_large(self, max_bytes: int) -> UpstreamRejected:
        return _error(
            UpstreamRejected,
            self._place,
            f"The file is larger than {max_bytes} bytes and was not fetched.",
            code="too_large",
        )


class _HangUp(HTTPAdapter):
    """Remembers the sockets that it opens, to be able to cut them off."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._opened: list[HTTPConnection] = []

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        opened, plain = self._opened, pool.ConnectionCls

        def remembered(*args: Any, **kwargs: Any) -> HTTPConnection:
            connection: HTTPConnection = plain(*args, **kwargs)
            opened.append(connection)
            return connection

        pool.ConnectionCls = remembered
        return pool

    def hang_up(self) -> None:
        """Wake up whoever waits for one of the sockets."""
        for connection in self._opened:
            if isinstance(connection.sock, socket.socket):
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


class _OwnAdapter(_HangUp):
    """For the operator's own servers, which may be private."""


class _OutsideAdapter(_HangUp, IPFilterAdapter):  # type: ignore[misc] # no types
    """For all others: public addresses only."""


def _refused(place: Url, why: str) -> UpstreamRejected:
    return _error(
        UpstreamRejected,
        place,
        f"The file's address is not fetched. {why}",
        code="address_refused",
    )


def _error(
    kind: type[ErrorT],
    place: Url,
    message: str,
    *,
    status: int | None = None,
    code: str = "",
) -> ErrorT:
    """Build an error; the query of the address is often a key and stays out of it."""
    return kind(
        message,
        service="outside",
        method="GET",
        path=f"{place.host or ''}{place.path or ''}",
        status=status,
        code=code,
    )
