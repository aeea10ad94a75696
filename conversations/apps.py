"""The Django app that holds the flow."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConversationsConfig(AppConfig):
    """Events, turns, runs, bots."""

    name = "conversations"
    verbose_name = _("Bridge")

    def ready(self) -> None:
        """Register the system checks, and what has a history."""
        from conversations import checks  # noqa: F401, PLC0415 needs loaded models
        from conversations.configuration import history  # noqa: PLC0415

        history.register()
