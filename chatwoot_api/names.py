"""Finds what somebody means by a name: people and models spell freely."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypeAlias, TypeVar

from bridge_project.lib.errors import BridgeError
from chatwoot_api.models import Agent, Inbox, Label, Team
from chatwoot_api.settings_payloads import AgentRow, InboxRow, LabelRow, TeamRow

Named: TypeAlias = (
    Agent | Inbox | Label | Team | AgentRow | InboxRow | LabelRow | TeamRow
)
NamedT = TypeVar("NamedT", bound=Named)

_QUOTES = ('""', "''", "``", "«»", "“”", "„“", "„”", "‘’", "»«")
# "12", "#12", and "Anna Berg (#12)", which is how ambiguous names are listed.
_NUMBER = re.compile(r"#?(?P<bare>\d{1,18})|.*\(#(?P<listed>\d{1,18})\)", re.ASCII)


class Ambiguous(BridgeError):
    """More than one row has the name; `names` tells them apart, for another try."""

    code = "ambiguous_name"

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        super().__init__(f"The name may mean any of {', '.join(self.names)}.")


def fold(name: str) -> str:
    """Return what is left of a name without case, quotes, ё and needless spaces."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = unicodedata.normalize("NFKC", text).replace("ё", "е")
    text = " ".join(text.split())
    while len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text


def pick(rows: Iterable[NamedT], wanted: str | int) -> NamedT | None:
    """Return the row with this number or name, None if there is none.

    Numbers are Chatwoot's, also as "12" and "#12". Agents have three names: their own,
    the one that customers see, and the e-mail address. A name that is written exactly
    so comes before one that only folds to the same, and that before one that is the
    same without any spaces (models write “ОтделУчета”). Raises Ambiguous.
    """
    known = list(rows)
    if isinstance(wanted, int):
        return next((row for row in known if number_of(row) == wanted), None)
    text = wanted.strip()
    exact = [row for row in known if text in names_of(row)]
    if exact:
        return _only(exact)
    written = _NUMBER.fullmatch(text)
    if written is not None:
        number = int(written["bare"] or written["listed"])
        return next((row for row in known if number_of(row) == number), None)
    folded = fold(text)
    if not folded:
        return None
    alike = [row for row in known if folded in {fold(n) for n in names_of(row)}]
    if not alike:
        joined = folded.replace(" ", "")
        alike = [row for row in known if joined in {_joined(n) for n in names_of(row)}]
    return _only(alike) if alike else None


def _joined(name: str) -> str:
    return fold(name).replace(" ", "")


def number_of(row: Named) -> int:
    """Return Chatwoot's number of a row or of its mirror."""
    match row:
        case Agent():
            return row.chatwoot_agent_id
        case Inbox():
            return row.chatwoot_inbox_id
        case Label():
            return row.chatwoot_label_id
        case Team():
            return row.chatwoot_team_id
    return row.id


def names_of(row: Named) -> Iterator[str]:
    """Yield the names that a row goes by."""
    match row:
        case Agent() | AgentRow():
            names = (row.name, row.available_name, row.email)
        case Label() | LabelRow():
            names = (row.title, "", "")
        case _:
            names = (row.name, "", "")
    return (name for name in names if name)


def _only(rows: list[NamedT]) -> NamedT:
    if len(rows) > 1:
        raise Ambiguous(f"{next(names_of(r))} (#{number_of(r)})" for r in rows)
    return rows[0]
