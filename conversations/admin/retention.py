"""How long the bridge keeps what it stored, account by account."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import BridgeAdmin
from conversations.models import Retention


@admin.register(Retention)
class RetentionAdmin(BridgeAdmin[Retention]):
    """One row per account; an account without one has the defaults."""

    list_display = ("account", "payloads", "texts", "history")
    list_display_links = ("account",)
    sortable_by = ()
    ordering = ("account__name", "pk")
    list_before_template = "admin/conversations/list_note.html"
    list_note = format_lazy(
        _(
            "An account without a row here has the defaults: webhooks as received are "
            "kept for {payload_days} days, events and runs with their texts for "
            "{history_days} days. A row sets other limits for its account."
        ),
        payload_days=Retention().payload_days,
        history_days=Retention().history_days,
    )
    fieldsets = (
        (
            None,
            {
                "description": _(
                    "Counted from when something was received or made. Shorter limits "
                    "take effect within the hour, and what was deleted does not come "
                    "back. Webhooks are emptied at the shortest of the three limits, "
                    "since they hold the same texts. Ids stay as long as anything may "
                    "be left in Dify."
                ),
                "fields": ("account", "payload_days", "text_days", "history_days"),
            },
        ),
    )

    @admin.display(description=_("webhooks as received, days"))
    def payloads(self, row: Retention) -> str:
        return str(row.payload_days)

    @admin.display(description=_("texts, days"))
    def texts(self, row: Retention) -> str:
        if row.text_days is None:
            return gettext("as long as events and runs")
        return str(row.text_days)

    @admin.display(description=_("events and runs, days"))
    def history(self, row: Retention) -> str:
        return str(row.history_days)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Retention | None = None
    ) -> tuple[str, ...]:
        """The account stays: what was emptied so far is noted for it."""
        return () if obj is None else ("account",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Retention]:
        return super().get_queryset(request).select_related("account")
