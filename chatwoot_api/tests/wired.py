"""A client of an account at chat.test, and what it sent."""

from __future__ import annotations

import json
from typing import Any

import responses

from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount

ROOT = "https://chat.test/api/v1/accounts/2"
ONE = f"{ROOT}/conversations/133"
BOT, ADMIN = "bot-t0ken", "admin-t0ken"
NOT_FOR_BOTS = {"error": "Access to this endpoint is not authorized for bots"}

Sent = tuple[str, str, str, Any]


def account_values(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "Shop",
        "key": "shop",
        "base_url": "https://chat.test",
        "account_id": 2,
        "bot_token": BOT,
        "admin_token": ADMIN,
    }
    return {**values, **fields}


def client(**fields: Any) -> ChatwootClient:
    return ChatwootClient(ChatwootAccount(**account_values(**fields)))


def sent(wire: responses.RequestsMock) -> list[Sent]:
    """Method, path below the account, token and decoded body of each request."""
    return [
        (
            str(call.request.method),
            str(call.request.url).removeprefix(ROOT),
            call.request.headers["api-access-token"],
            json.loads(call.request.body) if call.request.body else None,
        )
        for call in wire.calls
    ]
