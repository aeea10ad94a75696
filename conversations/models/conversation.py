"""The mirror of Chatwoot's conversations."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models.functions import Left
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount, Inbox

# What the search for a name looks at; a name may be of any length.
CONTACT_WORDS = SearchVector(Left("contact_name", 200), config="simple")


class ConversationStatus(models.TextChoices):
    """Chatwoot's four statuses."""

    OPEN = "open", _("open")
    PENDING = "pending", _("pending")
    RESOLVED = "resolved", _("resolved")
    SNOOZED = "snoozed", _("snoozed")


class Conversation(models.Model):
    """What we last heard of one Chatwoot conversation; written by `mirror`."""

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="conversations",
        verbose_name=_("account"),
    )
    chatwoot_conversation_id = models.PositiveBigIntegerField(
        _("number in Chatwoot"),
        help_text=_("The number that agents see (Chatwoot's display id)."),
    )
    inbox = models.ForeignKey(
        Inbox,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="conversations",
        verbose_name=_("inbox"),
    )
    channel = models.CharField(_("channel"), max_length=100, blank=True)
    status = models.CharField(
        _("status"), max_length=20, choices=ConversationStatus, blank=True
    )
    priority = models.CharField(_("priority"), max_length=20, blank=True)
    labels = ArrayField(
        models.TextField(), default=list, blank=True, verbose_name=_("labels")
    )
    chatwoot_contact_id = models.PositiveBigIntegerField(
        _("contact"), null=True, blank=True
    )
    contact_name = models.TextField(_("contact's name"), blank=True)
    contact_blocked = models.BooleanField(_("contact is blocked"), default=False)
    contact_custom_attributes = models.JSONField(
        _("contact's attributes"), default=dict, blank=True
    )
    contact_additional_attributes = models.JSONField(
        _("contact's additional attributes"), default=dict, db_default={}, blank=True
    )
    assignee_kind = models.CharField(_("assignee is a"), max_length=20, blank=True)
    chatwoot_assignee_id = models.PositiveBigIntegerField(
        _("assignee's number"), null=True, blank=True
    )
    assignee_name = models.TextField(_("assignee"), blank=True)
    chatwoot_team_id = models.PositiveBigIntegerField(
        _("team's number"), null=True, blank=True
    )
    team_name = models.TextField(_("team"), blank=True)
    custom_attributes = models.JSONField(
        _("custom attributes"), default=dict, blank=True
    )
    additional_attributes = models.JSONField(
        _("additional attributes"), default=dict, blank=True
    )
    # Message numbers grow over all conversations, so they order messages for certain;
    # their times do not.
    last_customer_message_id = models.PositiveBigIntegerField(default=0)
    last_customer_message_at = models.DateTimeField(
        _("last customer message"), null=True, blank=True
    )
    last_human_message_id = models.PositiveBigIntegerField(default=0)
    last_human_message_at = models.DateTimeField(
        _("last human reply"), null=True, blank=True
    )
    last_bot_message_at = models.DateTimeField(
        _("last bot answer"), null=True, blank=True
    )
    # Since when a customer's message is unanswered by bot and human; see `waiting`.
    waiting_since = models.DateTimeField(
        _("customer waits since"), null=True, blank=True
    )
    source_updated_at = models.DateTimeField(
        _("as of"),
        null=True,
        blank=True,
        help_text=_("Chatwoot's own time of the newest state that we saw."),
    )
    # Written by `pauses`, not by the mirror: Chatwoot knows nothing of it.
    paused = models.BooleanField(
        _("bot is paused"),
        default=False,
        db_default=False,
        help_text=_(
            "Switched on here; a label or attribute in Chatwoot does the same."
        ),
    )
    # When the slow sweep last asked Chatwoot whether it is still there.
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When `idle` last looked whether it is to be ended.
    idle_checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("first seen"), default=timezone.now)
    updated_at = models.DateTimeField(_("last seen"), auto_now=True)

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_conversation_id"],
                name="conversation_number",
            )
        ]
        indexes = [
            # The admin's list, newest first.
            models.Index(fields=["-updated_at"], name="conversation_recent"),
            # Ending what is idle: few conversations are pending at a time.
            models.Index(
                fields=["last_customer_message_at"],
                condition=models.Q(status="pending"),
                name="conversation_pending",
            ),
            # Customers who wait, the oldest first.
            models.Index(
                fields=["waiting_since"],
                condition=models.Q(waiting_since__isnull=False),
                name="conversation_waiting",
            ),
            # Where an operator paused the bot: few at a time.
            models.Index(
                fields=["-updated_at"],
                condition=models.Q(paused=True),
                name="conversation_paused",
            ),
            # Search by the contact's name, whole words and beginnings.
            GinIndex(
                CONTACT_WORDS,
                name="conversation_name_words",
            ),
            # Erasing a contact.
            models.Index(
                fields=["account", "chatwoot_contact_id"], name="conversation_contact"
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.chatwoot_conversation_id}"

    @property
    def chatwoot_url(self) -> str:
        """The page of the conversation in Chatwoot."""
        return self.account.conversation_url(self.chatwoot_conversation_id)
