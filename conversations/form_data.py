"""Whether a customer's message is only what a form asked for; nobody answers that.

A lone e-mail address is the widget's business if nobody but the widget can have asked
for it: it is the first thing that is said in the conversation, or follows the widget's
request while neither bot nor human has said anything. In any other case it is an
answer, to a bot that asked for it most of all, and goes the way of every message.
"""

from __future__ import annotations

from bridge_project.lib.errors import MalformedPayload
from chatwoot_api import form_messages
from chatwoot_api.payloads import ChatwootEvent, Message, parse_event
from conversations.models import Conversation, Reason, WebhookEvent

# Where forms are: Chatwoot's widget, and people's own in front of an API inbox.
_CHANNELS = frozenset({"Channel::WebWidget", "Channel::Api"})
# Between two messages of a customer.
_LOOKS_BACK = 20


def why(
    event: ChatwootEvent, *, conversation: Conversation, known_message_id: int
) -> Reason | None:
    """Return FORM_DATA for a customer's message that is no question, else None.

    `known_message_id` is the customer's last message before this event. Asks the
    database only about a lone e-mail address.
    """
    message = event.message
    if message is None or event.name != "message_created":
        return None
    if message.message_type != "incoming" or message.private:
        return None
    if not form_messages.is_form_data(message):
        return None
    if form_messages.has_email(message) and not _is_widgets_business(
        message, conversation=conversation, known_message_id=known_message_id
    ):
        return None
    return Reason.FORM_DATA


def _is_widgets_business(
    message: Message, *, conversation: Conversation, known_message_id: int
) -> bool:
    if conversation.channel not in _CHANNELS:
        return False
    before = (
        WebhookEvent.objects.filter(
            account=conversation.account_id,
            chatwoot_conversation_id=conversation.chatwoot_conversation_id,
            name="message_created",
            chatwoot_message_id__lt=message.id,
        )
        .order_by("-chatwoot_message_id")
        .values_list("payload", flat=True)[:_LOOKS_BACK]
    )
    asked = False
    for payload in before:
        try:
            earlier = parse_event(payload).message
        except MalformedPayload:
            return False  # forgotten after its time: who knows what it said
        if earlier is None or earlier.private or earlier.message_type == "activity":
            continue
        if earlier.message_type == "incoming":
            return asked
        if earlier.message_type == "outgoing":
            return False
        asked = asked or form_messages.asks_for_email(earlier)
    # Another delivery may have brought this very message.
    is_first = known_message_id in (0, message.id)
    nobody_spoke = (
        conversation.last_human_message_id == 0
        and conversation.last_bot_message_at is None
    )
    return is_first and nobody_spoke
