"""Open, resolve, snooze a conversation, or give it back to the bot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.actions.noting import Marks, noted
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.actions.words import as_word
from conversations.models import ConversationStatus
from dify_api.arguments import as_text, is_not_set

FIELD = "status"
# Longer, and somebody has sent milliseconds.
MAX_SNOOZE = timedelta(days=3660)
_UNTIL_FORMS = (
    "Write it as a date and time such as 2026-12-01T09:00 or as Unix seconds."
)


@dataclass(frozen=True, kw_only=True)
class StatusPlan:
    """What status is wanted; `until` in Unix seconds, for snoozed only."""

    status: str
    until: int | None = None
    # A time came along with another status.
    ignores_until: bool = False


def plan(
    wanted: Mapping[str, JsonValue], *, now: datetime
) -> StatusPlan | Outcome | None:
    """Understand `status` and `snoozed_until`; None if neither was named."""
    if not {"status", "snoozed_until"} & wanted.keys():
        return None
    word = as_word(wanted.get("status"))
    until = wanted.get("snoozed_until")
    if word is None and is_not_set(until):
        return not_set(FIELD)
    status = word or ConversationStatus.SNOOZED
    if status not in ConversationStatus.values:
        raise NotDone(
            f"There is no status “{word}”. "
            f"Possible: {listed(ConversationStatus.values)}.",
            code="unknown_status",
            possible=ConversationStatus.values,
        )
    if status != ConversationStatus.SNOOZED:
        return StatusPlan(status=status, ignores_until=not is_not_set(until))
    return StatusPlan(status=status, until=_until(until, now=now))


def carry_out(plan: StatusPlan, *, state: State, target: Target) -> Outcome:
    """Set the status in Chatwoot, unless it is set already."""
    message = "“snoozed_until” was ignored: it goes with the status snoozed."
    done = Outcome(
        field=FIELD,
        result="unchanged",
        before=state.status,
        after=plan.status,
        message=message if plan.ignores_until else "",
        extra=_extra(plan),
    )
    if state.is_fresh and state.status == plan.status and plan.until is None:
        return done
    # What stands there already, a human may have set: it is not the flow's then.
    marks: Marks = {} if state.status == plan.status else {"status": plan.status}
    noted(
        lambda: target.client.toggle_status(
            target.number, status=plan.status, snoozed_until=plan.until
        ),
        target=target,
        marks=marks,
    )
    return replace(done, result="applied")


def _extra(plan: StatusPlan) -> JsonObject:
    if plan.until is None:
        return {}
    moment = datetime.fromtimestamp(plan.until, tz=UTC)
    return {"snoozed_until": moment.isoformat().replace("+00:00", "Z")}


def _until(value: JsonValue, *, now: datetime) -> int | None:
    """Return a moment in the future as Unix seconds, None if none was named."""
    text = as_text(value)
    if text is None:
        return None
    moment = _moment(text)
    if moment <= now:
        raise NotDone(
            f"“{text}” is in the past. A conversation can only be snoozed until a "
            "later time.",
            code="snooze_in_past",
        )
    if moment - now > MAX_SNOOZE:
        raise NotDone(
            f"“{text}” is more than ten years away. {_UNTIL_FORMS}", code="bad_value"
        )
    return int(moment.timestamp())


def _moment(text: str) -> datetime:
    """Read Unix seconds or ISO 8601; without a zone it is the bridge's own."""
    bare = text.strip("\"'` ")
    try:
        try:
            return datetime.fromtimestamp(float(bare), tz=UTC)
        except ValueError:
            moment = datetime.fromisoformat(bare)
            return moment if moment.tzinfo else timezone.make_aware(moment)
    except (ValueError, OverflowError, OSError) as err:
        raise NotDone(
            f"“{text[:80]}” is no time that is understood. {_UNTIL_FORMS}",
            code="bad_value",
        ) from err
