"""Chatwoot accounts and what we mirror of their settings; each file owns a table."""

from __future__ import annotations

from chatwoot_api.models.account import (
    ChatwootAccount,
    ChatwootAccountQuerySet,
    Health,
    new_webhook_token,
)
from chatwoot_api.models.agent import Agent
from chatwoot_api.models.attribute_definition import AttributeDefinition
from chatwoot_api.models.inbox import Inbox, InboxQuerySet
from chatwoot_api.models.label import Label
from chatwoot_api.models.team import Team
from chatwoot_api.models.wish import Wish

__all__ = [
    "Agent",
    "AttributeDefinition",
    "ChatwootAccount",
    "ChatwootAccountQuerySet",
    "Health",
    "Inbox",
    "InboxQuerySet",
    "Label",
    "Team",
    "Wish",
    "new_webhook_token",
]
