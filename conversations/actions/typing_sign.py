"""Show or hide the sign that the bot is typing."""

from __future__ import annotations

from bridge_project.lib.types import JsonValue
from conversations.actions.failures import outcome_of
from conversations.actions.outcome import Outcome, not_set
from conversations.actions.target import Target
from dify_api.arguments import as_bool

FIELD = "typing"


def set_typing(target: Target, *, on: JsonValue, private: JsonValue = False) -> Outcome:
    """Show or hide the sign; not repeated, since it is soon worth nothing."""
    try:
        is_on, is_private = as_bool(on), as_bool(private) or False
        if is_on is None:
            return not_set(FIELD)
        target.client.set_typing(target.number, on=is_on, private=is_private)
    except Exception as err:
        return outcome_of(err, field=FIELD, target=target)
    return Outcome(
        field=FIELD, result="applied", after=is_on, extra={"private": is_private}
    )
