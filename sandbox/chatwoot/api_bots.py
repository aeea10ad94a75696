"""REST: the account, its agent bots, and which inbox has which."""

from __future__ import annotations

import secrets

from starlette.responses import JSONResponse, Response

from sandbox import times
from sandbox.chatwoot import errors
from sandbox.chatwoot.records import Bot
from sandbox.chatwoot.server import Call, Router, find


def register(router: Router) -> None:
    add = router.add
    add("GET", "", show_account)
    add("PATCH", "", update_account, admin_only=True)
    add("GET", "/inboxes/{id:int}/agent_bot", inbox_agent_bot)
    add("POST", "/inboxes/{id:int}/set_agent_bot", set_agent_bot, admin_only=True)
    add("GET", "/agent_bots", list_agent_bots)
    add("POST", "/agent_bots", create_agent_bot, admin_only=True)
    add("GET", "/agent_bots/{id:int}", show_agent_bot)
    add("PATCH", "/agent_bots/{id:int}", update_agent_bot, admin_only=True)
    add("DELETE", "/agent_bots/{id:int}", delete_agent_bot, admin_only=True)
    add("POST", "/agent_bots/{id:int}/reset_secret", reset_secret, admin_only=True)


# The account itself.


async def show_account(call: Call) -> Response:
    account = call.server.store.account
    keeps = call.server.settings.keep_pending_on_bot_failure
    return JSONResponse(
        {
            "settings": {"keep_pending_on_bot_failure": keeps},
            "created_at": times.iso(times.now()),
            "domain": None,
            "features": {},
            "id": account.id,
            "locale": "en",
            "name": account.name,
            "support_email": None,
            "status": "active",
        }
    )


async def update_account(call: Call) -> Response:
    account, body = call.server.store.account, call.body
    account.name = str(body.get("name", account.name))
    if "keep_pending_on_bot_failure" in body:
        keeps = body["keep_pending_on_bot_failure"]
        if keeps is not None and not isinstance(keeps, bool):
            raise errors.invalid_record("Settings are invalid", "settings")
        call.server.settings.keep_pending_on_bot_failure = bool(keeps)
    return await show_account(call)


async def inbox_agent_bot(call: Call) -> Response:
    inbox = find(call.server.store.inboxes, call.path_id("id"))
    bot = call.server.store.active_bot(inbox)
    shape = call.server.shapes.agent_bot(bot, caller=call.caller) if bot else {}
    return JSONResponse({"agent_bot": shape})


async def set_agent_bot(call: Call) -> Response:
    """null or absent disconnects."""
    inbox = find(call.server.store.inboxes, call.path_id("id"))
    wanted = call.body.get("agent_bot")
    inbox.bot_id = find(call.server.store.bots, int(wanted)).id if wanted else None
    return Response(status_code=200)


# Bots.


def _bot_shape(call: Call, bot: Bot) -> JSONResponse:
    return JSONResponse(call.server.shapes.agent_bot(bot, caller=call.caller))


async def list_agent_bots(call: Call) -> Response:
    shape = call.server.shapes.agent_bot
    rows = call.server.store.bots.values()
    return JSONResponse([shape(row, caller=call.caller) for row in rows])


async def create_agent_bot(call: Call) -> Response:
    store, fields = call.server.store, call.parameters("agent_bot")
    bot = Bot(
        id=store.next_row_id("bot", rows=store.bots),
        name=str(fields.get("name") or ""),
        description=str(fields.get("description") or ""),
        outgoing_url=str(fields.get("outgoing_url") or ""),
        access_token=secrets.token_urlsafe(18),
        secret=secrets.token_urlsafe(24),
    )
    store.bots[bot.id] = bot
    return _bot_shape(call, bot)


async def show_agent_bot(call: Call) -> Response:
    return _bot_shape(call, find(call.server.store.bots, call.path_id("id")))


async def update_agent_bot(call: Call) -> Response:
    bot = find(call.server.store.bots, call.path_id("id"))
    fields = call.parameters("agent_bot")
    for name in ("name", "description", "outgoing_url"):
        if name in fields:
            setattr(bot, name, str(fields[name] or ""))
    return _bot_shape(call, bot)


async def delete_agent_bot(call: Call) -> Response:
    """Its inboxes have no bot then."""
    bot = find(call.server.store.bots, call.path_id("id"))
    del call.server.store.bots[bot.id]
    for inbox in call.server.store.inboxes.values():
        if inbox.bot_id == bot.id:
            inbox.bot_id = None
    return Response(status_code=200)


async def reset_secret(call: Call) -> Response:
    bot = find(call.server.store.bots, call.path_id("id"))
    bot.secret = secrets.token_urlsafe(24)
    return _bot_shape(call, bot)
