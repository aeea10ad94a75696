"""Alerts: whom to tell of what, and what was told."""

from __future__ import annotations

from django.contrib import admin

from bridge_project.lib.admin_base import BridgeAdmin, ReadOnlyAdmin
from conversations.models import Alert, AlertChannel


@admin.register(AlertChannel)
class AlertChannelAdmin(BridgeAdmin[AlertChannel]):
    """Places that are told of trouble."""


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    """What was told, and when it was over."""
