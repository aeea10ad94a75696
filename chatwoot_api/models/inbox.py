"""The mirror of Chatwoot's inboxes."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonObject
from chatwoot_api.models.account import ChatwootAccount


class InboxQuerySet(models.QuerySet["Inbox"]):
    """What the flow asks of inboxes."""

    def remember(
        self, account: ChatwootAccount, *, chatwoot_id: int, name: str, channel: str
    ) -> Inbox:
        """Return the mirror row of an inbox; a name or channel that we see is kept."""
        inbox, created = self.get_or_create(
            account=account,
            chatwoot_inbox_id=chatwoot_id,
            defaults={"name": name, "channel": channel},
        )
        changed = [
            field
            for field, value in (("name", name), ("channel", channel))
            if not created and value and getattr(inbox, field) != value
        ]
        if changed:
            inbox.name, inbox.channel = name or inbox.name, channel or inbox.channel
            inbox.save(update_fields=changed)
        return inbox


class Inbox(models.Model):
    """An inbox of Chatwoot; written from the webhooks that name it."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="inboxes",
        verbose_name=_("account"),
    )
    chatwoot_inbox_id = models.PositiveBigIntegerField(_("number in Chatwoot"))
    name = models.CharField(_("name"), max_length=255, blank=True)
    channel = models.CharField(_("channel"), max_length=100, blank=True)
    # Business hours, as Chatwoot has them (reference/chatwoot.md section 5.6): seven
    # {day_of_week, closed_all_day, open_all_day, open_hour, open_minutes, close_hour,
    # close_minutes}, Sunday is 0.
    working_hours_enabled = models.BooleanField(
        _("has business hours"), default=False, db_default=False
    )
    working_hours = models.JSONField(
        _("business hours"), default=list, db_default=[], blank=True
    )
    timezone = models.CharField(
        _("time zone"), max_length=100, blank=True, default="", db_default=""
    )

    objects = InboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_inbox_id"], name="inbox_number"
            )
        ]

    def __str__(self) -> str:
        return self.name or f"#{self.chatwoot_inbox_id}"

    def keep_hours(
        self, *, enabled: bool, days: list[JsonObject], timezone: str
    ) -> None:
        """Take over the business hours, if they have changed."""
        known = (self.working_hours_enabled, self.working_hours, self.timezone)
        if known == (enabled, days, timezone):
            return
        self.working_hours_enabled = enabled
        self.working_hours, self.timezone = days, timezone
        self.save(update_fields=["working_hours_enabled", "working_hours", "timezone"])
