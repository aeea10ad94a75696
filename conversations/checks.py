"""System checks about settings that must fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from conversations import providers
from dify_api.models import MAX_TOTAL_TIMEOUT_S

# A run also waits for Chatwoot, and for its turn in the worker.
MARGIN_S = 600


@register()
def redelivery_after_longest_run(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Refuse a visibility timeout in which a run may still be alive."""
    timeout_s = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    if timeout_s >= MAX_TOTAL_TIMEOUT_S + MARGIN_S:
        return []
    return [
        Error(
            "Redis would deliver a task again while its run is still alive.",
            hint=(
                "Set visibility_timeout in CELERY_BROKER_TRANSPORT_OPTIONS to at "
                f"least {MAX_TOTAL_TIMEOUT_S + MARGIN_S} s."
            ),
            id="conversations.E001",
        )
    ]


@register()
def providers_can_be_asked(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Refuse names in REPLY_PROVIDERS that a bot could be given in vain."""
    return [
        Error(
            f"REPLY_PROVIDERS, “{name}”: {problem}",
            hint=(
                "Write it as name=package.module.function; docs/providers.md says what "
                "the function takes and returns."
            ),
            id="conversations.E004",
        )
        for name, problem in providers.problems()
    ]


@register(Tags.security, deploy=True)
def keys_are_set(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Refuse production without the keys that protect the stored tokens."""
    if settings.FIELD_ENCRYPTION_KEYS:
        return []
    return [
        Error(
            "FIELD_ENCRYPTION_KEYS is empty, so no token can be stored.",
            hint=(
                "Make a key with `python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'`."
            ),
            id="conversations.E002",
        )
    ]


@register(Tags.security)
def callers_are_known(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn while callbacks need no token; refuse a setting that means nothing."""
    if settings.CALLBACK_AUTH == "token":
        return []
    if settings.CALLBACK_AUTH != "none":
        return [
            Error(
                f"CALLBACK_AUTH is {settings.CALLBACK_AUTH!r}, which means nothing.",
                hint='Set it to "token", or leave it out. "none" asks for no token.',
                id="conversations.E003",
            )
        ]
    return [
        Warning(
            "Callbacks need no token (CALLBACK_AUTH=none): whoever reaches the bridge "
            "can read and change every conversation and write to customers.",
            hint=(
                "Make a callback token on each bot's page, put it into the flows, then "
                "set CALLBACK_AUTH=token. Until then let nobody but Dify reach "
                "/api/v1/."
            ),
            id="conversations.W001",
        )
    ]
