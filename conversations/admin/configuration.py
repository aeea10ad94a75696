"""Export and import: a page of the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.admin.page import AdminPage


class ConfigurationPage(AdminPage):
    """Export and import."""

    title = _("Export and import")
    permission_required = "conversations.view_bot"
    template_name = "admin/base.html"
