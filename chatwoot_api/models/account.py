"""Chatwoot accounts: their address, tokens and health."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Self
from uuid import uuid4

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import EncryptedTextField, Unreadable
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import Health as Health
from bridge_project.lib.health import HealthQuerySet, WithHealth, describe
from chatwoot_api.refusals import Blocked, TokenRefused


def new_webhook_token() -> str:
    """Return a token that nobody guesses, fit for a URL."""
    return secrets.token_urlsafe(32)


class ChatwootAccountQuerySet(HealthQuerySet["ChatwootAccount"]):
    """What happens to Chatwoot accounts.

    `health` is that of the bot's token; the administrator's has a column of its own,
    since the bot can answer without it.
    """

    def to_probe(self, now: datetime) -> Self:
        """Leave the accounts with a refused token whose next check is due."""
        refused = Q(health=Health.REFUSED) | Q(admin_token_refused_at__isnull=False)
        due = Q(next_probe_at=None) | Q(next_probe_at__lte=now)
        return self.filter(refused & due)

    def note(self, err: BridgeError) -> int:
        """Note a failed call, if it tells of the service or of a token."""
        if isinstance(err, TokenRefused):
            return self.note_refusal(err)
        if isinstance(err, Blocked):
            return self.mark_failing(describe(err))
        return super().note(err)

    def note_refusal(self, err: TokenRefused) -> int:
        """Note which token Chatwoot refused.

        An error that only repeats an older refusal is no news: it would put off the
        next check for ever.
        """
        if err.status is None:
            return 0
        if err.token == "bot":
            return self.mark_refused(describe(err))
        now = timezone.now()
        # While the bot's token is refused, too, `last_error` tells of that.
        self.usable().filter(admin_token_refused_at=None).update(
            last_error=describe(err), last_error_at=now
        )
        return self.filter(admin_token_refused_at=None).update(
            admin_token_refused_at=now, updated_at=now
        )

    def mark_admin_ok(self) -> int:
        """Note that Chatwoot accepts the administrator's token."""
        return self.exclude(admin_token_refused_at=None).update(
            admin_token_refused_at=None, updated_at=timezone.now()
        )


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
    admin_token_refused_at = models.DateTimeField(
        _("administrator token refused"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Since then only the bot's token is used; a probe tries again."),
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
    mirrored_at = models.DateTimeField(
        _("teams and attributes read"),
        null=True,
        blank=True,
        editable=False,
        help_text=_(
            "When teams, agents, labels, attributes and inboxes were last read from "
            "Chatwoot."
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

    @property
    def has_token(self) -> bool:
        """Tell whether anything can be read from Chatwoot or posted there."""
        tokens = (self.bot_token, self.admin_token)
        # One that no key reads is there all the same.
        return any(token or isinstance(token, Unreadable) for token in tokens)

    def secrets(self) -> tuple[str, ...]:
        """Return the signing secrets that are valid now."""
        known = (
            self.webhook_secret,
            self.previous_webhook_secret,
            self.account_webhook_secret,
        )
        return tuple(secret for secret in known if secret)

    def forget_health(self) -> None:
        """Give other tokens or another address a new chance; the caller saves."""
        super().forget_health()
        self.admin_token_refused_at = None

    def server_url(self) -> str:
        """Return the server's address without a slash or `/api/v1` at its end."""
        return self.base_url.rstrip("/").removesuffix("/api/v1").rstrip("/")

    def conversation_url(self, chatwoot_conversation_id: int) -> str:
        """Return the address at which an agent sees the conversation."""
        return (
            f"{self.server_url()}/app/accounts/{self.account_id}"
            f"/conversations/{chatwoot_conversation_id}"
        )
