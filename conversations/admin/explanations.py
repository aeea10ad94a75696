"""What each reason and state means for a support lead, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from conversations.models import Reason, Turn, WebhookEvent

# Reasons of events and of turns that were not answered.
REASONS: Mapping[str, Promise] = {
    Reason.CUSTOMER_MESSAGE: _(
        "A customer wrote, and the bot owes an answer. The turn tells what became of "
        "it."
    ),
    Reason.DRAFT_WANTED: _(
        "A customer wrote while a human had the conversation. The bot drafts an answer "
        "for the agents, in a private note; it does not speak to the customer. “Drafts "
        "for agents” is switched on at the bot."
    ),
    Reason.AGENT_ASKED: _(
        "An agent asked the bot in a private note. The answer, or why there is none, "
        "comes as a private note; customers see neither."
    ),
    Reason.SUGGESTED: _(
        "The answer was written down for the agents, in a private note; the customer "
        "did not see it. The page “Drafts” shows what they made of it."
    ),
    Reason.FEEDBACK: _(
        "An agent's “/good” or “/bad”, or the customer's rating. It goes to Dify as "
        "feedback on the bot's last answer before it. Without an error below, Dify has "
        "it, or will have it in a moment; the turn of the answer shows the call."
    ),
    Reason.CUSTOMER_CHOICE: _(
        "The customer clicked a choice or filled in a form that the bot had sent. It "
        "is answered like a message; the turn tells what became of it."
    ),
    Reason.FORM_ANSWERED: _(
        "The customer, or an agent by a private note, answered the form that the "
        "bot's paused flow waits for. The turn brings the answer to Dify. An answer "
        "that could not be understood has the form asked once more."
    ),
    Reason.ASKED_FOR_FORM: _(
        "The bot's flow paused at a Human Input node, and whoever the bot is set to "
        "ask was asked for its form: the customer by a message, or the agents by a "
        "private note. The answer goes on in a turn of its own."
    ),
    Reason.FORM_UNANSWERED: _(
        "Nobody answered the form that the bot's flow waited for in time, so the "
        "conversation went to the humans. The time is set at the bot; Dify's own limit "
        "at the Human Input node counts if it is shorter."
    ),
    Reason.CONVERSATION_EVENT: _(
        "Chatwoot reported a change of the conversation: status, assignee, labels. The "
        "bridge took note of it; there is nothing to answer."
    ),
    Reason.TYPING: _("Somebody began or stopped typing. There is nothing to answer."),
    Reason.CONTACT_EVENT: _(
        "Chatwoot reported a new or changed contact. There is nothing to answer."
    ),
    Reason.WIDGET_OPENED: _(
        "A visitor opened the chat widget, but has not written anything yet."
    ),
    Reason.MESSAGE_UPDATED: _(
        "A message that is already known was edited, delivered, read or deleted. The "
        "bot answers messages once, when they arrive."
    ),
    Reason.AUTOMATION_EVENT: _(
        "An automation rule or a macro of Chatwoot called the bridge. The customer's "
        "message comes in an event of its own."
    ),
    Reason.UNKNOWN_EVENT: _(
        "This version of the bridge does not know this kind of event and kept it for "
        "the record. Usually nothing is to be done; if customers wait because of it, "
        "look for a newer version of the bridge."
    ),
    Reason.UNKNOWN_ACCOUNT: _(
        "The webhook carried a valid signature or token, but names a Chatwoot account "
        "that is not set up here. Check the account number at the Chatwoot account, or "
        "add the missing account."
    ),
    Reason.PRIVATE_NOTE: _(
        "A private note of an agent. Customers do not see notes, so the bot does not "
        "answer them."
    ),
    Reason.OWN_MESSAGE: _(
        "Chatwoot reported a message that the bot itself had posted. It must not "
        "answer itself."
    ),
    Reason.OTHER_BOT: _("Another bot, such as Chatwoot's Captain, wrote this message."),
    Reason.HUMAN_REPLY: _(
        "A human agent answered the customer. Whatever the bot still owed for earlier "
        "messages is dropped: a human wins."
    ),
    Reason.AUTOMATION_MESSAGE: _(
        "An automation rule or a campaign sent this message. It is not from the "
        "customer."
    ),
    Reason.WIDGET_MESSAGE: _(
        "Chatwoot's widget wrote this by itself: a greeting, a request for the e-mail "
        "address, a survey. It is not from the customer."
    ),
    Reason.ACTIVITY: _(
        "A grey activity line, such as “assigned to Anna”. There is nothing to answer."
    ),
    Reason.DUPLICATE_MESSAGE: _(
        "The same message had already arrived, usually because both the agent bot and "
        "an account webhook call the bridge. It is answered once. To save traffic, "
        "remove one of the two webhooks in Chatwoot."
    ),
    Reason.NO_BOT_FOR_INBOX: _(
        "No bot answers the inbox of this conversation. Add the inbox to a bot, or "
        "make a bot for the account."
    ),
    Reason.FORM_DATA: _(
        "The message is only what the chat's form asked for: an e-mail address before "
        "anybody could have asked for one, or words of the widget itself. There is no "
        "question to answer; the bot waits for the customer's first words."
    ),
    Reason.NO_CREDENTIALS: _(
        "The Chatwoot account has no token here, so the bridge took note of the "
        "message and could post nothing: neither an answer nor a note, and the "
        "conversation stays as it is in Chatwoot. Enter the bot's token at the "
        "Chatwoot account; it works for the next message. Messages that came before "
        "can be replayed."
    ),
    Reason.BOT_DISABLED: _(
        "The bot of this inbox is switched off. A pending conversation was opened for "
        "the humans, with a note. Switch the bot on to have new messages answered."
    ),
    Reason.BOT_HAS_NO_APP: _(
        "The bot of this inbox has no Dify app to ask. A pending conversation was "
        "handed to a human. Choose an app at the bot."
    ),
    Reason.CONTACT_BLOCKED: _(
        "The contact is blocked in Chatwoot, so the bot does not answer. Unblock the "
        "contact there if that is not wanted."
    ),
    Reason.STATUS_NOT_ALLOWED: _(
        "The conversation was in a status in which this bot stays silent; normally it "
        "speaks only in “pending”. Set the conversation to “pending” in Chatwoot to "
        "give it back to the bot: it then answers what is still unanswered, unless a "
        "human has replied since or the message is older than the bot's limit. Or "
        "allow further statuses at the bot."
    ),
    Reason.HUMAN_HAS_TAKEN_OVER: _(
        "A human agent has answered the customer since, and a human wins. The bot "
        "answers again when the customer writes the next time, if the status allows "
        "it."
    ),
    Reason.HUMAN_IS_ASSIGNED: _(
        "A human agent is assigned, and this bot is set to be silent then. A pending "
        "conversation was opened for the humans, with a note. To give it back to the "
        "bot, remove the assignee, then set the status to “pending”: the bot answers "
        "what is still unanswered, unless a human has replied since or the message is "
        "older than the bot's limit."
    ),
    Reason.PAUSED: _(
        "The bot is paused in this conversation: here in the admin, or by a label or "
        "attribute in Chatwoot. A pending conversation was opened for the humans, with "
        "a note. Take the pause away, then set the status to “pending”: the bot "
        "answers what is still unanswered, unless a human has replied since or the "
        "message is older than the bot's limit."
    ),
    Reason.MESSAGE_DELETED: _(
        "The message was deleted in Chatwoot. If the bot had not begun to answer it, "
        "it was left out."
    ),
    Reason.EMPTY_MESSAGE: _(
        "The message has neither text nor a file, so there is nothing to ask Dify."
    ),
    Reason.TOO_OLD: _(
        "When the bridge got to see the message it was older than the bot is allowed "
        "to answer, usually after an outage. A pending conversation was opened for the "
        "humans, with a note. The limit is set at the bot."
    ),
    Reason.GREETING: _(
        "The bot greeted the customer with the opening statement of its Dify app, as "
        "the bot is set to. It does so once per visitor and conversation."
    ),
    Reason.RESET: _(
        "The customer wrote one of the bot's words that begin anew. The bot forgot "
        "what was said before; Dify was not asked. The words are set at the bot."
    ),
    Reason.NOT_FOR_CONTACT: _(
        "The bot's rules leave this customer to the humans: the contact is on its list "
        "“never for”, or not among those it is only for, or the bot answers only "
        "testers. A pending conversation was opened for the humans, without a note. "
        "The lists are set at the bot."
    ),
    Reason.OUTSIDE_HOURS: _(
        "The inbox was closed, by its business hours in Chatwoot, and this bot does "
        "not answer then. The conversation was opened for the humans, without a note. "
        "What the bot does outside business hours is set at the bot; the hours "
        "themselves are read from Chatwoot once an hour."
    ),
    Reason.CEILING_REACHED: _(
        "The bot has reached one of its ceilings: answers per conversation and hour, "
        "or tokens or cost per day. The error names it and says when it ends. Dify was "
        "not asked, and a pending conversation was opened for the humans. If it "
        "happens too early, raise the ceiling at the bot."
    ),
    Reason.TOOK_TOO_LONG: _(
        "There was no answer in the time that the bot is allowed, so the customer was "
        "left to a human. The runs and calls below show what took so long: a busy "
        "Dify, a slow flow, or failed attempts. The limit is set at the bot."
    ),
    Reason.ERASED: _(
        "The contact was erased while the bot was at work on an answer; what there was "
        "of it was thrown away."
    ),
    Reason.ANSWERED: _("The answer was posted in Chatwoot."),
    Reason.ANSWERED_BY_FLOW: _(
        "The Dify flow sent the customer a message of its own while it ran, and gave "
        "no further answer. Nothing is to be done."
    ),
    Reason.HANDED_OVER_BY_FLOW: _(
        "The Dify flow itself took the conversation from the bot while it ran, and "
        "gave no answer: it opened it for the agents, paused the bot, or resolved or "
        "snoozed it. That is no failure, so there is neither a note nor a text to the "
        "customer. The callbacks show what it did. If customers are left waiting, "
        "have the flow say so in its answer."
    ),
    Reason.CONVERSATION_GONE: _(
        "The conversation was deleted in Chatwoot before it could be answered."
    ),
    Reason.EMPTY_ANSWER: _(
        "Dify ran without an error, but its answer was empty. Look at the run in "
        "Dify's log: which node should have given the text?"
    ),
    Reason.DIFY_PAUSED: _(
        "The Dify flow stopped to wait for somebody to fill in a form, and nobody "
        "could be asked for it here. Choose at the bot who fills in forms, and "
        "“WebApp” as the delivery at the Human Input node; Dify 1.14 or newer is "
        "needed. Forms with files, and answers that could not be understood, go to "
        "the humans, too."
    ),
    Reason.DIFY_STOPPED: _(
        "Somebody stopped the run in Dify, or it took longer than Dify allows, before "
        "there was an answer. If it happens often, make the flow faster or raise "
        "Dify's own time limit."
    ),
    Reason.DIFY_FAILED: _(
        "Dify could not answer. The error of the run tells what it said, and whether "
        "it was asked again; the Dify app's health shows whether it works by now."
    ),
    Reason.PROVIDER_FAILED: _(
        "The function or server that this bot asks in Dify's place could not answer. "
        "The error of the run tells why; if it looks like a mistake in the function, "
        "its author finds the place in the worker's log."
    ),
    Reason.NOTHING_TO_SAY: _(
        "Whoever was asked wants nothing to be said to this message, and that is no "
        "failure. If the customer should have got an answer, look at the function that "
        "the bot asks."
    ),
    Reason.CHATWOOT_FAILED: _(
        "Chatwoot did not take the answer. The calls below show what it said. Often "
        "the bot's token is wrong, or the bot is not linked to the inbox."
    ),
    Reason.OUTCOME_UNKNOWN: _(
        "The connection broke while the answer was being posted, and the bridge could "
        "not find out whether it arrived. To not answer twice it left the customer to "
        "a human. With an administrator's token at the Chatwoot account the bridge can "
        "look it up."
    ),
    Reason.CONFIGURATION: _(
        "A setting is missing or contradicts another. The error names it; correct it "
        "at the bot, the Chatwoot account or the Dify app."
    ),
    Reason.INTERNAL_ERROR: _(
        "The bridge itself failed. The error and the log of the worker tell where; "
        "please report it to whoever runs the bridge."
    ),
}

EVENT_STATES: Mapping[str, Promise] = {
    WebhookEvent.Status.RECEIVED: _(
        "Stored, but not looked at yet. This takes seconds; if it takes minutes, no "
        "worker is running."
    ),
    WebhookEvent.Status.PROCESSED: _("Decided; the reason tells what and why."),
    WebhookEvent.Status.FAILED: _(
        "The bridge tried several times and could not process this event, so a message "
        "in it was not answered. The error tells why; please report it to whoever runs "
        "the bridge, and look at the conversation in Chatwoot."
    ),
}

# What a state means where the customer waits for nothing.
_OF_KIND: Mapping[tuple[str, str], Promise] = {
    (Turn.Kind.DRAFT, Turn.Status.ANSWERED): _(
        "The agents have a draft, in a private note. The customer did not see it."
    ),
    (Turn.Kind.DRAFT, Turn.Status.SKIPPED): _(
        "There is no draft, and nobody was told; the reason tells why. No customer "
        "waits for it."
    ),
    (Turn.Kind.DRAFT, Turn.Status.FAILED): _(
        "There is no draft, since Chatwoot did not take it. No customer waits for it."
    ),
    (Turn.Kind.GREETING, Turn.Status.ANSWERED): _("The customer was greeted."),
    (Turn.Kind.GREETING, Turn.Status.SKIPPED): _(
        "The customer was not greeted; the reason tells why. No answer is owed here."
    ),
    (Turn.Kind.HELP, Turn.Status.ANSWERED): _(
        "The agent who asked has the answer, in a private note."
    ),
    (Turn.Kind.HELP, Turn.Status.SKIPPED): _(
        "The agent's question was put off or dropped; the reason tells why. If a "
        "customer's message came first, it is asked again in a turn after that."
    ),
    (Turn.Kind.HELP, Turn.Status.HANDED_OVER): _(
        "The bot could not answer the agent who asked, and told why in a private note. "
        "Nothing was changed in the conversation."
    ),
    (Turn.Kind.HELP, Turn.Status.FAILED): _(
        "The agent who asked could not even be told why there is no answer, since "
        "Chatwoot did not take the note. No customer waits for it."
    ),
}


# Ended well, but the customer has no answer of these.
_NO_ANSWER_YET = (Reason.SUGGESTED, Reason.ASKED_FOR_FORM)


def of_kind(turn: Turn) -> Promise | None:
    """Say how a turn stands that owes the customer nothing; None for all others."""
    is_done = (turn.kind, turn.status) == (Turn.Kind.ANSWER, Turn.Status.ANSWERED)
    if is_done and turn.reason in _NO_ANSWER_YET:
        return REASONS[turn.reason]
    return _OF_KIND.get((turn.kind, turn.status))


TURN_STATES: Mapping[str, Promise] = {
    Turn.Status.COLLECTING: _(
        "Waiting for a worker to take it, within seconds. If it takes minutes, no "
        "worker is running."
    ),
    Turn.Status.RUNNING: _("Dify is being asked, or the answer is being posted."),
    Turn.Status.RETRYING: _(
        "An attempt failed. The bridge tries again by itself at the time shown."
    ),
    Turn.Status.UNKNOWN: _(
        "The connection broke while a message was being posted. The bridge is finding "
        "out whether it arrived, so that nothing is said twice."
    ),
    Turn.Status.ANSWERED: _("The customer has an answer."),
    Turn.Status.SKIPPED: _("Deliberately not answered; the reason tells why."),
    Turn.Status.HANDED_OVER: _(
        "The bot could not answer, or its flow decided not to, and the humans have the "
        "conversation."
    ),
    Turn.Status.FAILED: _(
        "The bot could neither answer nor hand the conversation over, since Chatwoot "
        "did not take it. A person must look at the conversation now."
    ),
}
