"""REST outside any account: the version, and the owner of a token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import times
from sandbox.chatwoot import errors
from sandbox.chatwoot.records import Agent
from sandbox.chatwoot.server import ChatwootServer


def routes(server: ChatwootServer) -> list[Route]:
    """`GET /api` and `GET /api/v1/profile`."""

    async def version(request: Request) -> Response:
        """Told to everybody (app/controllers/api_controller.rb)."""
        return JSONResponse(
            {
                "version": server.settings.chatwoot_version,
                "timestamp": times.iso(times.now()),
                "queue_services": "ok",
                "data_services": "ok",
            }
        )

    async def profile(request: Request) -> Response:
        try:
            agent = _owner(request, server=server)
        except errors.ApiError as err:
            return err.response()
        return JSONResponse(_profile(agent, server=server))

    return [
        Route("/api", version, methods=["GET"]),
        Route("/api/v1/profile", profile, methods=["GET"]),
    ]


def _owner(request: Request, *, server: ChatwootServer) -> Agent:
    """The human whose token it is, or ApiError; bots have no profile."""
    headers = request.headers
    token = headers.get("api_access_token") or headers.get("api-access-token")
    if not token:
        raise errors.no_credentials()
    if server.store.bot_with_token(token) is not None:
        if server.settings.bot_token_refused:
            raise errors.invalid_token()
        raise errors.not_for_bots()
    agent = server.store.agent_with_token(token)
    is_admin = agent is not None and agent.role == "administrator"
    if agent is None or (is_admin and server.settings.admin_token_refused):
        raise errors.invalid_token()
    return agent


def _profile(agent: Agent, *, server: ChatwootServer) -> dict[str, object]:
    account = server.store.account
    return {
        "access_token": agent.access_token,
        "account_id": account.id,
        "available_name": agent.available_name,
        "avatar_url": "",
        "confirmed": True,
        "display_name": None,
        "message_signature": None,
        "email": agent.email,
        "id": agent.id,
        "inviter_id": None,
        "name": agent.name,
        "provider": "email",
        "pubsub_token": "sandbox-pubsub-token",
        "role": agent.role,
        "ui_settings": {},
        "uid": agent.email,
        "type": None,
        "accounts": [
            {
                "id": account.id,
                "name": account.name,
                "status": "active",
                "active_at": times.iso(times.now()),
                "role": agent.role,
                "permissions": [agent.role],
                "availability": "online",
                "availability_status": agent.availability_status,
                "auto_offline": True,
            }
        ],
    }
