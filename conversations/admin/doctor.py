"""Doctor: a page of the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.admin.page import AdminPage


class DoctorPage(AdminPage):
    """Doctor."""

    title = _("Doctor")
    permission_required = "conversations.view_bot"
    template_name = "admin/base.html"
