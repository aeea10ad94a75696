"""What an operator sets at a bot beyond its basics, by what it is about.

Lists are texts with one entry per line: read, exported and compared as they are typed.
"""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from conversations.models.openai_server import OpenAIServer
from dify_api.models import DifyApp

# The providers that the bridge brings along; others stand in REPLY_PROVIDERS.
DIFY = "dify"
OPENAI = "openai"
SUPPORT_MODE_ATTRIBUTE = "support_mode"
BOT_VALUES = "bot\nai\nagent\nai agent\nassistant\nбот\nии\nии агент\nai агент"
HUMAN_VALUES = "human\noperator\nperson\nчеловек\nоператор\nсотрудник"
RESET_WORDS = "/reset\nstart over\nначать заново"
CONTEXT_TEMPLATE = "[{name}: {value}]"


class Greets(models.TextChoices):
    """When a bot says the opening statement of its Dify app."""

    NEVER = "never", _("never")
    CONVERSATION = "conversation", _("when a conversation starts")
    WIDGET = "widget", _("when the visitor opens the widget")


class OutsideHours(models.TextChoices):
    """What a bot does outside the inbox's business hours."""

    ANSWER = "answer", _("answer as always")
    SAY = "say", _("say so once, and leave it to the humans")
    SILENT = "silent", _("say nothing, and leave it to the humans")


class FormsGoTo(models.TextChoices):
    """Who fills in the form that a paused Dify flow waits for."""

    HAND_OVER = "hand_over", _("nobody: hand the conversation over")
    CUSTOMER = "customer", _("the customer")
    AGENT = "agent", _("an agent, by a private note")


class ProviderSettings(models.Model):
    """Who answers, if not a Dify app; see `conversations.providers`."""

    provider = models.CharField(
        _("answers come from"),
        max_length=50,
        default="dify",
        db_default="dify",
        help_text=_(
            "Dify, an OpenAI-compatible server, or a function that REPLY_PROVIDERS "
            "names."
        ),
    )
    openai_server = models.ForeignKey(
        OpenAIServer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="bots",
        verbose_name=_("OpenAI-compatible server"),
    )

    class Meta:
        abstract = True


class ChoiceSettings(models.Model):
    """How the customer's choice between bot and human is read."""

    support_mode_attribute = models.CharField(
        _("attribute with the customer's choice"),
        max_length=100,
        default=SUPPORT_MODE_ATTRIBUTE,
        db_default=SUPPORT_MODE_ATTRIBUTE,
        blank=True,
        help_text=_(
            "For “as the customer chose”. Looked up in the conversation's attributes "
            "first, then in the contact's."
        ),
    )
    support_mode_bot_values = models.TextField(
        _("values that mean the bot"),
        default=BOT_VALUES,
        db_default=BOT_VALUES,
        blank=True,
        help_text=_("One per line. Case and spaces do not matter."),
    )
    support_mode_human_values = models.TextField(
        _("values that mean a human"),
        default=HUMAN_VALUES,
        db_default=HUMAN_VALUES,
        blank=True,
        help_text=_("One per line. What stands in neither list means a human, too."),
    )

    class Meta:
        abstract = True


class CopilotSettings(models.Model):
    """What a bot does for the agents."""

    draft_notes = models.BooleanField(
        _("drafts for agents"),
        default=False,
        db_default=False,
        help_text=_(
            "While a human has the conversation, each customer message gets a draft "
            "answer as a private note."
        ),
    )
    shadow = models.BooleanField(
        _("trial run: notes only"),
        default=False,
        db_default=False,
        help_text=_(
            "Whatever else is set, the bot writes only notes, and the humans answer. "
            "The page “Drafts” then compares what it would have said with what they "
            "said."
        ),
    )
    command_word = models.CharField(
        _("notes that ask the bot begin with"),
        max_length=30,
        default="/ai",
        db_default="/ai",
        blank=True,
        help_text=_(
            "An agent's private note “/ai summarise” is answered by a note. Empty: no "
            "note is."
        ),
    )
    command_app = models.ForeignKey(
        DifyApp,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="command_bots",
        verbose_name=_("Dify app for such notes"),
        help_text=_("Empty: the bot's own app."),
    )
    dify_feedback = models.BooleanField(
        _("feedback to Dify"),
        default=True,
        db_default=True,
        help_text=_(
            "An agent's note “/good” or “/bad why”, and the customer's rating after "
            "the conversation, reach Dify as feedback on the bot's last answer."
        ),
    )

    class Meta:
        abstract = True


class ContentSettings(models.Model):
    """What a bot's messages are besides text, and how it reads voice."""

    transcriber = models.ForeignKey(
        OpenAIServer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="transcribing_bots",
        verbose_name=_("server for voice messages"),
        help_text=_(
            "Used where the Dify app has “speech to text” switched off. Empty: voice "
            "messages are then only mentioned."
        ),
    )
    transcript_notes = models.BooleanField(
        _("voice messages as notes"),
        default=True,
        db_default=True,
        help_text=_("What was understood is written down for the agents, too."),
    )
    split_answers = models.BooleanField(
        _("split long answers"),
        default=False,
        db_default=False,
        help_text=_(
            "At blank lines, never inside code, links or lists, into six messages at "
            "most."
        ),
    )
    suggested_questions = models.BooleanField(
        _("offer Dify's suggested questions"),
        default=False,
        db_default=False,
        help_text=_(
            "As buttons below the answer. Costs one more call of the model in Dify."
        ),
    )
    forms_go_to = models.CharField(
        _("forms of a flow are filled in by"),
        max_length=20,
        choices=FormsGoTo,
        default=FormsGoTo.HAND_OVER,
        db_default=FormsGoTo.HAND_OVER,
        help_text=_(
            "For Human Input nodes (Dify 1.14 and newer). A form that approves a "
            "refund is not for the customer."
        ),
    )
    form_minutes = models.PositiveIntegerField(
        _("time for a form, minutes"),
        default=30,
        db_default=30,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 60)],
        help_text=_("After it the conversation is handed over."),
    )
    form_reminder_minutes = models.PositiveIntegerField(
        _("reminder about a form after, minutes"),
        default=10,
        db_default=10,
        help_text=_("Once. 0: none."),
    )

    class Meta:
        abstract = True


class OccasionSettings(models.Model):
    """What a bot says or does besides answering."""

    greets = models.CharField(
        _("says Dify's opening statement"),
        max_length=20,
        choices=Greets,
        default=Greets.NEVER,
        db_default=Greets.NEVER,
    )
    outside_hours = models.CharField(
        _("outside the inbox's business hours"),
        max_length=20,
        choices=OutsideHours,
        default=OutsideHours.ANSWER,
        db_default=OutsideHours.ANSWER,
        help_text=_("As they are set at the inbox in Chatwoot."),
    )
    outside_hours_text = models.TextField(
        _("text outside business hours"),
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "Said at most once in 24 hours per conversation; while the inbox is closed "
            "also in place of the text on failure, which promises a colleague. Empty: "
            "the text on failure stays."
        ),
    )
    reset_words = models.TextField(
        _("words that begin anew"),
        blank=True,
        default=RESET_WORDS,
        # A bot of before has no text to answer them with, and would just be silent.
        db_default="",
        help_text=_(
            "One per line. A message of just these words makes the bot forget what was "
            "said. Case does not matter."
        ),
    )
    reset_text = models.TextField(
        _("text after beginning anew"),
        blank=True,
        default="Let us start over. How can I help?",
        db_default="",
        help_text=_("Empty: nothing is said."),
    )
    conversation_variables = models.JSONField(
        _("conversation variables"),
        default=dict,
        db_default={},
        blank=True,
        help_text=_(
            "Of a chatflow (Dify 1.8 and newer): its name → where its value comes "
            "from, like the inputs. Set before each run but the first."
        ),
    )
    context_template = models.TextField(
        _("changed values for old Dify versions"),
        blank=True,
        default=CONTEXT_TEMPLATE,
        db_default=CONTEXT_TEMPLATE,
        help_text=_(
            "Dify before 1.0 keeps the inputs of the first message. What has changed "
            "since is put in front of the question, each as {name} and {value}. Empty: "
            "nothing is."
        ),
    )

    class Meta:
        abstract = True


class LimitSettings(models.Model):
    """For whom a bot answers, and how much."""

    max_answers_per_hour = models.PositiveIntegerField(
        _("answers per conversation and hour"),
        default=0,
        db_default=0,
        help_text=_("0: no ceiling."),
    )
    max_tokens_per_day = models.PositiveBigIntegerField(
        _("tokens per day"), default=0, db_default=0, help_text=_("0: no ceiling.")
    )
    max_cost_per_day = models.DecimalField(
        _("cost per day"),
        max_digits=12,
        decimal_places=4,
        default=Decimal(0),
        db_default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("In the currency that Dify names. 0: no ceiling."),
    )
    ceiling_text = models.TextField(
        _("text at a ceiling"),
        blank=True,
        default="A colleague will go on from here.",
        db_default="",
        help_text=_(
            "Said to the customer before the humans take over. Empty: nothing is said."
        ),
    )
    allow_rules = models.TextField(
        _("only for"),
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "One rule per line: label:vip, attribute:plan=gold, phone:+49*, "
            "email:*@example.com. Empty: for everybody."
        ),
    )
    ignore_rules = models.TextField(
        _("never for"),
        blank=True,
        default="",
        db_default="",
        help_text=_("Rules as above; they come before those."),
    )
    test_only = models.BooleanField(
        _("test only"),
        default=False,
        db_default=False,
        help_text=_("The bot answers only the testers; all others get humans."),
    )
    test_rules = models.TextField(
        _("testers"),
        blank=True,
        default="",
        db_default="",
        help_text=_("Rules as above."),
    )

    class Meta:
        abstract = True
