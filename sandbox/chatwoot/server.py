"""The played Chatwoot as one object, and the wrapper around its endpoints."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.chatwoot import errors
from sandbox.chatwoot.auth import Caller, authenticate
from sandbox.chatwoot.lifecycle import Lifecycle
from sandbox.chatwoot.messages import Messages
from sandbox.chatwoot.records import Actor, Conversation, Message
from sandbox.chatwoot.rest_shapes import RestShapes
from sandbox.chatwoot.store import ChatwootStore, Row
from sandbox.json_types import Json
from sandbox.settings import Settings
from sandbox.wire_log import WireLog

ACCOUNT = "/api/v1/accounts/{account_id:int}"


class ChatwootServer:
    """State, rules and shapes of account 1."""

    def __init__(self, *, settings: Settings, wire_log: WireLog) -> None:
        self.settings = settings
        self.lifecycle = Lifecycle(settings=settings, wire_log=wire_log)
        self.messages = Messages(self.lifecycle)

    @property
    def store(self) -> ChatwootStore:
        return self.lifecycle.store

    @property
    def shapes(self) -> RestShapes:
        return RestShapes(self.store, payloads=self.lifecycle.payloads)

    def conversation(self, conversation_id: int) -> Conversation:
        return find(self.store.conversations, conversation_id)

    def set_typing(
        self, conversation: Conversation, *, actor: Actor, on: bool, is_private: bool
    ) -> None:
        """Show or hide the typing dots of ``actor``; there is no automatic off."""
        if on:
            conversation.typing[actor.kind] = actor.name
        else:
            conversation.typing.pop(actor.kind, None)
        payloads = self.lifecycle.payloads
        user = payloads.actor(kind=actor.kind, actor_id=actor.id) or {}
        event = f"conversation_typing_{'on' if on else 'off'}"
        self.lifecycle.sender.publish(
            event,
            build=lambda: payloads.typing_event(
                event, user=user, conversation=conversation, is_private=is_private
            ),
            store=self.store,
            inbox=self.store.inbox_of(conversation),
            conversation=conversation,
        )
        self.lifecycle.show(conversation)

    def message(self, conversation: Conversation, *, message_id: int) -> Message:
        message = find(self.store.messages, message_id)
        if message.conversation_id != conversation.id:
            raise errors.not_found()
        return message


class Call:
    """One REST request after authentication."""

    def __init__(
        self, *, request: Request, server: ChatwootServer, caller: Caller, body: Json
    ) -> None:
        self.request = request
        self.server = server
        self.caller = caller
        self.body = body

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    def path_id(self, name: str) -> int:
        return int(self.request.path_params[name])

    def conversation(self) -> Conversation:
        return self.server.conversation(self.path_id("conversation_id"))

    def parameters(self, wrapper: str) -> Json:
        """Fields given flat or, as Rails also takes them, below ``wrapper``."""
        inner = self.body.get(wrapper)
        return inner if isinstance(inner, dict) else self.body

    def page(self) -> int:
        text = self.query.get("page", "1")
        return max(int(text), 1) if text.isdigit() else 1


Endpoint = Callable[[Call], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


def find(rows: dict[int, Row], row_id: int) -> Row:
    """The row or ApiError 404."""
    row = rows.get(row_id)
    if row is None:
        raise errors.not_found()
    return row


class Router:
    """Collects routes; every one gets authentication and Chatwoot's error bodies."""

    def __init__(self, server: ChatwootServer) -> None:
        self.server = server
        self.routes: list[Route] = []

    def add(
        self, method: str, path: str, endpoint: Endpoint, *, admin_only: bool = False
    ) -> None:
        handler = self._wrap(endpoint, admin_only=admin_only)
        self.routes.append(Route(f"{ACCOUNT}{path}", handler, methods=[method]))

    def _wrap(self, endpoint: Endpoint, *, admin_only: bool) -> Handler:
        name = endpoint.__name__

        @functools.wraps(endpoint)
        async def handle(request: Request) -> Response:
            try:
                caller = authenticate(
                    request,
                    store=self.server.store,
                    settings=self.server.settings,
                    endpoint=name,
                    admin_only=admin_only,
                )
                call = Call(
                    request=request,
                    server=self.server,
                    caller=caller,
                    body=await json_body(request),
                )
                return await endpoint(call)
            except errors.ApiError as err:
                return err.response()

        return handle


async def json_body(request: Request) -> Json:
    """The JSON object of the body; empty without one; ApiError 400 when broken."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return {}
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError as err:
        raise errors.ApiError(400, {"status": 400, "error": "Bad Request"}) from err
    return body if isinstance(body, dict) else {"_json": body}
