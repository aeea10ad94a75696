"""Whether the bot is paused in a conversation, by what, and how that ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.utils.translation import gettext

from conversations.decisions import is_paused, situation_of
from conversations.models import Bot, Conversation


def bot_of(conversation: Conversation) -> Bot | None:
    """Return the bot whose settings hold in the conversation; its inbox is loaded."""
    inbox = conversation.inbox
    return None if inbox is None else Bot.objects.for_inbox(inbox)


def paused_among(conversations: Iterable[Conversation]) -> set[int]:
    """Return the ids of those that are paused; each inbox's bot is looked up once."""
    bots: dict[int | None, Bot | None] = {}
    found = set()
    for conversation in conversations:
        if conversation.inbox_id not in bots:
            bots[conversation.inbox_id] = bot_of(conversation)
        if why_paused(conversation, bot=bots[conversation.inbox_id]):
            found.add(conversation.pk)
    return found


def why_paused(conversation: Conversation, *, bot: Bot | None) -> list[str]:
    """Say for each thing that keeps the bot silent what it is, and how to end it."""
    situation = situation_of(conversation)
    sentences = []
    if situation.paused:
        sentences.append(
            gettext(
                "The bot is paused here. “Let the bot speak again” in the list of "
                "conversations ends that."
            )
        )
    if bot is None:
        return sentences
    in_chatwoot = replace(situation, paused=False)
    if is_paused(replace(in_chatwoot, custom_attributes={}), bot=bot):
        sentences.append(
            gettext(
                "The bot is paused by the label “%(label)s”. Remove the label from the "
                "conversation in Chatwoot to end that."
            )
            % {"label": bot.pause_label}
        )
    if is_paused(replace(in_chatwoot, labels=()), bot=bot):
        sentences.append(
            gettext(
                "The bot is paused by the custom attribute “%(attribute)s”. Empty or "
                "uncheck it at the conversation in Chatwoot to end that."
            )
            % {"attribute": bot.pause_attribute}
        )
    return sentences
