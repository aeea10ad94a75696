"""The played Dify as one object, and the wrapper around its endpoints."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.closing import Closing
from sandbox.dify import errors
from sandbox.dify.apps import CHAT_MODES, FLOW_MODES, DifyApp
from sandbox.dify.calls import BridgeCaller
from sandbox.dify.records import DifyConversation, DifyStore
from sandbox.dify.runs import Runs
from sandbox.dify.versions import VERSIONS, Version
from sandbox.json_types import Json
from sandbox.settings import Settings
from sandbox.wire_log import WireLog

BASE = "/v1"
DEFAULT_USER = "DEFAULT-USER"


class DifyServer:
    """Apps, conversations and runs of one workspace."""

    def __init__(
        self, settings: Settings, *, closing: Closing, wire_log: WireLog
    ) -> None:
        self.settings = settings
        self.closing = closing
        self.caller = BridgeCaller(wire_log)
        self.store = DifyStore()
        self.runs = Runs(self.store)

    @property
    def version(self) -> Version:
        return VERSIONS[self.settings.dify_version]

    async def reset(self) -> None:
        await self.runs.close()
        self.store = DifyStore()
        self.runs = Runs(self.store)

    def authorize(self, header: str | None) -> DifyApp:
        """The app of the key; DifyError 401 or 403 with Dify's text."""
        if not header or " " not in header:
            raise errors.unauthorized(
                "Authorization header must be provided and start with 'Bearer'"
            )
        scheme, token = header.split(None, 1)
        if scheme.lower() != "bearer":
            raise errors.unauthorized("Authorization scheme must be 'Bearer'")
        app = self.store.apps.get(token.strip())
        if app is None or app.key_refused:
            raise errors.unauthorized("Access token is invalid")
        if not app.enabled:
            raise errors.forbidden("The app's API service has been disabled.")
        return app


class Call:
    """One request of an authorized app."""

    def __init__(self, *, request: Request, server: DifyServer, app: DifyApp) -> None:
        self.request = request
        self.server = server
        self.app = app
        self.version = server.version

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    @property
    def query_user(self) -> str:
        return self.query.get("user") or DEFAULT_USER

    def path_text(self, name: str) -> str:
        return str(self.request.path_params[name])

    async def json_body(self) -> Json:
        """The object of a JSON body; DifyError 415 or 400 as flask answers."""
        content_type = self.request.headers.get("content-type", "")
        if not content_type.startswith("application/json"):
            raise errors.not_json()
        try:
            body = json.loads(await self.request.body())
        except ValueError as err:
            raise errors.broken_json() from err
        return body if isinstance(body, dict) else {}

    def answer(self, body: object, *, status: int = 200) -> Response:
        return JSONResponse(body, status_code=status, headers=self.version.headers)

    def empty(self, *, status: int) -> Response:
        headers = {**self.version.headers, "Content-Type": "application/json"}
        response = Response(status_code=status, headers=headers)
        if status == 204 and "content-length" in response.headers:
            del response.headers["content-length"]
        return response

    def need_chat_mode(self) -> None:
        if self.app.mode not in CHAT_MODES:
            raise errors.wrong_mode("not_chat_app")

    def need_flow_mode(self) -> None:
        if self.app.mode not in FLOW_MODES:
            raise errors.wrong_mode("not_workflow_app")

    def conversation(
        self, conversation_id: str, *, user: str, hint: bool = True
    ) -> DifyConversation:
        row = self.server.store.find_conversation(
            conversation_id, app=self.app, user=user
        )
        if row is None:
            raise errors.no_conversation(hint=hint)
        return row

    def limit(self, *, default: int = 20) -> int:
        text = self.query.get("limit", "")
        return min(max(int(text), 1), 100) if text.isdigit() else default


def user_of(body: Json) -> str:
    """``user`` as text; DifyError 400 without one."""
    user = body.get("user")
    if user is None or user == "":
        raise errors.invalid_param("Arg user must be provided.")
    return str(user)


Endpoint = Callable[[Call], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """Collects routes; every one gets the key check and Dify's error bodies."""

    def __init__(self, server: DifyServer) -> None:
        self.server = server
        self.endpoints: dict[str, dict[str, Endpoint]] = {}

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        self.endpoints.setdefault(path, {})[method] = endpoint

    def routes(self) -> list[Route]:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route(f"{BASE}{path}", self._handler(table), methods=methods)
            for path, table in self.endpoints.items()
        ]

    def _handler(self, table: dict[str, Endpoint]) -> Handler:
        async def handle(request: Request) -> Response:
            server = self.server
            try:
                method = "GET" if request.method == "HEAD" else request.method
                endpoint = table.get(method)
                if endpoint is None:
                    text = "The method is not allowed for the requested URL."
                    raise errors.DifyError(405, "method_not_allowed", text)
                app = server.authorize(request.headers.get("authorization"))
                return await endpoint(Call(request=request, server=server, app=app))
            except errors.DifyError as err:
                return err.response(version=server.version, path=request.url.path)

        return handle
