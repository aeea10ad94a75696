"""What goes wrong before an operation begins, and how each error is answered.

A malformed request, a wrong token and a foreign conversation are always 4xx. What is
wrong with the wish itself is an `Outcome` and answered 200 by default, see `answers`.
"""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, DataError
from django.http import Http404
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response

from bridge_project.lib.types import JsonObject

logger = logging.getLogger(__name__)


class Refused(exceptions.APIException):
    """The request is answered with an error, and nothing was changed."""

    status_code = 400
    default_code = "malformed"

    def __init__(self, message: str = "", *, code: str = "", status: int = 0) -> None:
        message = message or (type(self).__doc__ or "").strip()
        super().__init__(message, code or self.default_code)
        self.message = message
        self.code = code or self.default_code
        self.status_code = status or self.status_code


class NotAuthenticated(Refused):
    """Who calls is not known."""

    status_code = 401
    default_code = "not_authenticated"


class Foreign(Refused):
    """The conversation is not the caller's to change."""

    status_code = 403
    default_code = "other_conversation"


class InPlayground(Refused):
    """The run was asked for in the playground or by whoever wants a suggestion.

    HTTP 200, so that the flow goes on and its answer can be seen.
    """

    status_code = 200
    default_code = "playground"

    def __init__(self) -> None:
        super().__init__(
            "This run was asked for in the bridge's playground, or by POST "
            "/chatwoot/copilot. It has no conversation in Chatwoot, so nothing was "
            "read or changed there."
        )


class TooLarge(Refused):
    """The body is larger than any that makes sense."""

    status_code = 413
    default_code = "too_large"


def body(code: str, message: str, **more: Any) -> JsonObject:
    """Return the body that every error of the API has."""
    return {"status": "error", "code": code, "message": message, **more}


def answer_for_exception(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer JSON that a flow can read; DRF's EXCEPTION_HANDLER.

    A 500 would reach no flow (reference/dify.md section 8a), so a database that is away
    is told like any other refusal. A fault of ours stays a 500: it must be noticed.
    """
    if isinstance(exc, RequestDataTooBig):
        exc = TooLarge("The body is too large. At most 1 MB of JSON is taken.")
    if isinstance(exc, Refused):
        return _response(exc.status_code, body(exc.code, exc.message))
    if isinstance(exc, DataError):
        logger.error("PostgreSQL cannot take a callback", exc_info=exc)
        text = "The request has a value that cannot be stored."
        return _response(400, body("malformed", text))
    if isinstance(exc, DatabaseError | PoolTimeout):
        logger.error("A callback could not be served: no database", exc_info=exc)
        text = (
            "The bridge does not reach its database right now, so nothing was changed "
            "or it cannot tell. Try again in a minute."
        )
        return _response(200, body("bridge_unavailable", text))
    if isinstance(exc, Http404):
        text = "There is nothing at this address. Check the path."
        return _response(404, body("not_found", text))
    if isinstance(exc, exceptions.APIException):
        return _response(exc.status_code, body(_code_of(exc), _sentence_of(exc)))
    return None


def _response(status: int, data: JsonObject) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(data, status=status, headers=headers)


def _code_of(exc: exceptions.APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else "malformed"


def _sentence_of(exc: exceptions.APIException) -> str:
    return str(exc.detail) if isinstance(exc.detail, str) else "The request is wrong."
