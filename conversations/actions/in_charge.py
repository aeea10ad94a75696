"""Whether the bot may speak to the customer now, or is to be silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge_project.lib.errors import BridgeError, UpstreamUnavailable
from conversations.actions.outcome import NotDone
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.decisions import (
    NO_MARKS,
    Situation,
    is_human_reply,
    marks_of,
    why_no_longer,
)
from conversations.models import Bot, Conversation, Reason, Turn

_NOTE = "a private note can always be written."
_HOW = f"To send it all the same, set “even_if_open” to true; {_NOTE}"
# A flow that says so may speak although a human has the conversation.
_OVERRIDABLE: Mapping[str, str] = {
    Reason.HUMAN_HAS_TAKEN_OVER: "a human has answered the customer meanwhile.",
    Reason.HUMAN_IS_ASSIGNED: (
        "a human is assigned to the conversation, and this bot leaves it to them."
    ),
    Reason.STATUS_NOT_ALLOWED: (
        "the conversation's status was changed, so it is the humans' to answer."
    ),
}
_FINAL: Mapping[str, str] = {
    Reason.PAUSED: "the bot is paused in this conversation.",
    Reason.ERASED: "what is known of the contact is being erased.",
}


def refuse_if_silent(state: State, *, target: Target, is_even_if_open: bool) -> None:
    """Raise NotDone if the bot is not to speak to the customer.

    What this run's own flow did (a status, an agent, a pause) is none of a human's: it
    may say goodbye after it handed over. A human's reply always counts.
    `is_even_if_open` overrides a human, but neither a pause nor who is to hear nothing.
    What the flow has changed is read after the state: it is noted before it is done.
    """
    row = _mirror(target)
    # Callers without a bot are bound by what bots do if nobody sets anything.
    bot = target.bot or Bot()
    _refuse_if_off(bot, state=state, row=row)
    turn = Turn.objects.filter(pk=target.turn.pk).first() if target.turn else None
    reason = turn.interrupt if turn else ""
    if reason in _FINAL or (reason in _OVERRIDABLE and not is_even_if_open):
        raise _refused(reason)
    since = turn.takeover_after_id if turn else 0
    since = since or (row.last_customer_message_id if row else 0)
    situation = Situation(
        status=state.status,
        labels=state.labels,
        custom_attributes=state.custom_attributes,
        assignee_kind=state.assignee_kind,
        assignee_id=state.assignee_id,
        paused=row.paused if row else False,
        human_message_id=0,
    )
    marks = marks_of(turn.by_flow, by_webhook=not state.is_fresh) if turn else NO_MARKS
    if is_even_if_open or not state.status:
        marks = replace(marks, statuses=marks.statuses | {state.status})
    if is_even_if_open:
        situation = replace(situation, assignee_kind="")
    why_not = why_no_longer(situation, turn_message_id=since, bot=bot, marks=marks)
    if why_not is not None:
        raise _refused(why_not, status=state.status)
    if not is_even_if_open and _has_human_answered(
        state, row=row, since=since, target=target
    ):
        raise _refused(Reason.HUMAN_HAS_TAKEN_OVER)


def _mirror(target: Target) -> Conversation | None:
    """Return the mirror's row as it is by now."""
    if target.conversation is None:
        return None
    return Conversation.objects.filter(pk=target.conversation.pk).first()


def _refuse_if_off(bot: Bot, *, state: State, row: Conversation | None) -> None:
    if not bot.enabled:
        raise NotDone(
            f"Nothing was sent: the bot is switched off; {_NOTE}", code="bot_is_silent"
        )
    contact = state.contact
    if (contact and contact.blocked) or (row and row.contact_blocked):
        raise NotDone(
            f"Nothing was sent: the contact is blocked; {_NOTE}", code="bot_is_silent"
        )


def _refused(reason: str, *, status: str = "") -> NotDone:
    if reason in _FINAL:
        sentence = f"{_FINAL[reason]} A{_NOTE[1:]}"
    elif reason == Reason.STATUS_NOT_ALLOWED and status:
        sentence = (
            f"the conversation is {status}, so it is the humans' to answer. {_HOW}"
        )
    else:
        sentence = f"{_OVERRIDABLE[reason]} {_HOW}"
    return NotDone(f"Nothing was sent: {sentence}", code="human_in_charge")


def _has_human_answered(
    state: State, *, row: Conversation | None, since: int, target: Target
) -> bool:
    if row is not None and row.last_human_message_id > since:
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
