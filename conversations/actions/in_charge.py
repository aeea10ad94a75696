"""Whether the bot may speak to the customer, or a human has taken over."""

from __future__ import annotations

from bridge_project.lib.errors import BridgeError, UpstreamUnavailable
from conversations.actions.outcome import NotDone
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.decisions import is_human_reply
from conversations.models import Turn
from conversations.models.bot import default_statuses

_HOW = (
    "To send it all the same, set “even_if_open” to true; a private note can always "
    "be written."
)


def refuse_if_human(state: State, *, target: Target) -> None:
    """Raise NotDone (human_in_charge) if the bot is to be silent.

    A status that this run's own flow has set is none of a human's: it may say goodbye
    after it handed over. A human's reply always counts.
    """
    statuses = target.bot.speak_in_statuses if target.bot else default_statuses()
    if state.status and state.status not in statuses and not _is_own(state, target):
        raise NotDone(
            f"Nothing was sent: the conversation is {state.status}, so it is the "
            f"humans' to answer. {_HOW}",
            code="human_in_charge",
        )
    if _has_human_answered(state, target=target):
        raise NotDone(
            f"Nothing was sent: a human has answered the customer meanwhile. {_HOW}",
            code="human_in_charge",
        )


def _is_own(state: State, target: Target) -> bool:
    """Tell whether the running flow itself has set the status, by now."""
    if target.turn is None:
        return False
    marks = Turn.objects.filter(pk=target.turn.pk).values_list("by_flow", flat=True)
    by_flow = marks.first() or {}
    return bool(by_flow.get("status") == state.status)


def _has_human_answered(state: State, *, target: Target) -> bool:
    row = target.conversation
    since = target.turn.last_message_id if target.turn else 0
    if row is not None:
        since = since or row.last_customer_message_id
        if row.last_human_message_id > since:
            return True
    last = state.last
    if last is None or last.id <= since:
        return False
    if is_human_reply(last):
        return True
    return bool(since) and _is_hidden(since, target=target)


def _is_hidden(since: int, *, target: Target) -> bool:
    """A note, or the customer's next message, may hide a human's reply."""
    if not target.client.can_read_messages:
        return False
    try:
        history = target.client.list_messages(target.number, after=since)
    except UpstreamUnavailable:
        raise
    except BridgeError:
        return False  # the webhooks' own news have to do
    return any(is_human_reply(message) for message in history)
