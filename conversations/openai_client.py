"""Calls of an OpenAI-compatible server: which models it has, and one chat.

Ollama, vLLM, llama.cpp, LiteLLM and OpenAI itself agree on what is used here; where
they do not, what comes is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import ClassVar, Self

import requests
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from bridge_project.lib.encryption import readable
from bridge_project.lib.errors import (
    UnexpectedReply,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.http import CONNECT_TIMEOUT_S, CallLog, JsonApi
from bridge_project.lib.redact import cut, mask
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models import OpenAIServer
from dify_api.failures import DifyUnexpectedReply
from dify_api.sse import SseDecoder

CHAT = "/chat/completions"
_READ_BYTES = 64 * 1024
_DONE = b"[DONE]"


class OpenAIApi(JsonApi):
    """Calls one server with its key, if it has one."""

    service: ClassVar[str] = "openai"

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeout_s: float,
        call_log: CallLog | None = None,
    ) -> None:
        """`timeout_s`: how long the server may be silent."""
        super().__init__(base_url=base_url, secrets=(api_key,), call_log=call_log)
        self._api_key = api_key
        self._timeout_s = (CONNECT_TIMEOUT_S, timeout_s)

    @classmethod
    def of(cls, server: OpenAIServer, *, call_log: CallLog | None = None) -> Self:
        """Return a client for a server of the admin."""
        return cls(
            base_url=server.base_url,
            api_key=readable(server.api_key),
            timeout_s=float(server.timeout_s),
            call_log=call_log,
        )

    @property
    def headers(self) -> dict[str, str]:
        """With the key, if there is one."""
        return {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}


class OpenAIClient(OpenAIApi):
    """The calls about models and chats."""

    # Addresses of servers that refuse a request for the number of tokens.
    _without_usage: ClassVar[set[str]] = set()

    def models(self) -> list[str]:
        """GET /models: the names that the server knows."""
        body = self.request_json(
            "GET", "/models", headers=self.headers, repeat_safe=True
        )
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise self._error(
                UnexpectedReply,
                "GET",
                "/models",
                "The server answered, but not with a list of models. Is the address "
                "right, up to and with /v1?",
            )
        names = [row.get("id") for row in rows if isinstance(row, dict)]
        return [name for name in names if isinstance(name, str)]

    def chat(self, messages: Sequence[JsonObject], *, model: str) -> Chat:
        """POST /chat/completions; the answer is read by going through it.

        A lost request may be repeated: it costs tokens, but is said to nobody.
        """
        body: JsonObject = {"model": model, "messages": list(messages), "stream": True}
        counted: JsonObject = {**body, "stream_options": {"include_usage": True}}
        if self.base_url in self._without_usage:
            counted = body
        started = monotonic()
        try:
            response = self._open(counted)
        except UpstreamRejected as err:
            if counted is body or "stream_options" not in err.excerpt:
                raise
            self._without_usage.add(self.base_url)
            response, counted = self._open(body), body
        return Chat(response, client=self, sent=counted, started=started)

    def _open(self, body: JsonObject) -> requests.Response:
        return self.send(
            "POST",
            CHAT,
            headers={**self.headers, "Accept-Encoding": "identity"},
            json=body,
            repeat_safe=True,
            timeout_s=self._timeout_s,
            stream=True,
        )

    def error_for_response(
        self,
        method: str,
        path: str,
        response: requests.Response,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Say what the server says; an empty purse does not fill by waiting."""
        error = super().error_for_response(
            method, path, response, repeat_safe=repeat_safe
        )
        # Masked before it is cut: half a key would not be recognised.
        said = cut(mask(_said_of(response), secrets=self._secrets), max_chars=300)
        if "insufficient_quota" in response.text:
            error = self._error(UpstreamRejected, method, path, response=response)
        if said:
            error.message = f"{error.message.rstrip('.')}: {said}"
        return error

    def failure(self, error: JsonValue) -> UpstreamError:
        """Return the error that a stream ended with."""
        told = error if isinstance(error, dict) else {"message": error}
        said = cut(mask(str(told.get("message") or error), secrets=self._secrets))
        code = told.get("code")
        is_final = isinstance(code, int) and 400 <= code < 500 and code != 429
        kind = UpstreamRejected if is_final else UpstreamUnavailable
        return self._error(kind, "POST", CHAT, f"The server gave up: {said}")

    def cut_off(self, why: str) -> UpstreamError:
        """Return the error of a stream that ended in the middle."""
        return self._error(UpstreamUnavailable, "POST", CHAT, why)

    def unreadable(self, why: str) -> UpstreamError:
        """Return the error of an answer that is none of this API."""
        return self._error(UnexpectedReply, "POST", CHAT, why)


class Chat:
    """One answer that is being read; yields its text as it comes."""

    def __init__(
        self,
        response: requests.Response,
        *,
        client: OpenAIClient,
        sent: JsonObject,
        started: float,
    ) -> None:
        self._response, self._client = response, client
        self._sent, self._started = sent, started
        self._text: list[str] = []
        self._thought: list[str] = []
        self._is_complete = False
        self._is_closed = False
        self._error_code = "aborted"
        self.total_tokens: int | None = None
        self.notes: list[str] = []

    @property
    def thinking(self) -> str:
        return "".join(self._thought)

    def __iter__(self) -> Iterator[str]:
        """Yield the text. Raises UpstreamError."""
        try:
            for data in self._events():
                yield from self._take(data)
                if self._is_complete and data == _DONE:
                    break
            if not self._is_complete:
                raise self._client.cut_off("The answer broke off in the middle.")
            self._error_code = ""
        except UpstreamError as err:
            self._error_code = err.code
            raise
        finally:
            self.close()

    def close(self) -> None:
        """End the connection, which also ends the model's work, and log the call."""
        if self._is_closed:
            return
        self._is_closed = True
        self._response.close()
        self._client.tell(
            "POST",
            CHAT,
            started=self._started,
            sent=self._sent,
            status=self._response.status_code,
            error_code=self._error_code,
            answer="".join(self._text),
        )

    def _events(self) -> Iterator[bytes]:
        kind = self._response.headers.get("Content-Type", "").lower()
        if kind.startswith("application/json"):
            yield self._response.content  # a server that does not stream
            self._is_complete = True
            return
        if not kind.startswith("text/event-stream"):
            raise self._client.unreadable(
                f"It answered with “{kind or 'no content type'}” in place of an event "
                "stream. Is the address right, up to and with /v1?"
            )
        decoder = SseDecoder()
        raw: BaseHTTPResponse = self._response.raw
        try:
            while chunk := raw.read1(_READ_BYTES, decode_content=True):
                yield from decoder.feed(chunk)
            yield from decoder.end()
        except (HTTPError, OSError) as err:
            raise self._client.cut_off(f"The connection broke off: {err}") from err
        except DifyUnexpectedReply as err:
            raise self._client.unreadable("It sent an event without end.") from err

    def _take(self, data: bytes) -> Iterator[str]:
        if data == _DONE:
            self._is_complete = True
            return
        try:
            event: JsonValue = json.loads(data)
        except ValueError as err:
            raise self._client.unreadable("It sent what is no JSON.") from err
        if not isinstance(event, dict):
            return
        if event.get("error"):
            raise self._client.failure(event["error"])
        self._take_usage(event.get("usage"))
        choices = event.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, dict):
            return
        self._take_ending(first.get("finish_reason"))
        said = first.get("delta") or first.get("message")
        if not isinstance(said, dict):
            return
        thought = said.get("reasoning_content") or said.get("reasoning")
        if isinstance(thought, str):
            self._thought.append(thought)
        text = said.get("content")
        if isinstance(text, str) and text:
            self._text.append(text)
            yield text

    def _take_usage(self, usage: JsonValue) -> None:
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(total, int) and not isinstance(total, bool):
            self.total_tokens = total

    def _take_ending(self, reason: JsonValue) -> None:
        """Note why the model stopped, unless it had said all."""
        if not isinstance(reason, str):
            return
        self._is_complete = True
        if reason != "stop":
            self.notes.append(f"The model stopped before its end: {reason}.")


def _said_of(response: requests.Response) -> str:
    """Return the server's own words: {"error": {"message": …}} or {"error": …}."""
    try:
        body = response.json()
    except ValueError:
        return ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or ""
    return error if isinstance(error, str) else ""
