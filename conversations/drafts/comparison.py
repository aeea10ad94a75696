"""How far what the human sent is from what the bot would have said. Pure.

A text of 4000 characters takes 2 ms at worst; difflib, which is quadratic and worse,
takes seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapidfuzz.distance import Indel, Levenshtein

# What comes behind is not looked at.
MAX_CHARS = 4000
# Whoever copies a note from the screen gets it without its Markdown.
_MARKDOWN = re.compile(r"[*_`#>~]+")


@dataclass(frozen=True)
class Comparison:
    """Both are parts of one.

    `similarity`: 1 is the same text, 0 has nothing in common. `edit_rate`: the words
    put in, taken out or changed, in relation to the words of the draft, 1 at most.
    """

    similarity: float
    edit_rate: float


def compared(draft: str, sent: str) -> Comparison:
    """Compare a draft with what was sent; case, spaces and Markdown do not matter."""
    ours, theirs = _folded(draft), _folded(sent)
    words = ours.split()
    edits = Levenshtein.distance(words, theirs.split())
    return Comparison(
        similarity=round(Indel.normalized_similarity(ours, theirs), 4),
        edit_rate=round(min(edits / max(len(words), 1), 1.0), 4),
    )


def _folded(text: str) -> str:
    plain = _MARKDOWN.sub("", text[:MAX_CHARS])
    return " ".join(plain.casefold().split())
