"""Who writes the answers of bots that ask no Dify app; docs/providers.md explains it.

Code of other projects imports `ReplyContext`, `Report` and `Said` from here.
"""

from __future__ import annotations

from conversations.models.bot_settings import DIFY, OPENAI
from conversations.providers.contract import (
    PlainReply,
    Reply,
    ReplyContext,
    ReplyProvider,
    Report,
    Said,
)
from conversations.providers.registry import choices, problems, why_not_askable
from conversations.providers.running import NOTHING, answer_for

__all__ = [
    "DIFY",
    "NOTHING",
    "OPENAI",
    "PlainReply",
    "Reply",
    "ReplyContext",
    "ReplyProvider",
    "Report",
    "Said",
    "answer_for",
    "choices",
    "problems",
    "why_not_askable",
]
