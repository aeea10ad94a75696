"""The playground: an operator talks to a bot's Dify app, and Chatwoot hears nothing."""

from __future__ import annotations

from conversations.trials.running import run
from conversations.trials.subject import INVENTED_NAME, fitted, fixed_inputs, subject_of
from conversations.trials.talks import (
    MAX_QUESTION_CHARS,
    CannotAsk,
    ask,
    due,
    end,
    is_ended,
    stop,
)

__all__ = [
    "INVENTED_NAME",
    "MAX_QUESTION_CHARS",
    "CannotAsk",
    "ask",
    "due",
    "end",
    "fitted",
    "fixed_inputs",
    "is_ended",
    "run",
    "stop",
    "subject_of",
]
