"""Bots: which inboxes get which answers, when, and in whose voice."""

from __future__ import annotations

from uuid import uuid5

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.models.conversation import Conversation, ConversationStatus
from dify_api.models import DifyApp


class ReplyAs(models.TextChoices):
    """In which form an answer reaches Chatwoot."""

    MESSAGE = "message", _("message to the customer")
    PRIVATE_NOTE = "private_note", _("private note for the agents")


def default_statuses() -> list[str]:
    """Return the statuses in which Chatwoot leaves a conversation to its bot."""
    return [ConversationStatus.PENDING]


def default_inputs() -> dict[str, str]:
    """Return the inputs that Dify apps written for such a bridge declare."""
    return {
        "chatwoot_conversation_id": "conversation.id",
        "conversation_id": "conversation.id",
        "status": "conversation.status",
        "conversation_status": "conversation.status",
        "message_direction": "message.direction",
        "inbox_id": "inbox.id",
        "inbox_name": "inbox.name",
        "channel": "conversation.channel",
        "contact_id": "contact.id",
        "contact_name": "contact.name",
        "language": "contact.language",
        "labels": "conversation.labels",
        "priority": "conversation.priority",
        "team": "conversation.team",
        "assignee": "conversation.assignee",
        "custom_attributes": "conversation.custom_attributes",
        "contact_attributes": "contact.custom_attributes",
        "bridge_api_url": "bridge.api_url",
    }


class BotQuerySet(models.QuerySet["Bot"]):
    """What the flow asks of bots."""

    def for_inbox(self, inbox: Inbox) -> Bot | None:
        """Return the bot that owns the inbox, switched on or not.

        A bot that names the inbox comes before one that takes all; an enabled one
        before a disabled one; of two equals the older one.
        """
        candidates = (
            self.filter(account=inbox.account_id)
            .filter(Q(inboxes=inbox) | Q(inboxes=None))
            .select_related("dify_app")
            .annotate(names_it=models.Count("inboxes"))
            .order_by("-enabled", "-names_it", "pk")
        )
        return candidates.first()


class Bot(models.Model):
    """Joins inboxes of one Chatwoot account to a Dify app; edited in the admin."""

    name = models.CharField(_("name"), max_length=100)
    enabled = models.BooleanField(
        _("switched on"),
        default=True,
        help_text=_("Switched off, it opens conversations for the humans instead."),
    )
    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="bots",
        verbose_name=_("Chatwoot account"),
    )
    inboxes = models.ManyToManyField(
        Inbox,
        blank=True,
        related_name="bots",
        verbose_name=_("inboxes"),
        help_text=_("None chosen: all inboxes of the account."),
    )
    dify_app = models.ForeignKey(
        DifyApp,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="bots",
        verbose_name=_("Dify app"),
    )
    reply_as = models.CharField(
        _("answers as"), max_length=20, choices=ReplyAs, default=ReplyAs.MESSAGE
    )
    speak_in_statuses = ArrayField(
        models.CharField(max_length=20, choices=ConversationStatus),
        default=default_statuses,
        verbose_name=_("speaks in statuses"),
        help_text=_("Chatwoot hands a conversation to its bot as “pending”."),
    )
    inputs = models.JSONField(
        _("inputs"),
        default=default_inputs,
        blank=True,
        help_text=_(
            "Dify input name → where its value comes from, for example "
            '{"language": "contact.language"}. Only inputs that the app declares '
            "are sent. docs/inputs.md lists the sources."
        ),
    )
    new_dify_conversation_after_resolve = models.BooleanField(
        _("forget after resolve"),
        default=True,
        help_text=_(
            "Once the conversation is resolved, the next message starts a new Dify "
            "conversation."
        ),
    )
    max_message_age_s = models.PositiveIntegerField(
        _("oldest message to answer, in seconds"),
        default=6 * 3600,
        validators=[MinValueValidator(60)],
        help_text=_("Older messages, found after an outage, are handed to the humans."),
    )
    failure_public_text = models.TextField(
        _("text to the customer on failure"),
        blank=True,
        default="Sorry, I cannot answer right now. A colleague will take over.",
        help_text=_("Empty: the customer is told nothing."),
    )
    failure_private_text = models.TextField(
        _("note to the agents on failure"),
        blank=True,
        default="The bot could not answer: {cause}",
        help_text=_("{cause} is replaced by the reason. Empty: no note."),
    )
    created_at = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = BotQuerySet.as_manager()

    class Meta:
        verbose_name = _("bot")
        verbose_name_plural = _("bots")

    def __str__(self) -> str:
        return self.name

    def dify_user(self, conversation: Conversation) -> str:
        """Return the one opaque `user` under which Dify knows the contact.

        A conversation without a contact is a user of its own.
        """
        contact_id = conversation.chatwoot_contact_id
        name = f"contact-{contact_id}"
        if contact_id is None:
            name = f"conversation-{conversation.chatwoot_conversation_id}"
        return f"chatwoot-{uuid5(self.account.namespace, name)}"
