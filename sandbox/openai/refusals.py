"""Who is refused, and how OpenAI says so."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

KEY = "sandbox-openai-key"


def why_refused(request: Request) -> Response | None:
    """Return the answer to a request without the right key."""
    if request.headers.get("authorization") == f"Bearer {KEY}":
        return None
    return refusal(401, "Incorrect API key provided.")


def refusal(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "code": None}
    return JSONResponse({"error": error}, status_code=status)
