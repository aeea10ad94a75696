"""Attachments: Chatwoot's redirecting data_url and the storage behind it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.chatwoot.server import ChatwootServer

_BLOBS = "/rails/active_storage/blobs/redirect/{signed_id}/{name:path}"
_DISK = "/rails/active_storage/disk/{signed_id}/{name:path}"


def routes(server: ChatwootServer) -> list[Route]:
    async def redirect(request: Request) -> Response:
        signed_id = request.path_params["signed_id"]
        if signed_id not in server.store.attachments:
            return PlainTextResponse("Not Found", status_code=404)
        name = request.path_params["name"]
        url = f"/rails/active_storage/disk/{signed_id}/{name}"
        return RedirectResponse(url, status_code=302)

    async def content(request: Request) -> Response:
        attachment = server.store.attachments.get(request.path_params["signed_id"])
        if attachment is None:
            return PlainTextResponse("Not Found", status_code=404)
        # A visitor's file must never become a page of this origin.
        headers = {
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(
            attachment.data, media_type=attachment.content_type, headers=headers
        )

    return [
        Route(_BLOBS, redirect, methods=["GET"]),
        Route(_DISK, content, methods=["GET"]),
    ]
