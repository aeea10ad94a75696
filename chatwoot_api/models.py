"""Chatwoot accounts and what we mirror of their settings."""

from __future__ import annotations

import secrets
from uuid import uuid4

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField
from bridge_project.lib.health import Health as Health
from bridge_project.lib.health import HealthQuerySet, WithHealth


def new_webhook_token() -> str:
    """Return a token that nobody guesses, fit for a URL."""
    return secrets.token_urlsafe(32)


class ChatwootAccountQuerySet(HealthQuerySet["ChatwootAccount"]):
    """What happens to Chatwoot accounts."""


class ChatwootAccount(WithHealth):
    """One account of one Chatwoot server; made by `bootstrap` or in the admin."""

    # Names contacts to Dify (Bot.dify_user): never shown, never changed.
    namespace = models.UUIDField(default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    key = models.SlugField(
        _("key"),
        unique=True,
        help_text=_(
            "Ends the webhook address: /api/v1/chatwoot-webhook/KEY. Use that "
            "address when two Chatwoot servers use the same account number."
        ),
    )
    base_url = models.CharField(
        _("address"),
        max_length=500,
        validators=[
            RegexValidator(r"^https?://[^\s?#]+$", _("Begin with http:// or https://."))
        ],
        help_text=_("For example https://chat.example.com, without /api/v1."),
    )
    account_id = models.PositiveBigIntegerField(
        _("account number"),
        help_text=_("The number after /app/accounts/ in Chatwoot's address bar."),
    )
    bot_token = EncryptedTextField(
        _("bot token"),
        blank=True,
        help_text=_("The access token of the agent bot; it posts the answers."),
    )
    admin_token = EncryptedTextField(
        _("administrator token"),
        blank=True,
        help_text=_(
            "The access token of an administrator's profile; it reads what a bot may "
            "not: message history, teams, attributes."
        ),
    )
    webhook_secret = EncryptedTextField(
        _("webhook secret"),
        blank=True,
        help_text=_("The agent bot's secret, with which Chatwoot 4.13+ signs."),
    )
    previous_webhook_secret = EncryptedTextField(
        _("previous webhook secret"),
        blank=True,
        help_text=_("Still accepted while the secret is being replaced."),
    )
    account_webhook_secret = EncryptedTextField(
        _("account webhook's secret"),
        blank=True,
        help_text=_(
            "Only if an account webhook posts here, too: Chatwoot signs it with a "
            "secret of its own."
        ),
    )
    webhook_token = EncryptedTextField(
        _("webhook token"),
        blank=True,
        help_text=_(
            "For Chatwoot versions that cannot sign: append ?token=… with this value "
            "to the webhook address."
        ),
    )
    allow_unsigned = models.BooleanField(
        _("accept unsigned webhooks"),
        default=False,
        help_text=_(
            "Anybody who reaches the address can then make the bot speak. Only for "
            "closed networks."
        ),
    )
    # Fingerprints of what `manage.py bootstrap` wrote: what an operator has changed
    # since then differs, and is left alone.
    bootstrapped = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = ChatwootAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("Chatwoot account")
        verbose_name_plural = _("Chatwoot accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["base_url", "account_id"], name="chatwootaccount_address"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def secrets(self) -> tuple[str, ...]:
        """Return the signing secrets that are valid now."""
        known = (
            self.webhook_secret,
            self.previous_webhook_secret,
            self.account_webhook_secret,
        )
        return tuple(secret for secret in known if secret)

    def server_url(self) -> str:
        """Return the server's address without a slash or `/api/v1` at its end."""
        return self.base_url.rstrip("/").removesuffix("/api/v1").rstrip("/")

    def conversation_url(self, chatwoot_conversation_id: int) -> str:
        """Return the address at which an agent sees the conversation."""
        return (
            f"{self.server_url()}/app/accounts/{self.account_id}"
            f"/conversations/{chatwoot_conversation_id}"
        )


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
