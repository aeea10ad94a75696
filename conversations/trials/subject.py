"""Whom a trial is about: an invented customer, or a stored conversation, disguised.

The numbers of conversation and contact are sent as 0 and the token opens nothing, so
that a flow with a token of its own cannot change what it was shown, either.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import Inbox
from conversations import context
from conversations.conversation_tokens import PLAYGROUND
from conversations.models import Bot, Conversation, ConversationStatus
from dify_api.inputs import ShapedInputs
from dify_api.models import DifyApp

INVENTED_NAME = "Alex Example"
# Whose values are never the operator's to type: they could lead to a conversation.
FIXED_SOURCES = frozenset(
    {"conversation.id", "contact.id", "bridge.conversation_token"}
)


def subject_of(
    bot: Bot, *, conversation: Conversation | None, invents: bool = True
) -> Conversation:
    """Return an unsaved conversation whose values a trial's inputs are made of.

    Without one a customer is invented, unless whoever asks wants none.
    """
    if conversation is None:
        return _invented(bot) if invents else _nobody(bot)
    subject = copy(conversation)
    subject.pk = None
    subject.chatwoot_conversation_id = 0
    subject.chatwoot_contact_id = 0
    return subject


def fitted(
    subject: Conversation,
    *,
    bot: Bot,
    app: DifyApp,
    question: str,
    given: Mapping[str, JsonValue],
) -> ShapedInputs:
    """Return the inputs of a trial, fitted to the app like those of any run."""
    fixed = fixed_inputs(bot)
    allowed: JsonObject = {k: v for k, v in given.items() if k not in fixed}
    return context.fitted_inputs(
        subject,
        bot=bot,
        app=app,
        question=question,
        token=PLAYGROUND,
        given=allowed,
    )


def fixed_inputs(bot: Bot) -> frozenset[str]:
    """Return the inputs that stay as they are, whatever the operator types."""
    return frozenset(
        name for name, source in bot.inputs.items() if source in FIXED_SOURCES
    )


def _nobody(bot: Bot) -> Conversation:
    return Conversation(
        account=bot.account, chatwoot_conversation_id=0, chatwoot_contact_id=0
    )


def _invented(bot: Bot) -> Conversation:
    inbox = bot.inboxes.order_by("pk").first()
    if inbox is None:
        inbox = Inbox.objects.filter(account=bot.account_id).order_by("pk").first()
    return Conversation(
        account=bot.account,
        inbox=inbox,
        channel=inbox.channel if inbox else "",
        chatwoot_conversation_id=0,
        chatwoot_contact_id=0,
        contact_name=INVENTED_NAME,
        status=ConversationStatus.PENDING,
    )
