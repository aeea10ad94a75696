"""Whether the bot is paused in a conversation, by what, and how that ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.utils.translation import gettext

from chatwoot_api.models import Inbox
from conversations.decisions import is_paused, situation_of
from conversations.models import Bot, Conversation


def bot_of(conversation: Conversation) -> Bot | None:
    """Return the bot whose settings hold in the conversation; its inbox is loaded."""
    inbox = conversation.inbox
    return None if inbox is None else Bot.objects.for_inbox(inbox)


def bots_of(inboxes: Iterable[Inbox]) -> dict[int, Bot | None]:
    """Return the bot of each inbox by the inbox's id, with two queries for all.

    It chooses as `BotQuerySet.for_inbox` does.
    """
    bots = list(Bot.objects.order_by("pk").prefetch_related("inboxes"))
    named = {bot.pk: {inbox.pk for inbox in bot.inboxes.all()} for bot in bots}
    found: dict[int, Bot | None] = {}
    for inbox in inboxes:
        candidates = [
            bot
            for bot in bots
            if bot.account_id == inbox.account_id
            and (not named[bot.pk] or inbox.pk in named[bot.pk])
        ]
        found[inbox.pk] = max(
            candidates,
            key=lambda bot: (bot.enabled, bool(named[bot.pk]), -bot.pk),
            default=None,
        )
    return found


def paused_among(conversations: Iterable[Conversation]) -> set[int]:
    """Return the ids of those that are paused; their inboxes are loaded."""
    rows = list(conversations)
    bots = bots_of({row.inbox for row in rows if row.inbox is not None})
    return {row.pk for row in rows if why_paused(row, bot=bots.get(row.inbox_id or 0))}


def why_paused(conversation: Conversation, *, bot: Bot | None) -> list[str]:
    """Say for each thing that keeps the bot silent what it is, and how to end it."""
    situation = situation_of(conversation)
    sentences = []
    if situation.paused:
        sentences.append(
            gettext(
                "The bot is paused here. “Let the bot speak again”, on this page or in "
                "the list of conversations, ends that."
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
