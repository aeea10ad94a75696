"""Beginning anew: what a turn is about once a customer has said so, and forgetting."""

from __future__ import annotations

from dataclasses import dataclass

from conversations import memory
from conversations.models import (
    Bot,
    DifyConversation,
    PipelineRun,
    Reason,
    Turn,
    WebhookEvent,
)


@dataclass(frozen=True)
class Reset:
    """The customer's last word that begins anew, in a turn's messages."""

    message_id: int
    # Nothing was said after it.
    is_all: bool


def split(events: list[WebhookEvent]) -> tuple[Reset | None, list[WebhookEvent]]:
    """Return the word, and the messages that still count: those after it."""
    at = next(
        (
            index
            for index in reversed(range(len(events)))
            if events[index].reason == Reason.RESET
        ),
        None,
    )
    if at is None:
        return None, events
    rest = events[at + 1 :]
    word = Reset(events[at].chatwoot_message_id or 0, is_all=not rest)
    return word, rest


def forget(turn: Turn, *, bot: Bot, reset: Reset) -> None:
    """Stop continuing what was said before; may be repeated.

    What a former attempt has begun since, with the messages after the word, goes on.
    """
    app = bot.dify_app
    known = memory.current(turn.conversation, app=app) if app else None
    if known is None:
        return
    begun_since = PipelineRun.objects.filter(
        turn=turn,
        dify_conversation_id=known.dify_conversation_id,
        last_message_id__gt=reset.message_id,
    )
    if not begun_since.exists():
        memory.end(turn.conversation, reason=DifyConversation.End.RESET, app=app)
