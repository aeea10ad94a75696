"""POST /audio/transcriptions: says how much sound arrived."""

from __future__ import annotations

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PATH = "/openai/v1/audio/transcriptions"
KEY = "sandbox-openai-key"
_ENDINGS = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")
_LIMIT_MB = 25


def routes() -> list[Route]:
    return [Route(PATH, transcribe, methods=["POST"])]


async def transcribe(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return _refusal(401, "Incorrect API key provided.")
    async with request.form() as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            return _refusal(400, "you must provide a file")
        if not form.get("model"):
            return _refusal(400, "you must provide a model parameter")
        ending = (part.filename or "").rpartition(".")[2].lower()
        data = await part.read()
    if ending not in _ENDINGS:
        supported = ", ".join(_ENDINGS)
        return _refusal(400, f"Invalid file format. Supported formats: [{supported}]")
    if len(data) > _LIMIT_MB * 1024 * 1024:
        return _refusal(413, "Maximum content size limit (26214400) exceeded")
    return JSONResponse({"text": f"(a voice of {len(data)} bytes)"})


def _refusal(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "code": None}
    return JSONResponse({"error": error}, status_code=status)
