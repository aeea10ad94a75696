"""What became of each of the customer's files, as `Turn.files` keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.payloads import Attachment
from dify_api.payloads import InputFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one file; nothing yet if all is empty.

    `problem` is told to the model and may be read by the customer; `cause`, what the
    servers said, is for agents and operators.
    """

    number: int = 0
    name: str = ""
    # The upload: in which app, for which user, and where it goes in a run.
    app: int = 0
    user: str = ""
    upload_file_id: str = ""
    kind: str = ""
    variable: str = ""
    is_list: bool = True
    # What a voice message says, and who understood it.
    text: str = ""
    heard_by: str = ""
    problem: str = ""
    cause: str = ""
    # Agents are told of it by a note: what was understood, or that nothing was.
    tells: bool = False

    @property
    def is_sent(self) -> bool:
        """Tell whether it is in Dify."""
        return bool(self.upload_file_id)

    def is_settled(self, *, app: int, user: str) -> bool:
        """Tell whether there is nothing left to be done for a run of this app."""
        if self.text:
            return True
        if self.app != app:
            return False
        return bool(self.problem) or (self.is_sent and self.user == user)

    def as_input(self) -> InputFile:
        """Return it as an item of a run's files."""
        return InputFile(kind=self.kind, upload_file_id=self.upload_file_id)

    def to_json(self) -> JsonObject:
        """Return what is worth keeping."""
        kept: JsonObject = asdict(self)
        usual = asdict(Fate())
        return {key: kept[key] for key in kept if kept[key] != usual[key]}


_KINDS = {item.name: type(getattr(Fate(), item.name)) for item in fields(Fate)}


def fate_of(stored: JsonValue) -> Fate:
    """Read what `Fate.to_json` wrote; what is not of it is not there."""
    source = stored if isinstance(stored, dict) else {}
    values: dict[str, Any] = {
        name: source[name]
        for name, kind in _KINDS.items()
        if type(source.get(name)) is kind
    }
    return Fate(**values)


def key_of(attachment: Attachment) -> str:
    """Return under which name `Turn.files` keeps it."""
    return str(attachment.id)
