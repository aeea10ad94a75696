"""Files that tools of a played flow have made, at Dify's signed addresses."""

from __future__ import annotations

from base64 import b64decode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# Without a host, as Dify writes it where FILES_URL is not set.
PICTURE_URL = "/files/tools/sandbox.png?timestamp=0&nonce=0&sign=0"
REPORT_URL = "/files/tools/report.pdf?timestamp=0&nonce=0&sign=0"
PICTURE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mPQqzXCihiGlgQAlgM3QYr9"
    "63wAAAAASUVORK5CYII="
)
REPORT = b"%PDF-1.4\n%sandbox\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n"
_FILES = {
    "sandbox.png": ("image/png", PICTURE),
    "report.pdf": ("application/pdf", REPORT),
}


def routes() -> list[Route]:
    return [Route("/files/tools/{name}", _content, methods=["GET"])]


async def _content(request: Request) -> Response:
    found = _FILES.get(request.path_params["name"])
    if found is None:
        return JSONResponse({"code": "not_found"}, status_code=404)
    if request.query_params.get("sign") != "0":
        return JSONResponse({"code": "forbidden"}, status_code=403)
    media_type, content = found
    return Response(content, media_type=media_type)
