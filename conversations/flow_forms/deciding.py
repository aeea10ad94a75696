"""Whether an event answers the form that waits in its conversation, or ends it."""

from __future__ import annotations

from chatwoot_api.payloads import ChatwootEvent, Message
from conversations import form_rows
from conversations.decisions import (
    Decision,
    is_choice,
    marks_of,
    situation_of,
    why_no_longer,
)
from conversations.flow_forms import reading
from conversations.flow_forms.reading import Answer
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    FlowForm,
    Reason,
    WebhookEvent,
)
from conversations.models.bot_settings import FormsGoTo

# An answer that is none is asked for once more; then the humans go on.
MAX_UNCLEAR = 1
_CUSTOMERS = frozenset({Reason.CUSTOMER_MESSAGE, Reason.CUSTOMER_CHOICE})
# What is known of a message that came before.
_KNOWN = frozenset({Reason.DUPLICATE_MESSAGE, Reason.MESSAGE_DELETED})


def about(
    event: ChatwootEvent,
    *,
    row: WebhookEvent,
    conversation: Conversation,
    bot: Bot,
    decision: Decision,
) -> Decision:
    """Return the decision about an event, where a form waits for an answer.

    The caller holds the conversation's lock and has brought the mirror up to date. An
    answer is taken here, once; the turn that the event gets then brings it to Dify.
    """
    if not form_rows.are_asked(bot):
        return decision
    form = form_rows.waiting(conversation)
    if form is None:
        return _if_answered(event, conversation=conversation, decision=decision)
    if _is_over(form, conversation=conversation, bot=bot, reason=decision.reason):
        form_rows.withdraw(conversation.pk)
        return decision
    message = event.message
    if message is None or decision.reason in _KNOWN or not form_rows.is_asked(form):
        return decision
    if form.goes_to == FormsGoTo.AGENT:
        return _by_agent(form, message, event=event, row=row, bot=bot) or decision
    if decision.action != Action.ANSWER or decision.reason not in _CUSTOMERS:
        return decision
    return _by_customer(form, message, event=event, row=row, decision=decision)


def _is_over(
    form: FlowForm, *, conversation: Conversation, bot: Bot, reason: str
) -> bool:
    """Tell whether nobody is to answer the form any more.

    What a human does while agents are asked is just what is waited for; only what is
    resolved is settled. The customer's form ends with the bot's turn to speak.
    """
    if conversation.status == ConversationStatus.RESOLVED or reason == Reason.RESET:
        return True
    if form.goes_to == FormsGoTo.AGENT:
        return False
    why_not = why_no_longer(
        situation_of(conversation),
        turn_message_id=max(
            form.turn.last_message_id, conversation.last_customer_message_id
        ),
        bot=bot,
        marks=marks_of(form.turn.by_flow, by_webhook=True),
    )
    return why_not is not None


def _if_answered(
    event: ChatwootEvent, *, conversation: Conversation, decision: Decision
) -> Decision:
    """Let a click count once, also where its form was answered by a text before."""
    if decision.reason != Reason.CUSTOMER_CHOICE or event.message is None:
        return decision
    form = form_rows.asked_in(event.message, conversation=conversation)
    if form is not None and form.status == FlowForm.Status.ANSWERED:
        return Decision(Action.IGNORE, Reason.DUPLICATE_MESSAGE)
    return decision


def _by_agent(
    form: FlowForm,
    message: Message,
    *,
    event: ChatwootEvent,
    row: WebhookEvent,
    bot: Bot,
) -> Decision | None:
    """Take an agent's private note that begins with a choice, None if it does not."""
    is_note = event.name == "message_created" and message.private
    if not is_note or message.sender.kind != "user" or not bot.enabled:
        return None
    answer = reading.of_note(form, message.text)
    is_slip = answer is None and message.text.strip().startswith("/")
    if is_slip and reading.contradicts(form, message.text):
        # Told once what to write; the form goes on waiting.
        is_told = form_rows.note_unclear(form, event=row) > MAX_UNCLEAR
        return None if is_told else Decision(Action.ANSWER, Reason.FORM_ANSWERED)
    return _taken(form, answer, row=row, by=message.sender.name or "agent")


def _by_customer(
    form: FlowForm,
    message: Message,
    *,
    event: ChatwootEvent,
    row: WebhookEvent,
    decision: Decision,
) -> Decision:
    if is_choice(event):
        asked = form_rows.asked_in(message, conversation=form.conversation)
        if asked is None or asked.pk != form.pk:
            return _of_another(asked) or decision
        answer = reading.of_submission(form, message)
    else:
        answer = reading.of_text(form, message.text)
    taken = _taken(form, answer, row=row, by="customer")
    if taken is not None:
        return taken
    if form_rows.note_unclear(form, event=row) > MAX_UNCLEAR:
        form_rows.withdraw(form.conversation_id)
        return Decision(Action.HAND_OVER, Reason.DIFY_PAUSED)
    return Decision(Action.ANSWER, Reason.FORM_ANSWERED)


def _of_another(asked: FlowForm | None) -> Decision | None:
    """A click on a form that was answered before is none."""
    if asked is not None and asked.status == FlowForm.Status.ANSWERED:
        return Decision(Action.IGNORE, Reason.DUPLICATE_MESSAGE)
    return None


def _taken(
    form: FlowForm, answer: Answer | None, *, row: WebhookEvent, by: str
) -> Decision | None:
    if answer is None:
        return None
    if not form_rows.take(form, answer=answer.to_json(event_id=row.pk), by=by):
        return None
    return Decision(Action.ANSWER, Reason.FORM_ANSWERED)
