"""Puts routes, middleware and life span together into one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import control, files_api, page_routes
from sandbox.chatwoot import (
    api_bots,
    api_contacts,
    api_conversations,
    api_install,
    api_lists,
    api_messages,
    api_settings,
    api_teams,
)
from sandbox.chatwoot.server import Router as ChatwootRouter
from sandbox.dify import api_app, api_runs, human_input, tool_files
from sandbox.dify import api_conversations as dify_conversations
from sandbox.dify.errors import html_not_found
from sandbox.dify.server import Router as DifyRouter
from sandbox.middleware import WireMiddleware
from sandbox.openai import audio as openai_audio
from sandbox.openai import chat as openai_chat
from sandbox.settings import Settings
from sandbox.world import World


class SandboxApp(WireMiddleware):
    """The ASGI app; ``world`` is there for tests that run in the same process."""

    def __init__(self, settings: Settings) -> None:
        self.world = World(settings)
        super().__init__(
            _starlette(self.world),
            wire_log=self.world.wire_log,
            faults=self.world.faults,
            closing=self.world.closing,
            visits=self.world.visits,
        )


def create_app(settings: Settings) -> SandboxApp:
    """Needs a running event loop: call it inside one."""
    return SandboxApp(settings)


def _starlette(world: World) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await world.close()

    routes = [
        *page_routes.routes(),
        *control.routes(world),
        *files_api.routes(world.chatwoot),
        *_chatwoot_routes(world),
        *_dify_routes(world),
        *tool_files.routes(),
        *openai_audio.routes(),
        *openai_chat.routes(),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={404: _unknown_path},
    )


async def _unknown_path(request: Request, _: Exception) -> Response:
    """Rails and Flask answer an unknown path differently."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"status": 404, "error": "Not Found"}, status_code=404)
    return html_not_found()


def _chatwoot_routes(world: World) -> list[Route]:
    router = ChatwootRouter(world.chatwoot)
    for module in (
        api_lists,
        api_conversations,
        api_messages,
        api_contacts,
        api_settings,
        api_bots,
        api_teams,
    ):
        module.register(router)
    return [*router.routes, *api_install.routes(world.chatwoot)]


def _dify_routes(world: World) -> list[Route]:
    router = DifyRouter(world.dify)
    for module in (api_app, api_runs, dify_conversations, human_input):
        module.register(router)
    return router.routes()
