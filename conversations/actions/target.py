"""The conversation that is acted on, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations.models import Bot, Conversation, Turn

# Chatwoot's passing trouble is waited for as long as this, in one request altogether.
MAX_PATIENCE_S = 8.0


@dataclass
class Patience:
    """How long one request still repeats what failed; counts from the first failure."""

    ends_at: float | None = None

    def left_s(self) -> float:
        """Start counting if nothing has failed before; return what is left."""
        now = monotonic()
        if self.ends_at is None:
            self.ends_at = now + MAX_PATIENCE_S
        return self.ends_at - now


@dataclass(frozen=True, kw_only=True)
class Target:
    """One conversation, who acts on it, and how long; made for each request.

    `number` is Chatwoot's, `conversation` the mirror's row if there is one yet.
    """

    account: ChatwootAccount
    bot: Bot | None
    number: int
    conversation: Conversation | None
    client: ChatwootClient
    # The run of the flow that asks for it, if it is one.
    turn: Turn | None
    # On the clock `time.monotonic`: no call to Chatwoot is begun later.
    until: float
    # Travels with a message that is posted, by which it is found again.
    mark: UUID
    # False for a late call of an earlier run: what it says is not this turn's answer.
    speaks_for_turn: bool = True
    # The agents decide what the customer hears, and what becomes of the conversation.
    only_suggests: bool = False
    patience: Patience = field(default_factory=Patience, repr=False, compare=False)

    def left_s(self) -> float:
        """Return how long calls may still be begun; negative when it is over."""
        return self.until - monotonic()

    def note_by_flow(self, **marks: str | bool | int) -> None:
        """Note what the run's own flow is about to do; see `noting`."""
        if not self.speaks_for_turn:
            marks.pop("spoke", None)
        if self.turn is not None and marks:
            Turn.objects.note_by_flow(self.turn.pk, **marks)

    def withdraw_by_flow(self, **marks: str | bool | int) -> None:
        """Take back what was noted and surely did not happen."""
        if not self.speaks_for_turn:
            marks.pop("spoke", None)
        if self.turn is not None and marks:
            Turn.objects.withdraw_by_flow(self.turn.pk, **marks)
