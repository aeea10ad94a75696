"""Rows and payloads for tests; every argument may be overridden."""

from __future__ import annotations

import itertools
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.models import (
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    Turn,
    WebhookEvent,
)
from dify_api.models import DifyApp

CHATWOOT = "https://chat.test"
DIFY = "https://dify.test"
SECRET = "a-webhook-secret"

_numbers = itertools.count(1)


def make_account(**overrides: Any) -> ChatwootAccount:
    number = next(_numbers)
    values: dict[str, Any] = {
        "name": "Nordlicht Outdoor",
        "key": f"account-{number}",
        "base_url": CHATWOOT,
        "account_id": 2,
        "bot_token": "the-bot-token",
        "admin_token": "the-admin-token",
        "webhook_secret": SECRET,
    }
    return ChatwootAccount.objects.create(**{**values, **overrides})


def make_app(**overrides: Any) -> DifyApp:
    values: dict[str, Any] = {
        "name": "Support flow",
        "base_url": DIFY,
        "api_key": "app-the-dify-key-000",
        "mode": "chat",
        "parameters": {"user_input_form": [], "file_upload": {}},
        "parameters_read_at": timezone.now(),
    }
    return DifyApp.objects.create(**{**values, **overrides})


def make_bot(account: ChatwootAccount | None = None, **overrides: Any) -> Bot:
    values: dict[str, Any] = {"name": "Nordbot", "account": account or make_account()}
    if "dify_app" not in overrides:
        values["dify_app"] = make_app()
    return Bot.objects.create(**{**values, **overrides})


def app_of(bot: Bot) -> DifyApp:
    """The Dify app of a bot that has one."""
    assert bot.dify_app is not None
    return bot.dify_app


def make_conversation(bot: Bot, **overrides: Any) -> Conversation:
    inbox = Inbox.objects.remember(
        bot.account,
        chatwoot_id=11,
        name="Website support",
        channel="Channel::WebWidget",
    )
    values: dict[str, Any] = {
        "account": bot.account,
        "chatwoot_conversation_id": 133,
        "inbox": inbox,
        "channel": "Channel::WebWidget",
        "status": "pending",
        "chatwoot_contact_id": 640,
        "contact_name": "misty-harbor-412",
        "last_customer_message_id": 9001,
    }
    return Conversation.objects.create(**{**values, **overrides})


def message_payload(sample: JsonObject, **overrides: Any) -> JsonObject:
    """Return a fresh copy of a message sample, written now, with other fields."""
    fresh = deepcopy(sample)
    fresh["created_at"] = datetime.now(UTC).isoformat()
    conversation = overrides.pop("conversation", {})
    fresh.update(overrides)
    nested = fresh["conversation"]
    assert isinstance(nested, dict)
    nested.update(conversation)
    return fresh


def make_event(
    account: ChatwootAccount, payload: JsonObject, **overrides: Any
) -> WebhookEvent:
    conversation = payload.get("conversation", payload)
    assert isinstance(conversation, dict)
    is_message = "conversation" in payload
    values: dict[str, Any] = {
        "account": account,
        "delivery_key": f"delivery-{next(_numbers)}",
        "name": payload["event"],
        "chatwoot_conversation_id": conversation.get("id"),
        "chatwoot_message_id": payload.get("id") if is_message else None,
        "payload": payload,
        "received_at": timezone.now(),
        "status": WebhookEvent.Status.RECEIVED,
    }
    return WebhookEvent.objects.create(**{**values, **overrides})


def make_turn(conversation: Conversation, bot: Bot, **overrides: Any) -> Turn:
    values: dict[str, Any] = {
        "conversation": conversation,
        "bot": bot,
        "last_message_id": 9001,
        "next_attempt_at": timezone.now() - timedelta(seconds=1),
    }
    return Turn.objects.create(**{**values, **overrides})


def make_memory(
    conversation: Conversation, app: DifyApp, **overrides: Any
) -> DifyConversation:
    """A Dify conversation of which the bridge knows; current unless `ended_at`."""
    values: dict[str, Any] = {
        "conversation": conversation,
        "app": app,
        "dify_conversation_id": f"dify-conversation-{next(_numbers)}",
        "dify_user": "chatwoot-somebody",
    }
    return DifyConversation.objects.create(**{**values, **overrides})


def make_callback(bot: Bot, **overrides: Any) -> Callback:
    """A finished callback of a bot's flow: it assigned a team."""
    values: dict[str, Any] = {
        "account": bot.account,
        "bot": bot,
        "caller": Callback.Caller.BOT_TOKEN,
        "operation": "assign_team",
        "arguments": {"team": "billing"},
        "before": {"team": "Sales"},
        "after": {"team": "Billing"},
        "status": Callback.Status.SUCCESS,
        "message": "The team is Billing now.",
        "answer": {"status": "success", "team": "Billing", "team_id": 3},
        "http_status": 200,
        "calls": [
            {
                "method": "POST",
                "path": "/api/v1/accounts/2/conversations/133/assignments",
                "status": 200,
                "ms": 84,
                "error": "",
            }
        ],
        "duration_ms": 120,
    }
    return Callback.objects.create(**{**values, **overrides})
