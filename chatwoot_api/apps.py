"""The Django app that holds what belongs to Chatwoot."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatwootApiConfig(AppConfig):
    """Accounts, inboxes, webhooks and the client."""

    name = "chatwoot_api"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Chatwoot")

    def ready(self) -> None:
        """Register the system checks."""
        from chatwoot_api import checks  # noqa: F401, PLC0415 needs loaded models
