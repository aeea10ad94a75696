"""Suggestions for the agents: marked as such, kept, and compared with what was sent."""

from __future__ import annotations

from conversations.drafts.comparison import Comparison, compared
from conversations.drafts.marking import SIGN, marked, suggests, unmarked
from conversations.drafts.restraint import only_suggests
from conversations.drafts.rows import (
    NOT_USED,
    may_have_drafts,
    note_reply,
    record,
    said_by_flow,
    settle,
)

__all__ = [
    "NOT_USED",
    "SIGN",
    "Comparison",
    "compared",
    "marked",
    "may_have_drafts",
    "note_reply",
    "only_suggests",
    "record",
    "said_by_flow",
    "settle",
    "suggests",
    "unmarked",
]
