"""The Django app of the Dify side."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DifyApiConfig(AppConfig):
    """`dify_api` in INSTALLED_APPS."""

    name = "dify_api"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Dify")
