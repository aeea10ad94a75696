"""Jobs: the long work that operators started, its progress and its report."""

from __future__ import annotations

from django.contrib import admin

from bridge_project.lib.admin_base import ReadOnlyAdmin
from conversations.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin[Job]):
    """What was ordered, how far it is, what came of it."""
