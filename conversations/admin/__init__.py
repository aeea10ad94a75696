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
    draft,
    erasure,
    event,
    flow_form,
    history,
    job,
    openai_server,
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
    "draft",
    "erasure",
    "event",
    "flow_form",
    "history",
    "job",
    "openai_server",
    "outgoing",
    "retention",
    "run",
    "system",
    "turn",
]
