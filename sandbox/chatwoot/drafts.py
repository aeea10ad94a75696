"""A message before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.chatwoot.records import OUTGOING, Actor, RequestTimes
from sandbox.json_types import Json


@dataclass(frozen=True)
class Upload:
    name: str
    content_type: str
    data: bytes


@dataclass
class Draft:
    """A message to be; ``actor`` None means no sender (templates, a phone's app)."""

    content: str | None
    message_type: int = OUTGOING
    actor: Actor | None = None
    private: bool = False
    content_type: str = "text"
    content_attributes: Json = field(default_factory=dict)
    additional_attributes: Json = field(default_factory=dict)
    source_id: str | None = None
    uploads: list[Upload] = field(default_factory=list)
    request: RequestTimes | None = None
