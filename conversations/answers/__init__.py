"""What a run answered, brought to the customer: read, files fetched, shaped, posted."""

from __future__ import annotations

from conversations.answers.answer import Answer, AnswerFile
from conversations.answers.delivery import deliver, first_posted, post_rest, prepare
from conversations.answers.reading import read
from conversations.answers.typing_sign import Typing

__all__ = [
    "Answer",
    "AnswerFile",
    "Typing",
    "deliver",
    "first_posted",
    "post_rest",
    "prepare",
    "read",
]
