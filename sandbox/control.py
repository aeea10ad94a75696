"""The control API under /_sandbox: for the page, for tests and for curious people."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox import control_chats, control_views
from sandbox.chatwoot.errors import ApiError
from sandbox.control_errors import ControlError
from sandbox.faults import BadFault
from sandbox.json_types import Json
from sandbox.settings import BadSetting
from sandbox.triggers import BadTrigger
from sandbox.world import World

BASE = "/_sandbox"
_COMMENT_EVERY_S = 15.0
_APP_SWITCHES = {
    "enabled": bool,
    "key_refused": bool,
    "published": bool,
    "file_upload": bool,
    "suggestions": bool,
    "speech_to_text": bool,
    "max_active_requests": int,
    "file_types": list,
    "file_extensions": list,
    "max_files": int,
}

Endpoint = Callable[[World, Request, Json], Awaitable[Response]]


def routes(world: World) -> list[Route]:
    table: list[tuple[str, str, Endpoint]] = [
        ("GET", "/health", health),
        ("POST", "/reset", reset),
        ("GET", "/overview", overview),
        ("GET", "/settings", get_settings),
        ("PATCH", "/settings", patch_settings),
        ("GET", "/stream", stream),
        ("GET", "/wire", list_wire),
        ("DELETE", "/wire", clear_wire),
        ("GET", "/wire/{entry_id:int}", show_wire),
        ("GET", "/faults", list_faults),
        ("POST", "/faults", order_fault),
        ("DELETE", "/faults", clear_faults),
        ("GET", "/triggers", list_triggers),
        ("POST", "/triggers", order_trigger),
        ("DELETE", "/triggers", clear_triggers),
        ("POST", "/drain", drain),
        ("POST", "/webhooks", create_webhook),
        ("PATCH", "/dify/apps/{mode}", patch_dify_app),
        ("GET", "/dify/conversations", list_dify_conversations),
        *control_chats.ENDPOINTS,
    ]
    return [
        Route(f"{BASE}{path}", _handler(world, endpoint), methods=[method])
        for method, path, endpoint in table
    ]


def _handler(
    world: World, endpoint: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    @functools.wraps(endpoint)
    async def handle(request: Request) -> Response:
        try:
            return await endpoint(world, request, await _body(request))
        except ApiError as err:
            return err.response()
        except (ControlError, BadSetting, BadFault, BadTrigger) as err:
            status = err.status if isinstance(err, ControlError) else 400
            return JSONResponse({"error": str(err)}, status_code=status)

    return handle


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw:
        return {}
    if not request.headers.get("content-type", "").startswith("application/json"):
        # Also keeps other web pages from steering the sandbox with plain forms.
        raise ControlError("Send JSON with Content-Type application/json.", status=415)
    try:
        body = json.loads(raw)
    except ValueError as err:
        raise ControlError(f"The body is not JSON: {err}.") from err
    if not isinstance(body, dict):
        raise ControlError("The body must be a JSON object.")
    return body


async def health(world: World, request: Request, body: Json) -> Response:
    return JSONResponse({"status": "ok"})


async def reset(world: World, request: Request, body: Json) -> Response:
    await world.reset()
    return JSONResponse({"status": "reset"})


async def overview(world: World, request: Request, body: Json) -> Response:
    return JSONResponse(control_views.overview(world))


async def get_settings(world: World, request: Request, body: Json) -> Response:
    return JSONResponse(world.settings.as_json())


async def patch_settings(world: World, request: Request, body: Json) -> Response:
    """Any of the settings, and ``secret`` for the seeded bot's signing secret."""
    changes = dict(body)
    secret = changes.pop("secret", None)
    world.change_settings(changes)
    if secret is not None:
        world.set_secret(str(secret))
    world.wire_log.publish({"type": "settings"})
    return JSONResponse(world.settings.as_json())


async def stream(world: World, request: Request, body: Json) -> Response:
    """Server-sent events for the page: wire entries and changed conversations."""

    async def frames() -> AsyncIterator[str]:
        with world.wire_log.listen() as queue:
            yield ": hello\n\n"
            while not world.closing.has_begun:
                try:
                    news = await asyncio.wait_for(queue.get(), _COMMENT_EVERY_S)
                except TimeoutError:
                    yield ": still here\n\n"
                else:
                    yield f"data: {json.dumps(news)}\n\n"

    headers = {"Cache-Control": "no-store"}
    return StreamingResponse(frames(), media_type="text/event-stream", headers=headers)


# Wire log.


async def list_wire(world: World, request: Request, body: Json) -> Response:
    """Filters: direction, method, path, text, status, after_id; brief=1: no bodies."""
    query = request.query_params
    rows = world.wire_log.find(
        direction=query.get("direction", ""),
        method=query.get("method", ""),
        path=query.get("path", ""),
        text=query.get("text", ""),
        status=_number(query.get("status")),
        after_id=_number(query.get("after_id")) or 0,
    )
    brief = query.get("brief") == "1"
    entries = [row.brief() if brief else row.full() for row in rows]
    return JSONResponse({"entries": entries})


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


async def show_wire(world: World, request: Request, body: Json) -> Response:
    entry_id = request.path_params["entry_id"]
    for row in world.wire_log.entries:
        if row.id == entry_id:
            return JSONResponse(row.full())
    raise ControlError("There is no such entry (any more).", status=404)


async def clear_wire(world: World, request: Request, body: Json) -> Response:
    world.wire_log.clear()
    world.wire_log.publish({"type": "wire_cleared"})
    return JSONResponse({"status": "cleared"})


# Faults.


async def list_faults(world: World, request: Request, body: Json) -> Response:
    return JSONResponse({"faults": [f.as_json() for f in world.faults.orders]})


async def order_fault(world: World, request: Request, body: Json) -> Response:
    try:
        fault = world.faults.order(body)
    except TypeError as err:
        raise BadFault(str(err)) from err
    return JSONResponse(fault.as_json(), status_code=201)


async def clear_faults(world: World, request: Request, body: Json) -> Response:
    world.faults.clear()
    return JSONResponse({"status": "cleared"})


# Triggers.


async def list_triggers(world: World, request: Request, body: Json) -> Response:
    return JSONResponse({"triggers": world.visits.triggers.as_json()})


async def order_trigger(world: World, request: Request, body: Json) -> Response:
    trigger = world.visits.triggers.order(body)
    return JSONResponse(asdict(trigger), status_code=201)


async def clear_triggers(world: World, request: Request, body: Json) -> Response:
    world.visits.triggers.clear()
    return JSONResponse({"status": "cleared"})


# Webhooks and Dify.


async def drain(world: World, request: Request, body: Json) -> Response:
    """Wait until no webhook is queued or under way, at most ``timeout_s`` seconds."""
    sender = world.chatwoot.lifecycle.sender
    timeout_s = float(body.get("timeout_s", 10))
    try:
        await asyncio.wait_for(sender.drain(), timeout=timeout_s)
    except TimeoutError:
        return JSONResponse({"pending": sender.pending}, status_code=504)
    return JSONResponse({"pending": 0})


async def create_webhook(world: World, request: Request, body: Json) -> Response:
    """An account webhook with a secret of one's choice (REST makes its own)."""
    webhook = world.chatwoot.lifecycle.new_webhook(
        name=str(body.get("name", "control")),
        url=str(body["url"]) if "url" in body else world.settings.webhook_url(),
        subscriptions=list(body.get("subscriptions", ["message_created"])),
        secret=str(body.get("secret", "sandbox-webhook-secret")),
    )
    shape = world.chatwoot.shapes.webhook(webhook)
    return JSONResponse(shape, status_code=201)


async def patch_dify_app(world: World, request: Request, body: Json) -> Response:
    """Switch an app off, refuse its key, unpublish it, limit it, change its form."""
    app = world.dify.store.app_of_mode(request.path_params["mode"])
    if app is None:
        raise ControlError("There is no app of this mode.", status=404)
    for name, value in body.items():
        if name == "user_input_form" and isinstance(value, list):
            app.form = value
        elif name in _APP_SWITCHES and type(value) is _APP_SWITCHES[name]:
            setattr(app, name, value)
        else:
            raise ControlError(f"{name} cannot be set to {value!r}.")
    return JSONResponse(control_views.dify_app(app))


async def list_dify_conversations(
    world: World, request: Request, body: Json
) -> Response:
    return JSONResponse({"conversations": control_views.dify_conversations(world)})
