"""The widget's own messages: greeting and e-mail collection (section 6)."""

from __future__ import annotations

from sandbox.chatwoot.drafts import Draft
from sandbox.chatwoot.lifecycle import Lifecycle
from sandbox.chatwoot.records import INCOMING, OUTGOING, TEMPLATE, Conversation

EMAIL_TEXT = "Give the team a way to reach you."
EMAIL_BOX_TEXT = "Get notified by email"


def due(lifecycle: Lifecycle, *, conversation: Conversation) -> list[Draft]:
    """Templates that follow the first incoming message, in Chatwoot's order.

    The greeting is left out once anybody has answered.
    """
    settings = lifecycle.settings
    types = [message.message_type for message in conversation.messages]
    if types.count(INCOMING) != 1:
        return []
    drafts: list[Draft] = []
    answered = OUTGOING in types or TEMPLATE in types
    if settings.greeting_enabled and not answered:
        drafts.append(_template(settings.greeting_message))
    is_widget = lifecycle.store.inbox_of(conversation).channel == "Channel::WebWidget"
    has_email = bool(lifecycle.store.contact_of(conversation).email)
    if settings.email_collect_enabled and is_widget and not has_email:
        drafts.append(_template(EMAIL_TEXT))
        drafts.append(_template(EMAIL_BOX_TEXT, content_type="input_email"))
    return drafts


def _template(content: str, *, content_type: str = "text") -> Draft:
    return Draft(content=content, message_type=TEMPLATE, content_type=content_type)
