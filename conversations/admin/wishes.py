"""Teams, labels, attributes: a page of the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.admin.page import AdminPage


class WishesPage(AdminPage):
    """Teams, labels, attributes."""

    title = _("Teams, labels, attributes")
    permission_required = "chatwoot_api.view_wish"
    template_name = "admin/base.html"
