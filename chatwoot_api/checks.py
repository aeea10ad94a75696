"""System checks about Chatwoot accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError

from chatwoot_api.models import ChatwootAccount


@register(Tags.database)
def unsigned_webhooks(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn about accounts that take webhooks from anybody (`check --database`)."""
    if not kwargs.get("databases"):
        return []
    try:
        accounts = list(ChatwootAccount.objects.filter(allow_unsigned=True))
    except DatabaseError:
        return []  # not migrated yet
    return [
        Warning(
            f"The Chatwoot account “{account}” accepts unsigned webhooks.",
            hint=(
                "Anybody who reaches the address can make the bot speak. Enter the "
                "agent bot's secret (Chatwoot 4.13+) or use the webhook token, then "
                "switch “accept unsigned webhooks” off."
            ),
            obj=account,
            id="chatwoot_api.W001",
        )
        for account in accounts
    ]
