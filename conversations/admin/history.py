"""Changes of the configuration: who, what, when, from what to what."""

from __future__ import annotations

import auditlog.admin  # noqa: F401 registers what is replaced below
from auditlog.models import LogEntry
from django.contrib import admin

from bridge_project.lib.admin_base import ReadOnlyAdmin

admin.site.unregister(LogEntry)


@admin.register(LogEntry)
class HistoryAdmin(ReadOnlyAdmin[LogEntry]):
    """One change of one setting's row."""
