"""Set-up: from two addresses and two tokens to a bot that answers."""

from __future__ import annotations

from conversations.setup.addresses import ServerAddress, read_address
from conversations.setup.carrying_out import Plan, Report, Step, carry_out
from conversations.setup.finding import (
    ChatwootFinding,
    FieldProblem,
    InboxChoice,
    find_app,
    find_chatwoot,
    find_inboxes,
    known_account,
    known_app,
)
from conversations.setup.rows import bot_of

__all__ = [
    "ChatwootFinding",
    "FieldProblem",
    "InboxChoice",
    "Plan",
    "Report",
    "ServerAddress",
    "Step",
    "bot_of",
    "carry_out",
    "find_app",
    "find_chatwoot",
    "find_inboxes",
    "known_account",
    "known_app",
    "read_address",
]
