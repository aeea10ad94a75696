"""The admin's pages of the flow; each file owns the page of one model."""

from __future__ import annotations

from conversations.admin import (
    audit,
    bot,
    call,
    callback,
    conversation,
    dify_conversation,
    erasure,
    event,
    outgoing,
    retention,
    run,
    system,
    turn,
)

__all__ = [
    "audit",
    "bot",
    "call",
    "callback",
    "conversation",
    "dify_conversation",
    "erasure",
    "event",
    "outgoing",
    "retention",
    "run",
    "system",
    "turn",
]
