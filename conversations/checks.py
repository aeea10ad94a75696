"""System checks about settings that must fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

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
