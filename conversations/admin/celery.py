"""Workers and queue: a page of the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.admin.page import AdminPage


class CeleryPage(AdminPage):
    """Workers and queue."""

    title = _("Workers and queue")
    permission_required = "django_celery_results.view_taskresult"
    template_name = "admin/base.html"
