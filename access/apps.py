"""Who may enter the admin, and do what there."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from access.roles import grant_after_migrate


class AccessConfig(AppConfig):
    """Hands out the roles' permissions after each `migrate`."""

    name = "access"
    verbose_name = _("Access")

    def ready(self) -> None:
        post_migrate.connect(grant_after_migrate, dispatch_uid="access.roles")
