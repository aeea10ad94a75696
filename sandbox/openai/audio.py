"""POST /audio/transcriptions: says how much sound arrived."""

from __future__ import annotations

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.openai.refusals import refusal, why_refused

PATH = "/openai/v1/audio/transcriptions"
_ENDINGS = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")
_LIMIT_MB = 25


def routes() -> list[Route]:
    return [Route(PATH, transcribe, methods=["POST"])]


async def transcribe(request: Request) -> Response:
    if refused := why_refused(request):
        return refused
    async with request.form() as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            return refusal(400, "you must provide a file")
        if not form.get("model"):
            return refusal(400, "you must provide a model parameter")
        ending = (part.filename or "").rpartition(".")[2].lower()
        data = await part.read()
    if ending not in _ENDINGS:
        supported = ", ".join(_ENDINGS)
        return refusal(400, f"Invalid file format. Supported formats: [{supported}]")
    if len(data) > _LIMIT_MB * 1024 * 1024:
        return refusal(413, "Maximum content size limit (26214400) exceeded")
    return JSONResponse({"text": f"(a voice of {len(data)} bytes)"})
