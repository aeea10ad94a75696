"""How a turn ends: answered, suggested, left alone, or handed to the humans."""

from __future__ import annotations

from conversations import drafts, form_rows, handover
from conversations.attempts import Attempt, Ending
from conversations.decisions import (
    CLOSED,
    SILENCED,
    hides_from_humans,
    is_settled_by_flow,
    leads,
    replies_as,
    situation_of,
)
from conversations.freshness import Look
from conversations.models import ConversationStatus, Reason, ReplyAs, Turn
from conversations.outcomes import NoAnswer


def answered(
    attempt: Attempt, *, replied_as: ReplyAs, status: str = "", said: str = ""
) -> Ending:
    """End a turn whose answer is posted; a note brings the customer to the humans.

    Only the bot sees a pending conversation. Where it wrote a note there because the
    customer wants a human, or on a trial run, the humans have to answer. `said` is what
    the flow noted by callbacks in place of an answer.
    """
    turn, bot = attempt.turn, attempt.bot
    if replied_as == ReplyAs.MESSAGE:
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED, replied_as)
    drafts.record(turn, bot=bot, said=said)
    is_answer = turn.kind == Turn.Kind.ANSWER
    if is_answer and hides_from_humans(
        status=status or situation_of(turn.conversation).status, bot=bot
    ):
        attempt.client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
    reason = Reason.ANSWERED if is_answer and not leads(bot) else Reason.SUGGESTED
    return Ending(Turn.Status.ANSWERED, reason, replied_as)


def as_said(text: str, *, attempt: Attempt, replied_as: ReplyAs) -> str:
    """Return the answer as it is posted: a suggestion says whose it is."""
    bot, kind = attempt.bot, attempt.turn.kind
    if replied_as == ReplyAs.MESSAGE or not drafts.suggests(bot, kind=kind):
        return text
    return drafts.marked(text, bot=bot, kind=kind)


def noted_by_flow(attempt: Attempt, *, look: Look) -> str:
    """Return what a flow that answers by callbacks wrote for the agents, "" if nothing.

    It meant to tell the customer; where the bot only suggests, these are its notes.
    """
    bot, kind = attempt.bot, attempt.turn.kind
    is_note = replies_as(bot, look.situation, kind=kind) == ReplyAs.PRIVATE_NOTE
    if not is_note or not drafts.suggests(bot, kind=kind):
        return ""
    return drafts.said_by_flow(attempt.turn)


def not_answered(attempt: Attempt, *, reason: Reason, status: str) -> Ending:
    """End the turn; what only the bot can see is for the humans if it is silenced."""
    is_silenced = reason in SILENCED | {Reason.BOT_DISABLED, Reason.NO_BOT_FOR_INBOX}
    is_answer = attempt.turn.kind == Turn.Kind.ANSWER
    if is_answer and is_silenced and hides_from_humans(status=status, bot=attempt.bot):
        raise NoAnswer(reason)
    return Ending(Turn.Status.SKIPPED, reason)


def ended_by_flow(attempt: Attempt, *, look: Look) -> Ending:
    """End a turn whose flow did by callbacks what there was to do, and said no more.

    No failure, so neither line nor note. Opened for the agents, or paused where they
    see it, it is handed over; what the flow resolved or snoozed is deliberately left
    without an answer. Paused where only the bot sees it, it has yet to be opened.
    """
    if look.flow_spoke:
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED_BY_FLOW, ReplyAs.MESSAGE)
    if hides_from_humans(status=look.status, bot=attempt.bot):
        raise NoAnswer(Reason.HANDED_OVER_BY_FLOW)
    is_closed = look.status in CLOSED
    status = Turn.Status.SKIPPED if is_closed else Turn.Status.HANDED_OVER
    return Ending(status, Reason.HANDED_OVER_BY_FLOW)


def hand_over(attempt: Attempt, *, look: Look) -> Ending:
    """Finish a handover, unless a human was faster.

    A flow may have let go of the conversation before it failed. Whom it has spoken to
    then hears no apology; the agents get the note in any case.
    """
    turn, not_ours = attempt.turn, look.why_not
    # What only agents asked has nothing to do with what the customer is asked.
    if turn.kind == Turn.Kind.ANSWER and form_rows.are_asked(attempt.bot):
        form_rows.withdraw(turn.conversation_id)
    if not_ours is None or not_ours in SILENCED:
        left, spoke = look.left_by_flow, look.flow_spoke
        handover.hand_over(
            turn,
            bot=attempt.bot,
            client=attempt.client,
            speaks=replies_as(attempt.bot, look.situation, kind=turn.kind)
            == ReplyAs.MESSAGE,
            quietly=not_ours is not None
            or look.is_humans
            or (left is not None and spoke),
            opens=not is_settled_by_flow(left, status=look.status, spoke=spoke),
        )
    elif not handover.was_begun(turn):
        # Otherwise it is our own status change, made before a worker died.
        return Ending(Turn.Status.SKIPPED, not_ours)
    return Ending(Turn.Status.HANDED_OVER, Reason(turn.handover_reason))
