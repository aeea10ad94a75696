"""What became of one thing that somebody wanted of a conversation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue

Result = Literal["applied", "unchanged", "skipped", "refused", "failed"]
# A model chooses among so many; the rest only costs it tokens.
MAX_POSSIBLE = 50


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one field; `message` is a sentence that a model can act on.

    `refused` means that the same request would be refused again, `failed` that
    Chatwoot, or the time, did not let it through.
    """

    field: str
    result: Result
    before: JsonValue = None
    after: JsonValue = None
    code: str = ""
    message: str = ""
    possible: tuple[str, ...] = ()
    # What else the answer carries: {"team_id": 3}, {"message_id": 77}.
    extra: JsonObject = dataclasses.field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left to be done about it."""
        return self.result in ("applied", "unchanged", "skipped")


class NotDone(BridgeError):
    """It was not done; says why in a form that becomes an Outcome."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        possible: Iterable[str] = (),
        result: Literal["refused", "failed"] = "refused",
        refused: Mapping[str, str] | None = None,
    ) -> None:
        """`possible` are the values that would have been understood.

        `refused` are sentences by the keys or names that a field consists of.
        """
        super().__init__(message, code=code)
        self.possible = tuple(possible)[:MAX_POSSIBLE]
        self.result = result
        self.refused = dict(refused or {})

    def outcome(self, name: str, *, before: JsonValue = None) -> Outcome:
        """Return it as what became of a field."""
        return Outcome(
            field=name,
            result=self.result,
            before=before,
            code=self.code,
            message=self.message,
            possible=self.possible,
            extra=told(self.refused),
        )


def together(refused: Mapping[str, NotDone]) -> NotDone:
    """Return one refusal for several keys or names; each sentence tells its own.

    What is possible is told where it is so for all of them.
    """
    errors = list(refused.values())
    first = errors[0]
    is_one_choice = all(err.possible == first.possible for err in errors)
    return NotDone(
        " ".join(dict.fromkeys(err.message for err in errors)),
        code=first.code,
        possible=first.possible if is_one_choice else (),
        result=first.result,
        refused={key: err.message for key, err in refused.items()},
    )


def in_part(outcome: Outcome, refused: Mapping[str, NotDone]) -> Outcome:
    """Return an outcome that also tells what of its field was not taken.

    If the rest has changed nothing either, all that happened is the refusal.
    """
    if not refused:
        return outcome
    err = together(refused)
    return dataclasses.replace(
        outcome,
        result=err.result if outcome.result == "unchanged" else outcome.result,
        code=err.code,
        message=err.message,
        possible=err.possible,
        extra={**outcome.extra, **told(err.refused)},
    )


def told(refused: Mapping[str, str]) -> JsonObject:
    """Return how an answer tells what was refused of a field."""
    sentences: JsonObject = dict(refused)
    return {"refused": sentences} if sentences else {}


def not_set(name: str) -> Outcome:
    """Nothing was wanted: the value came as one of Dify's ways to say nothing."""
    return Outcome(
        field=name,
        result="skipped",
        code="not_set",
        message=f"“{name}” has no value, so nothing was changed.",
    )


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence, as many as a model can choose from."""
    known = list(names)
    text = ", ".join(known[:MAX_POSSIBLE])
    more = len(known) - MAX_POSSIBLE
    return f"{text} and {more} more" if more > 0 else text
