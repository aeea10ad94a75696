"""An answer, as its parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from chatwoot_api.message_calls import Upload
from conversations.rich import Rich


@dataclass(frozen=True, kw_only=True)
class AnswerFile:
    """A file of an answer; `upload` once it is fetched and will be attached."""

    # Absolute, or without its host: then Dify has it.
    url: str
    name: str = ""
    mime_type: str = ""
    upload: Upload | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the customer gets; `notes` say what was odd about it, for operators."""

    text: str
    files: tuple[AnswerFile, ...] = ()
    choices: Rich | None = None
    suggestions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing at all to post."""
        return not self.text.strip() and not self.files and self.choices is None
