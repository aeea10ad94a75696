"""Set or clear a conversation's priority."""

from __future__ import annotations

from bridge_project.lib.types import JsonValue
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.actions.words import as_word, means_clear

FIELD = "priority"
PRIORITIES = ("low", "medium", "high", "urgent")
CLEARED = ""


def plan(value: JsonValue) -> str | Outcome:
    """Return the priority that is wanted, "" to clear it."""
    word = as_word(value)
    if word is None:
        return not_set(FIELD)
    if means_clear(value):
        return CLEARED
    if word not in PRIORITIES:
        raise NotDone(
            f"There is no priority “{word[:80]}”. Possible: {listed(PRIORITIES)}, or "
            "“clear” to take it away.",
            code="unknown_priority",
            possible=PRIORITIES,
        )
    return word


def carry_out(priority: str, *, state: State, target: Target) -> Outcome:
    """Set the priority in Chatwoot, unless it is set already."""
    before, after = state.priority or None, priority or None
    unchanged = state.is_fresh and before == after
    if not unchanged:
        repeating(
            lambda: target.client.toggle_priority(target.number, priority=priority),
            target=target,
        )
    return Outcome(
        field=FIELD,
        result="unchanged" if unchanged else "applied",
        before=before,
        after=after,
    )
