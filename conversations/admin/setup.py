"""Set up a bot: a page of the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.admin.page import AdminPage


class SetupPage(AdminPage):
    """Set up a bot."""

    title = _("Set up a bot")
    permission_required = "conversations.add_bot"
    template_name = "admin/base.html"
