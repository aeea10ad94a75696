"""The admin's pages of the flow; each file owns the page of one model."""

from __future__ import annotations

from conversations.admin import (
    alert,
    audit,
    bot,
    call,
    callback,
    conversation,
    dify_conversation,
    erasure,
    event,
    history,
    job,
    outgoing,
    retention,
    run,
    system,
    turn,
)

__all__ = [
    "alert",
    "audit",
    "bot",
    "call",
    "callback",
    "conversation",
    "dify_conversation",
    "erasure",
    "event",
    "history",
    "job",
    "outgoing",
    "retention",
    "run",
    "system",
    "turn",
]
