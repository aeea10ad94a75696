"""What is trouble, by the limits of a channel. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge_project.lib.types import JsonObject
from conversations.models import AlertCause, AlertChannel, Reason

# Fewer failures are bad luck, not a rate.
MIN_FAILED = 5
# An alert is over when its value has been below this part of the limit for a while.
RELIEF = 0.8
# Handed over for one of these, a customer went to the humans because of a failure.
FAILURES = (
    Reason.TOOK_TOO_LONG,
    Reason.EMPTY_ANSWER,
    Reason.DIFY_STOPPED,
    Reason.DIFY_FAILED,
    Reason.PROVIDER_FAILED,
    Reason.CHATWOOT_FAILED,
    Reason.OUTCOME_UNKNOWN,
    Reason.CONFIGURATION,
    Reason.INTERNAL_ERROR,
    Reason.BOT_HAS_NO_APP,
)


@dataclass(frozen=True)
class Refused:
    """A key or token that its service does not take any more."""

    # "dify", "chatwoot_bot" or "chatwoot_admin".
    kind: str
    pk: int
    name: str


@dataclass(frozen=True)
class Waiting:
    """The customer who waits longest."""

    since: datetime
    conversation_id: int
    number: int


@dataclass(frozen=True)
class State:
    """How things stand right now."""

    now: datetime
    refused: tuple[Refused, ...] = ()
    # Of the last hour's turns; the bots with the most failures first.
    ended: int = 0
    failed: int = 0
    failing_bots: tuple[str, ...] = ()
    oldest: Waiting | None = None
    # Since when deletions are wanted that Dify has not proven, the oldest first.
    deletions: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Limits:
    """From where on a channel calls it trouble."""

    causes: frozenset[str]
    failing_percent: float
    min_failed: float
    waiting: timedelta
    deletion: timedelta

    def relieved(self) -> Limits:
        """Return what an alert that is open has to come below."""
        return replace(
            self,
            failing_percent=self.failing_percent * RELIEF,
            min_failed=self.min_failed * RELIEF,
            waiting=self.waiting * RELIEF,
            deletion=self.deletion * RELIEF,
        )


@dataclass(frozen=True)
class Trouble:
    """What a channel is to be told of; `facts` hold no customer's name or words."""

    cause: AlertCause
    subject: str
    facts: JsonObject


def limits_of(channel: AlertChannel) -> Limits:
    """Return a channel's own limits."""
    return Limits(
        causes=frozenset(channel.causes),
        failing_percent=channel.failing_percent,
        min_failed=MIN_FAILED,
        waiting=timedelta(minutes=channel.waiting_minutes),
        deletion=timedelta(hours=channel.deletion_hours),
    )


def troubles(state: State, limits: Limits) -> list[Trouble]:
    """Return all trouble that the channel wants to hear of."""
    found = [
        *_refused(state),
        *_failing(state, limits),
        *_waiting(state, limits),
        *_overdue(state, limits),
    ]
    return [trouble for trouble in found if trouble.cause in limits.causes]


def _refused(state: State) -> list[Trouble]:
    return [
        Trouble(
            AlertCause.REFUSED_KEY,
            f"{one.kind}:{one.pk}",
            {"kind": one.kind, "id": one.pk, "name": one.name},
        )
        for one in state.refused
    ]


def _failing(state: State, limits: Limits) -> list[Trouble]:
    if state.failed < limits.min_failed:
        return []
    percent = state.failed / state.ended * 100
    if percent < limits.failing_percent:
        return []
    facts: JsonObject = {
        "failed": state.failed,
        "ended": state.ended,
        "percent": round(percent),
        "bots": list(state.failing_bots),
    }
    return [Trouble(AlertCause.FAILING_RATE, "", facts)]


def _waiting(state: State, limits: Limits) -> list[Trouble]:
    oldest = state.oldest
    if oldest is None or state.now - oldest.since < limits.waiting:
        return []
    facts: JsonObject = {
        "minutes": int((state.now - oldest.since).total_seconds() // 60),
        "since": oldest.since.isoformat(),
        "conversation": oldest.conversation_id,
        "number": oldest.number,
    }
    return [Trouble(AlertCause.OLDEST_WAITING, "", facts)]


def _overdue(state: State, limits: Limits) -> list[Trouble]:
    overdue = [at for at in state.deletions if state.now - at >= limits.deletion]
    if not overdue:
        return []
    facts: JsonObject = {
        "count": len(overdue),
        "hours": int((state.now - overdue[0]).total_seconds() // 3600),
        "since": overdue[0].isoformat(),
    }
    return [Trouble(AlertCause.OVERDUE_DELETION, "", facts)]
