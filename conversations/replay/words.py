"""What operators read about a replay: what would happen, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from conversations.models import Reason, Turn, WebhookEvent

ANSWER = _("The bot would answer.")
NOT_PROCESSED = _(
    "It was received, but not looked at yet: it is about to be processed. There is "
    "nothing to replay."
)
ERASED = _(
    "What the customer wrote is no longer stored: the contact was erased, or it was "
    "older than the retention. It cannot be answered."
)
UNREADABLE = _("The bridge cannot read this event, so there is nothing to answer.")

# A customer's message that gets no answer, whatever anybody forces: what to do instead.
INSTEAD: Mapping[str, Promise] = {
    Reason.EMPTY_MESSAGE: _("The message has neither text nor a file to answer."),
    Reason.NO_BOT_FOR_INBOX: _(
        "No bot answers the inbox of this conversation. Add the inbox to a bot first."
    ),
    Reason.BOT_DISABLED: _("The bot is switched off. Switch it on first."),
    Reason.BOT_HAS_NO_APP: _("The bot has no Dify app. Choose one at the bot first."),
    Reason.CONTACT_BLOCKED: _(
        "The contact is blocked in Chatwoot. Unblock the contact there first."
    ),
    Reason.PAUSED: _(
        "The bot is paused in this conversation. End the pause first; the "
        "conversation's page says what pauses it."
    ),
    Reason.HUMAN_IS_ASSIGNED: _(
        "A human is assigned, and this bot leaves the conversation to them. Remove the "
        "assignee in Chatwoot first."
    ),
    Reason.NOT_FOR_CONTACT: _(
        "The bot's rules leave this customer to the humans. Change the lists at the "
        "bot first."
    ),
    Reason.MESSAGE_DELETED: _(
        "The message was deleted in Chatwoot, so there is nothing to answer."
    ),
    Reason.UNKNOWN_ACCOUNT: _(
        "The event is from a Chatwoot account that is not set up here. Check the "
        "account's number, or add the account."
    ),
}
# What is written for the agents, and when it comes up: once more is not offered.
FOR_AGENTS: Mapping[str, Promise] = {
    Turn.Kind.DRAFT: _(
        "A human has the conversation, so the bot would only draft an answer for the "
        "agents. To have the bot answer the customer, give the conversation back to it "
        "with “Answer again” on the conversation's page."
    ),
    Turn.Kind.HELP: _(
        "An agent asked the bot in a private note. To ask once more, write the note "
        "again in Chatwoot."
    ),
}
# What somebody may want answered all the same.
OVERRIDABLE: Mapping[str, Promise] = {
    Reason.HUMAN_HAS_TAKEN_OVER: _("A human has answered the customer since."),
    Reason.TOO_OLD: _("The message is older than the bot may answer."),
}
IF_FORCED = _("The bot would answer all the same only if you say so.")


def status_not_allowed(status: str) -> str:
    """Say that the conversation is not the bot's, and how to give it back."""
    return gettext(
        "The conversation is “%(status)s”, and the bot may not speak then. To give it "
        "back to the bot and have it answered, use “Answer again” on the "
        "conversation's page."
    ) % {"status": status or gettext("not known yet")}


def nothing_to_answer(reason: str) -> str:
    """Say that the event is no customer's message."""
    label = Reason(reason).label if reason in Reason.values else reason
    return gettext("Nothing to answer: %(reason)s.") % {"reason": label}


def duplicate(first: WebhookEvent | None) -> str:
    """Say which event the message came with before."""
    if first is None:
        return gettext("This message came before, with another event.")
    return gettext(
        "This message came before, with event %(id)d, which is the one to replay."
    ) % {"id": first.pk}


def answered_in(turn_id: int) -> str:
    """Say that there would be a second answer."""
    return gettext(
        "The bot has already answered it, or may have, in turn %(id)d: the customer "
        "would get a second answer."
    ) % {"id": turn_id}


def being_answered(turn_id: int) -> str:
    """Say that an answer is on its way."""
    return gettext(
        "It is being answered right now, in turn %(id)d. There is nothing to replay."
    ) % {"id": turn_id}


def waits_for(turn_id: int) -> str:
    """Say that the message has its place after the turn that is under way."""
    return gettext(
        "It waits for the end of turn %(id)d and is answered then. There is nothing to "
        "replay."
    ) % {"id": turn_id}


def busy(turn_id: int) -> str:
    """Say that the conversation's turn has to end first."""
    return gettext(
        "Another message of the conversation is being answered right now, in turn "
        "%(id)d. Try again when that has ended."
    ) % {"id": turn_id}


def processed_anew(text: str) -> str:
    """Say what a failed event would become."""
    return (
        gettext("It could not be processed then, and would be processed anew.")
        + f" {text}"
    )
