"""Refusals of the played Chatwoot API, with their exact bodies."""

from __future__ import annotations

from starlette.responses import JSONResponse

from sandbox.json_types import Json


class ApiError(Exception):
    """Raised anywhere below an endpoint; answered as ``status`` with ``body``."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, status_code=self.status)


def invalid_token() -> ApiError:
    return ApiError(401, {"error": "Invalid Access Token"})


def no_credentials() -> ApiError:
    text = "You need to sign in or sign up before continuing."
    return ApiError(401, {"errors": [text]})


def not_for_bots() -> ApiError:
    text = "Access to this endpoint is not authorized for bots"
    return ApiError(401, {"error": text})


def not_your_account() -> ApiError:
    return ApiError(401, {"error": "You are not authorized to access this account"})


def bot_of_other_account() -> ApiError:
    return ApiError(401, {"error": "Bot is not authorized to access this account"})


def not_authorized() -> ApiError:
    return ApiError(401, {"error": "You are not authorized to do this action"})


def not_found() -> ApiError:
    return ApiError(404, {"error": "Resource could not be found"})


def refused(text: str) -> ApiError:
    """422 of the messages and filter endpoints, and of missing parameters."""
    return ApiError(422, {"error": text})


def invalid_record(text: str, *attributes: str) -> ApiError:
    """422 of a failed validation on the other endpoints."""
    return ApiError(422, {"message": text, "attributes": list(attributes)})


def crashed() -> ApiError:
    """What an unhandled Ruby exception looks like from outside."""
    return ApiError(500, {"status": 500, "error": "Internal Server Error"})
