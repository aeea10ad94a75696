"""The mirror of Chatwoot's inboxes."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

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
