"""The Django app that holds the flow."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from conversations import embedding


class ConversationsConfig(AppConfig):
    """Events, turns, runs, bots."""

    name = "conversations"
    verbose_name = _("Bridge")
    # Another project may have another default.
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: Any) -> None:
        """Before any model is loaded: in other projects, settings may be missing."""
        super().__init__(app_name, app_module)
        embedding.set_defaults()

    def ready(self) -> None:
        """Register the system checks, and what has a history."""
        from conversations import checks  # noqa: F401, PLC0415 needs loaded models
        from conversations.configuration import history  # noqa: PLC0415

        history.register()
