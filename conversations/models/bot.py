"""Bots: which inboxes get which answers, when, and in whose voice."""

from __future__ import annotations

from uuid import uuid5

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.models.bot_settings import (
    ChoiceSettings,
    ContentSettings,
    CopilotSettings,
    LimitSettings,
    OccasionSettings,
    ProviderSettings,
)
from conversations.models.conversation import Conversation, ConversationStatus
from dify_api.models import DifyApp


class ReplyAs(models.TextChoices):
    """In which form an answer reaches Chatwoot."""

    MESSAGE = "message", _("message to the customer")
    PRIVATE_NOTE = "private_note", _("private note for the agents")
    BY_SUPPORT_MODE = "by_support_mode", _("as the customer chose: bot or human")


class OnNewMessage(models.TextChoices):
    """What a customer's message does that arrives while Dify is being asked."""

    QUEUE = "queue", _("answer first, then the new message")
    RESTART = "restart", _("stop, and answer all messages at once")


class IdleAction(models.TextChoices):
    """What becomes of a pending conversation in which nobody says anything."""

    OPEN = "open", _("open it for the humans")
    RESOLVE = "resolve", _("resolve it")


class DeletePolicy(models.TextChoices):
    """When Dify is to forget a conversation."""

    NEVER = "never", _("never")
    ON_RESOLVE = "on_resolve", _("when the conversation is resolved")
    AFTER_DAYS = "after_days", _("some days after its last use")
    WHEN_GONE = "when_gone", _("when the conversation was deleted in Chatwoot")


class UnknownNames(models.TextChoices):
    """What becomes of attributes and labels that Chatwoot does not define."""

    ACCEPT = "accept", _("written as they are")
    REFUSE = "refuse", _("refused")
    CREATE = "create", _("defined in Chatwoot first")


# How long a turn may collect messages, whatever the pauses between them.
MAX_DEBOUNCE_S = 60


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
        "conversation_token": "bridge.conversation_token",
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


class Bot(
    ProviderSettings,
    ChoiceSettings,
    CopilotSettings,
    ContentSettings,
    OccasionSettings,
    LimitSettings,
    models.Model,
):
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
    debounce_s = models.PositiveSmallIntegerField(
        _("wait for more messages, seconds"),
        default=0,
        db_default=0,
        validators=[MaxValueValidator(MAX_DEBOUNCE_S)],
        help_text=_(
            "Messages that follow each other faster than this get one answer. 0: "
            "answer at once. It never waits longer than 60 seconds or 20 messages."
        ),
    )
    on_new_message = models.CharField(
        _("a message during a run"),
        max_length=20,
        choices=OnNewMessage,
        default=OnNewMessage.QUEUE,
        db_default=OnNewMessage.QUEUE,
    )
    yields_to_assignee = models.BooleanField(
        _("silent while a human is assigned"),
        default=False,
        db_default=False,
        help_text=_(
            "Note that Chatwoot keeps last week's assignee when a resolved "
            "conversation comes back."
        ),
    )
    pause_attribute = models.CharField(
        _("pause attribute"),
        max_length=100,
        blank=True,
        default="bot_paused",
        db_default="bot_paused",
        help_text=_(
            "The bot is silent in conversations with this custom attribute set. Empty: "
            "no attribute does that."
        ),
    )
    pause_label = models.CharField(
        _("pause label"),
        max_length=100,
        blank=True,
        default="bot-paused",
        db_default="bot-paused",
        help_text=_(
            "The bot is silent in conversations with this label. Empty: no label does "
            "that."
        ),
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
    max_turn_minutes = models.PositiveSmallIntegerField(
        _("longest time to an answer, in minutes"),
        default=10,
        db_default=10,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text=_(
            "Counted from the first attempt. After it the customer is handed to the "
            "humans, with a note."
        ),
    )
    idle_hours = models.PositiveSmallIntegerField(
        _("end pending conversations after, hours"),
        default=0,
        db_default=0,
        help_text=_("Without any new message. 0: never."),
    )
    idle_action = models.CharField(
        _("ended how"),
        max_length=20,
        choices=IdleAction,
        default=IdleAction.OPEN,
        db_default=IdleAction.OPEN,
    )
    dify_delete_policy = models.CharField(
        _("delete Dify conversations"),
        max_length=20,
        choices=DeletePolicy,
        default=DeletePolicy.NEVER,
        db_default=DeletePolicy.NEVER,
        help_text=_(
            "Whatever is chosen but “never”, a conversation that was deleted in "
            "Chatwoot is deleted in Dify, too; that needs an administrator's token at "
            "the Chatwoot account."
        ),
    )
    dify_delete_after_days = models.PositiveSmallIntegerField(
        _("days until deletion"),
        default=30,
        db_default=30,
        validators=[MinValueValidator(1)],
        help_text=_("For “some days after its last use”."),
    )
    unknown_names = models.CharField(
        _("unknown attributes and labels"),
        max_length=20,
        choices=UnknownNames,
        default=UnknownNames.ACCEPT,
        db_default=UnknownNames.ACCEPT,
        help_text=_(
            "That a flow sets although Chatwoot does not define them. Defining them "
            "needs an administrator's token at the Chatwoot account."
        ),
    )
    strict_statuses = models.BooleanField(
        _("HTTP statuses for refusals"),
        default=False,
        db_default=False,
        help_text=_(
            "Off: a flow that asks for an unknown team gets HTTP 200 with “status”: "
            "“error”, which it can read. On: it gets HTTP 4xx, and Dify's node tries "
            "four times and then fails the run."
        ),
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
    language = models.CharField(
        _("language of the notes"),
        max_length=10,
        choices=settings.LANGUAGES,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "In which the bridge writes causes into notes to the agents. Empty: as "
            "LANGUAGE_CODE says."
        ),
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

    @property
    def statuses(self) -> frozenset[str]:
        """Return in which it may speak; on a trial run, in all where customers wait."""
        if self.shadow:
            return frozenset({ConversationStatus.PENDING, ConversationStatus.OPEN})
        return frozenset(self.speak_in_statuses)

    def rivals(self) -> list[Bot]:
        """Return other enabled bots that claim an inbox in just the same way.

        The oldest answers there. A bot for all inboxes beside one for a single inbox
        is a common and clear setting.
        """
        if not self.enabled:
            return []
        inboxes = list(self.inboxes.all())
        same = Q(inboxes__in=inboxes) if inboxes else Q(inboxes=None)
        rows = Bot.objects.filter(same, account=self.account_id, enabled=True)
        return list(rows.exclude(pk=self.pk).distinct().order_by("pk"))

    def dify_user(self, conversation: Conversation) -> str:
        """Return the one opaque `user` under which Dify knows the contact.

        A conversation without a contact is a user of its own.
        """
        contact_id = conversation.chatwoot_contact_id
        name = f"contact-{contact_id}"
        if contact_id is None:
            name = f"conversation-{conversation.chatwoot_conversation_id}"
        return f"chatwoot-{uuid5(self.account.namespace, name)}"
