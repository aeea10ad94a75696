"""The admin's pages of the flow; each file owns the page of one model."""

from __future__ import annotations

from conversations.admin import (
    bot,
    call,
    conversation,
    dify_conversation,
    event,
    outgoing,
    run,
    system,
    turn,
)

__all__ = [
    "bot",
    "call",
    "conversation",
    "dify_conversation",
    "event",
    "outgoing",
    "run",
    "system",
    "turn",
]
