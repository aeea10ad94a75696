"""Serves the chat page: three files, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

_FOLDER = Path(__file__).parent / "page"
_FILES = {
    "/": "index.html",
    # Where the bridge's links into Chatwoot lead; the page shows that conversation.
    "/app/accounts/1/conversations/{number:int}": "index.html",
    "/page/style.css": "style.css",
    "/page/app.js": "app.js",
    "/page/view.js": "view.js",
    "/page/markdown.js": "markdown.js",
    "/page/icon.svg": "icon.svg",
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[Route]:
    return [
        Route(path, _sender(_FOLDER / name), methods=["GET"])
        for path, name in _FILES.items()
    ]


def _sender(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return FileResponse(file, headers=_HEADERS)

    return send
