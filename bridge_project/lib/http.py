"""One way to call a JSON API: shared connections, time limits, errors of our own.

A new session for each call costs tens of milliseconds of CPU (TLS context, adapters),
so sessions are made once per base URL and shared by all threads: `requests` keeps no
state in them that we use (cookies are refused), and urllib3's pool is thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from json import dumps
from time import monotonic
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import NameResolutionError, NewConnectionError

from bridge_project.lib import redact
from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import (
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.multipart import FormWithFile
from bridge_project.lib.types import JsonValue

USER_AGENT = "chatwoot-dify-bridge/1"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
# Longer, and a customer had better be handed to a human.
MAX_RETRY_AFTER_S = 300.0
# As many idle connections as one worker may have streams open at a time.
POOL_MAX_CONNECTIONS = 1024
# 502 and 504 come from a proxy whose backend may have done the work.
_PROXY_GAVE_UP = frozenset({502, 504})


ErrorT = TypeVar("ErrorT", bound=UpstreamError)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedCall:
    """One call that is over, without its secrets; excerpts are cut."""

    service: str
    method: str
    path: str
    status: int | None
    duration_ms: int
    error_code: str
    request_excerpt: str
    response_excerpt: str


# Is told about each finished call; the flow stores it as an `UpstreamCall`.
CallLog = Callable[[FinishedCall], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Multipart:
    """A body of `multipart/form-data`; a file is (field, (name, bytes, type))."""

    fields: Mapping[str, str]
    files: Sequence[tuple[str, tuple[str, bytes, str]]]


@lru_cache(maxsize=128)
def shared_session(base_url: str) -> requests.Session:
    """Return this process's session for `base_url`.

    Proxies are read from the environment once; `.netrc` never is, since requests
    would put its password in place of our token.
    """
    session = requests.Session()
    session.trust_env = False
    session.proxies.update(get_environ_proxies(base_url))
    session.headers["User-Agent"] = USER_AGENT
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=POOL_MAX_CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class JsonApi:
    """Base of both clients: one request method, every failure an UpstreamError."""

    service: ClassVar[str]

    def __init__(
        self,
        *,
        base_url: str,
        secrets: tuple[str, ...] = (),
        call_log: CallLog | None = None,
    ) -> None:
        """`secrets` are masked wherever an excerpt of an answer is kept."""
        self.base_url = base_url.rstrip("/")
        self._session = shared_session(self.base_url)
        self._secrets = secrets
        self._call_log = call_log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close: the session belongs to the process."""

    def request_json(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        json: JsonValue = None,
        multipart: Multipart | None = None,
        form: FormWithFile | None = None,
        params: Mapping[str, str | int] | None = None,
        repeat_safe: bool,
        timeout_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
    ) -> JsonValue:
        """Send a request and return the decoded body, None for an empty one.

        `repeat_safe` says whether the call may be repeated when its outcome is
        unknown: if it is False, a lost connection raises OutcomeUnknown.
        """
        response = self.send(
            method,
            path,
            headers=headers,
            json=json,
            multipart=multipart,
            form=form,
            params=params,
            repeat_safe=repeat_safe,
            timeout_s=timeout_s,
        )
        if not response.content.strip():
            return None
        try:
            decoded: JsonValue = response.json()
        except ValueError as err:
            # Something answered, but what did it do with the request?
            raise self._error(
                UnexpectedReply if repeat_safe else OutcomeUnknown,
                method,
                path,
                f"{self.service} answered success, but not with JSON. Is the address "
                "right, and does no proxy or login page stand in between?",
                response=response,
            ) from err
        return decoded

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        json: JsonValue = None,
        multipart: Multipart | None = None,
        form: FormWithFile | None = None,
        params: Mapping[str, str | int] | None = None,
        repeat_safe: bool,
        timeout_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        stream: bool = False,
    ) -> requests.Response:
        """Send a request and return a 2xx response; anything else raises.

        With `stream` the body is left unread: the caller reads it, closes the response
        and then says so with `tell`.
        """
        release_connection()
        started = monotonic()
        response: requests.Response | None = None
        error: UpstreamError | None = None
        try:
            response = self._session.request(
                method,
                self.base_url + path,
                headers={**headers, **_type_of(form)},
                json=json,
                data=form if multipart is None else dict(multipart.fields),
                files=None if multipart is None else list(multipart.files),
                params=params,
                timeout=timeout_s,
                stream=stream,
                allow_redirects=False,
            )
            if not 200 <= response.status_code < 300:
                error = self.error_for_response(
                    method, path, response, repeat_safe=repeat_safe
                )
                raise error
        except requests.RequestException as exc:
            error = self.error_for_exception(method, path, exc, repeat_safe=repeat_safe)
            raise error from exc
        finally:
            if error is not None or not stream:
                self.tell(
                    method,
                    path,
                    started=started,
                    sent=_told(json, multipart=multipart, form=form),
                    status=None if response is None else response.status_code,
                    error_code=error.code if error else "",
                    answer=_answer_text(response, error),
                )
        return response

    def error_for_response(
        self,
        method: str,
        path: str,
        response: requests.Response,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Map a non-2xx response; services override this for their own quirks."""
        status = response.status_code
        if 300 <= status < 400:
            return self._error(
                UpstreamRejected,
                method,
                path,
                f"{self.service} redirects to {response.headers.get('Location', '?')}. "
                "Set the address that it redirects to.",
                response=response,
            )
        if status == 401 or status == 403:
            return self._error(Unauthorized, method, path, response=response)
        if status == 404:
            return self._error(NotFound, method, path, response=response)
        if status == 429:
            limited = self._error(UpstreamRateLimited, method, path, response=response)
            limited.retry_after_s = retry_after_s(response)
            return limited
        if status >= 500:
            unknown = status in _PROXY_GAVE_UP and not repeat_safe
            kind = OutcomeUnknown if unknown else UpstreamUnavailable
            return self._error(kind, method, path, response=response)
        return self._error(UpstreamRejected, method, path, response=response)

    def error_for_exception(
        self,
        method: str,
        path: str,
        exc: requests.RequestException,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Map a failure without an answer.

        Only a connection that was never made is known to have had no effect.
        """
        never_sent = isinstance(
            exc,
            requests.ConnectTimeout
            | requests.exceptions.InvalidURL
            | requests.exceptions.InvalidSchema
            | requests.exceptions.MissingSchema,
        ) or _was_never_connected(exc)
        kind: type[UpstreamError] = UpstreamUnavailable
        if not never_sent and not repeat_safe:
            kind = OutcomeUnknown
        message = (
            f"{self.service} did not answer in time."
            if isinstance(exc, requests.Timeout)
            else f"The connection to {self.service} failed."
        )
        return self._error(kind, method, path, message, excerpt=str(exc))

    def _error(
        self,
        kind: type[ErrorT],
        method: str,
        path: str,
        message: str = "",
        *,
        response: requests.Response | None = None,
        excerpt: str = "",
    ) -> ErrorT:
        """Build an error that carries all it needs to print itself."""
        if response is not None:
            excerpt = response.text
        return kind(
            message,
            service=self.service,
            method=method,
            path=path,
            status=None if response is None else response.status_code,
            excerpt=self._excerpt(excerpt),
        )

    def tell(
        self,
        method: str,
        path: str,
        *,
        started: float,
        sent: JsonValue,
        status: int | None,
        error_code: str,
        answer: str,
    ) -> None:
        """Tell the call log about a call that `started` (monotonic) and is over now."""
        if self._call_log is None:
            return
        request = "" if sent is None else dumps(sent, ensure_ascii=False)
        self._call_log(
            FinishedCall(
                service=self.service,
                method=method,
                path=path,
                status=status,
                duration_ms=round((monotonic() - started) * 1000),
                error_code=error_code,
                request_excerpt=self._excerpt(request),
                response_excerpt=self._excerpt(answer),
            )
        )

    def _excerpt(self, text: str) -> str:
        return redact.excerpt(text, secrets=self._secrets)


def _type_of(form: FormWithFile | None) -> dict[str, str]:
    return {} if form is None else {"Content-Type": form.content_type}


def _told(
    json: JsonValue, *, multipart: Multipart | None, form: FormWithFile | None
) -> JsonValue:
    """Return what a record keeps of a body: of files no more than their names."""
    if form is not None:
        return dict(form.summary)
    return json if multipart is None else dict(multipart.fields)


def _answer_text(
    response: requests.Response | None, error: UpstreamError | None
) -> str:
    if error is not None:
        return error.excerpt
    return "" if response is None else response.text


def _was_never_connected(exc: requests.RequestException) -> bool:
    """Tell whether the connection failed before the request could be sent."""
    cause = exc.args[0] if exc.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, NewConnectionError | NameResolutionError)


def retry_after_s(response: requests.Response) -> float | None:
    """Read `Retry-After` in seconds, five minutes at most.

    The date form is ignored, neither service sends it.
    """
    value = response.headers.get("Retry-After", "")
    if not value.isascii() or not value.isdecimal():
        return None
    return min(float(value), MAX_RETRY_AFTER_S)
