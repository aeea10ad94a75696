"""What a bot says without being asked: greetings, new beginnings, forms, offers."""

from __future__ import annotations

from conversations import (
    flow_forms,
    form_rows,
    freshness,
    greetings,
    opening_statement,
    posting,
)
from conversations.answers import Answer, suggestions
from conversations.attempts import Attempt, Ending, claim_post
from conversations.decisions import hides_from_humans, replies_as
from conversations.freshness import Look
from conversations.models import (
    ConversationStatus,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
)
from conversations.outcomes import NoAnswer


def greet(attempt: Attempt) -> Ending:
    """Say hello, unless something has been said meanwhile."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    part = OutgoingMessage.Part.GREETING
    if turn.handover_reason:
        return Ending(Turn.Status.SKIPPED, Reason(turn.handover_reason))
    if not posting.is_posted(turn, part=part, client=client):
        text, rich = opening_statement.wording(
            turn.conversation, bot=bot, call_log=attempt.recorder
        )
        look = freshness.look(turn, bot=bot, client=client)
        reason = look.why_not or greetings.why_not_now(turn, bot=bot, look=look)
        if reason is None and not text:
            reason = Reason.NOTHING_TO_SAY
        if reason is not None:
            return Ending(Turn.Status.SKIPPED, reason)
        claim_post(attempt)
        posting.post_once(
            turn, part=part, content=text, private=False, client=client, rich=rich
        )
    return Ending(Turn.Status.ANSWERED, Reason.GREETING, ReplyAs.MESSAGE)


def begin_anew(attempt: Attempt, *, look: Look) -> Ending:
    """Tell the customer that the bot has forgotten; agents need not be told.

    Where the bot does not speak, a conversation that only it sees is the humans'.
    """
    turn, bot = attempt.turn, attempt.bot
    replied_as = replies_as(bot, look.situation, kind=turn.kind)
    is_hidden = hides_from_humans(status=look.status, bot=bot)
    if replied_as != ReplyAs.MESSAGE and is_hidden:
        claim_post(attempt)
        attempt.client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
        return Ending(Turn.Status.HANDED_OVER, Reason.RESET)
    if replied_as != ReplyAs.MESSAGE or not bot.reset_text.strip():
        return Ending(Turn.Status.SKIPPED, Reason.RESET)
    claim_post(attempt)
    posting.post_once(
        turn,
        part=OutgoingMessage.Part.ANSWER,
        content=bot.reset_text,
        private=False,
        client=attempt.client,
    )
    return Ending(Turn.Status.ANSWERED, Reason.ANSWERED, replied_as)


def pose(
    attempt: Attempt,
    form: FlowForm,
    *,
    look: Look,
    run: PipelineRun | None,
    answer: Answer | None = None,
) -> Ending:
    """Ask for the form that the flow waits for; agents have to see theirs.

    `answer` is what the flow said before it paused.
    Where the bot only suggests, nobody is asked: the humans have the conversation.
    """
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    if replies_as(bot, look.situation, kind=turn.kind) != ReplyAs.MESSAGE:
        form_rows.withdraw(turn.conversation_id)
        raise NoAnswer(Reason.DIFY_PAUSED)
    claim_post(attempt)
    posed = flow_forms.pose(
        form,
        turn=turn,
        bot=bot,
        client=client,
        run=run,
        answer=answer,
        private=look.is_humans,
    )
    if posed == flow_forms.Pose.CUSTOMER:
        status = Turn.Status.ANSWERED
        return Ending(status, Reason.ASKED_FOR_FORM, ReplyAs.MESSAGE)
    if hides_from_humans(status=look.status, bot=bot):
        client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
    return Ending(Turn.Status.HANDED_OVER, Reason.ASKED_FOR_FORM)


def offer_questions(attempt: Attempt, *, run: PipelineRun) -> None:
    """Offer what Dify suggests to ask next, while the customer is still ours."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    if turn.kind != Turn.Kind.ANSWER or not suggestions.may_have_any(run, bot=bot):
        return
    questions = suggestions.ask(run, call_log=attempt.recorder)
    if not questions or attempt.watch.is_interrupted():
        return
    if freshness.look(turn, bot=bot, client=client).why_not is None:
        suggestions.offer(turn, questions, bot=bot, client=client)
