"""The closed list of what the bridge does with an event or a turn, and why."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Action(models.TextChoices):
    """What was decided about an event."""

    ANSWER = "answer", _("answer")
    HAND_OVER = "hand_over", _("hand to a human")
    IGNORE = "ignore", _("ignore")


class Reason(models.TextChoices):
    """Why it was decided, or how a turn ended. Stored; never rename a value."""

    # An event that is answered.
    CUSTOMER_MESSAGE = "customer_message", _("a customer's message")
    CUSTOMER_CHOICE = "customer_choice", _("a customer's choice or form")
    DRAFT_WANTED = "draft_wanted", _("a human has it; the bot drafts an answer")
    AGENT_ASKED = "agent_asked", _("an agent asked the bot")
    RESET = "reset", _("the customer began anew")
    GREETING = "greeting", _("the conversation begins")
    FORM_ANSWERED = "form_answered", _("an answer to a flow's form")
    # Events that are no message: they only update what we know of the conversation.
    CONVERSATION_EVENT = "conversation_event", _("only news about the conversation")
    TYPING = "typing", _("somebody is typing")
    CONTACT_EVENT = "contact_event", _("only news about the contact")
    WIDGET_OPENED = "widget_opened", _("the visitor opened the widget")
    MESSAGE_UPDATED = "message_updated", _("a known message changed")
    AUTOMATION_EVENT = "automation_event", _("from an automation rule or macro")
    UNKNOWN_EVENT = "unknown_event", _("an event that the bridge does not know")
    UNKNOWN_ACCOUNT = "unknown_account", _("from a Chatwoot account not set up here")
    # Messages that nobody has to answer.
    PRIVATE_NOTE = "private_note", _("a private note")
    OWN_MESSAGE = "own_message", _("the bot's own message")
    OTHER_BOT = "other_bot", _("another bot's message")
    HUMAN_REPLY = "human_reply", _("a human agent's reply")
    AUTOMATION_MESSAGE = "automation_message", _("sent by an automation or campaign")
    WIDGET_MESSAGE = "widget_message", _("the widget's own message")
    ACTIVITY = "activity", _("an activity line")
    DUPLICATE_MESSAGE = "duplicate_message", _("this message arrived before")
    FORM_DATA = "form_data", _("only what was entered into the chat's form")
    FEEDBACK = "feedback", _("feedback on an answer")
    # Customers' messages that are not answered.
    NO_BOT_FOR_INBOX = "no_bot_for_inbox", _("no bot answers this inbox")
    BOT_DISABLED = "bot_disabled", _("the bot is switched off")
    BOT_HAS_NO_APP = "bot_has_no_app", _("the bot has no Dify app")
    NO_CREDENTIALS = "no_credentials", _("Chatwoot's token is missing here")
    CONTACT_BLOCKED = "contact_blocked", _("the contact is blocked")
    STATUS_NOT_ALLOWED = (
        "status_not_allowed",
        _("the bot may not speak in the conversation's status"),
    )
    HUMAN_HAS_TAKEN_OVER = "human_has_taken_over", _("a human has answered since")
    HUMAN_IS_ASSIGNED = "human_is_assigned", _("a human is assigned")
    PAUSED = "paused", _("the bot is paused in this conversation")
    MESSAGE_DELETED = "message_deleted", _("the message was deleted")
    EMPTY_MESSAGE = "empty_message", _("nothing in the message to answer")
    TOO_OLD = "too_old", _("the message was too old to answer")
    NOT_FOR_CONTACT = "not_for_contact", _("the bot's rules leave it to the humans")
    OUTSIDE_HOURS = "outside_hours", _("outside business hours")
    CEILING_REACHED = "ceiling_reached", _("a ceiling of the bot is reached")
    # How a turn ended.
    TOOK_TOO_LONG = "took_too_long", _("there was no answer in time")
    ERASED = "erased", _("the contact was erased")
    ANSWERED = "answered", _("answered")
    ANSWERED_BY_FLOW = "answered_by_flow", _("the flow sent its own message")
    HANDED_OVER_BY_FLOW = (
        "handed_over_by_flow",
        _("the flow itself gave it to the humans"),
    )
    SUGGESTED = "suggested", _("suggested to the agents")
    NOTHING_TO_SAY = "nothing_to_say", _("the provider had nothing to say")
    ASKED_FOR_FORM = "asked_for_form", _("the flow's form was asked for")
    FORM_UNANSWERED = "form_unanswered", _("nobody answered the flow's form in time")
    PROVIDER_FAILED = "provider_failed", _("the reply provider could not answer")
    CONVERSATION_GONE = "conversation_gone", _("the conversation was deleted")
    EMPTY_ANSWER = "empty_answer", _("Dify gave an empty answer")
    DIFY_PAUSED = "dify_paused", _("the flow waits for a human's input")
    DIFY_STOPPED = "dify_stopped", _("the run was stopped before it had an answer")
    DIFY_FAILED = "dify_failed", _("Dify could not answer")
    CHATWOOT_FAILED = "chatwoot_failed", _("Chatwoot did not take the answer")
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        _("it cannot be known whether the answer arrived"),
    )
    CONFIGURATION = "configuration", _("the bridge's settings are incomplete")
    INTERNAL_ERROR = "internal_error", _("the bridge itself failed")
