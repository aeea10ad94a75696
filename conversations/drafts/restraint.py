"""When a flow may only suggest: what it changes by callbacks is then left alone."""

from __future__ import annotations

from conversations.decisions import replies_as, situation_of
from conversations.models import Bot, Conversation, ReplyAs, Turn

_FOR_AGENTS = (Turn.Kind.DRAFT, Turn.Kind.HELP)


def only_suggests(
    bot: Bot,
    *,
    conversation: Conversation,
    turn: Turn | None,
    made_for: int | None = None,
) -> bool:
    """Tell whether a flow that calls must not touch the customer or the conversation.

    `turn` is the one that runs, if the call is of it; else `made_for` is the turn for
    which the caller's token was made. On a trial run nothing may be touched at any
    time, for a customer who chose a human not while the flow runs.
    """
    if bot.shadow:
        return True
    if turn is None:
        if made_for is None:
            return False
        return Turn.objects.filter(pk=made_for, kind__in=_FOR_AGENTS).exists()
    if turn.kind in _FOR_AGENTS:
        return True
    if bot.reply_as != ReplyAs.BY_SUPPORT_MODE:
        return False
    situation = situation_of(conversation)
    return replies_as(bot, situation, kind=turn.kind) == ReplyAs.PRIVATE_NOTE
