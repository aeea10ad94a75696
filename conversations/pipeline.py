"""Run one turn: claim it, check, ask Dify, check again, post, record.

Short writes and bare calls alternate; no transaction is open and no database
connection is held while Chatwoot or Dify is called (see `lib.http`).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    OutcomeUnknown,
    UpstreamError,
)
from bridge_project.lib.redact import cut
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from conversations import answering, freshness, handover, posting, retries, turns
from conversations.call_log import CallRecorder
from conversations.decisions import hides_from_humans
from conversations.leases import keeper
from conversations.models import (
    Bot,
    OutgoingMessage,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
)
from dify_api.payloads import Outcome

logger = logging.getLogger(__name__)

# More than retries ever make: such a turn kills its workers.
MAX_ATTEMPTS = 12
# A turn that cannot be handed over because Chatwoot is away waits this long for it.
HANDOVER_GIVEN_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Result:
    """What became of a turn, and which one is to be woken next, and when."""

    summary: str
    next_turn_id: int | None = None
    delay_s: float = 0.0
    fault: Exception | None = None


@dataclass(frozen=True)
class Ending:
    """How a turn ends."""

    status: Turn.Status
    reason: Reason


class LeaseLost(BridgeError):
    """Another worker has taken the turn; this one must not go on."""

    code = "lease_lost"


class NoAnswer(BridgeError):
    """Dify ran, but what it said is nothing that a customer can be told."""

    code = "no_answer"

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


def run(turn_id: int) -> Result:
    """Run a turn that is due. Harmless to repeat: only one worker can claim it."""
    lease = Turn.objects.claim(turn_id, now=timezone.now())
    if lease is None:
        return Result("not due, or already running")
    turn = Turn.objects.select_related(
        "bot__account", "bot__dify_app", "conversation__account", "conversation__inbox"
    ).get(pk=turn_id)
    recorder = CallRecorder(turn)
    with keeper.kept(lease):
        try:
            ending = _work(turn, lease=lease, recorder=recorder)
        except LeaseLost:
            return Result("lost the lease, another worker has it")
        except Exception as err:
            result = _after_failure(turn, lease=lease, err=err)
            # The task raises a fault of ours, once the next attempt is on its way.
            fault = None if isinstance(err, BridgeError) else err
            return replace(result, fault=fault)
        finally:
            recorder.flush()
        following = turns.finish(
            turn, lease=lease, status=ending.status, reason=ending.reason
        )
    return Result(
        f"{ending.status}: {ending.reason}",
        next_turn_id=following.pk if following else None,
    )


def _work(turn: Turn, *, lease: UUID, recorder: CallRecorder) -> Ending:
    """Do what the turn needs next. Raises what `_after_failure` sorts out."""
    bot = turn.bot
    if bot is None:
        return Ending(Turn.Status.SKIPPED, Reason.NO_BOT_FOR_INBOX)
    client = ChatwootClient(bot.account, call_log=recorder)
    if turn.attempts > MAX_ATTEMPTS and not turn.handover_reason:
        raise NoAnswer(Reason.INTERNAL_ERROR)
    # 1. An earlier attempt may have posted the answer and died before it said so.
    if _is_answered(turn, client=client):
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED)
    # 2. Is it still ours to answer?
    reason = freshness.why_not(turn, bot=bot, client=client)
    if turn.handover_reason:
        _keep(lease)
        return _hand_over(turn, bot=bot, client=client, not_ours=reason)
    if reason is not None:
        return Ending(Turn.Status.SKIPPED, reason)
    if not bot.enabled:
        if not hides_from_humans(status=turn.conversation.status, bot=bot):
            return Ending(Turn.Status.SKIPPED, Reason.BOT_DISABLED)
        raise NoAnswer(Reason.BOT_DISABLED)
    # 3. Ask.
    with _typing(turn, bot=bot, client=client):
        answered = _ask(turn, bot=bot, recorder=recorder)
    # 4. Dify took its time: look again, just before posting.
    reason = freshness.why_not(turn, bot=bot, client=client)
    if reason is not None:
        return Ending(Turn.Status.SKIPPED, reason)
    missing = _why_no_answer(answered)
    if missing is not None:
        raise NoAnswer(missing)
    _keep(lease)
    # 5. Post.
    posting.post_once(
        turn,
        part=OutgoingMessage.Part.ANSWER,
        content=answered.answer,
        private=bot.reply_as == ReplyAs.PRIVATE_NOTE,
        client=client,
    )
    if bot.account.health in (Health.UNKNOWN, Health.FAILING):
        ChatwootAccount.objects.filter(pk=bot.account.pk).usable().mark_ok()
    return Ending(Turn.Status.ANSWERED, Reason.ANSWERED)


def _ask(turn: Turn, *, bot: Bot, recorder: CallRecorder) -> PipelineRun:
    if bot.dify_app is None:
        raise ConfigurationError("The bot has no Dify app. Choose one at the bot.")
    return answering.answer_for(turn, bot=bot, app=bot.dify_app, recorder=recorder)


def _why_no_answer(run: PipelineRun) -> Reason | None:
    """A paused or stopped run may have said something; it is not the answer."""
    if run.outcome == Outcome.PAUSED:
        return Reason.DIFY_PAUSED
    if run.outcome == Outcome.STOPPED:
        return Reason.DIFY_STOPPED
    return None if run.answer.strip() else Reason.EMPTY_ANSWER


def _keep(lease: UUID) -> None:
    """Go on only while the turn is still ours: right before a message is posted."""
    if not Turn.objects.renew([lease], now=timezone.now()):
        raise LeaseLost


def _is_answered(turn: Turn, *, client: ChatwootClient) -> bool:
    try:
        return posting.is_posted(turn, part=OutgoingMessage.Part.ANSWER, client=client)
    except posting.CannotBeKnown:
        # The humans have to look; that is what the handover is for.
        if turn.handover_reason:
            return False
        raise


def _hand_over(
    turn: Turn, *, bot: Bot, client: ChatwootClient, not_ours: Reason | None
) -> Ending:
    """Finish a handover, unless a human was faster."""
    if not_ours is None:
        handover.hand_over(turn, bot=bot, client=client)
    elif not handover.was_begun(turn):
        # Otherwise it is our own status change, made before a worker died.
        return Ending(Turn.Status.SKIPPED, not_ours)
    return Ending(Turn.Status.HANDED_OVER, Reason(turn.handover_reason))


@contextmanager
def _typing(turn: Turn, *, bot: Bot, client: ChatwootClient) -> Iterator[None]:
    """Show the typing sign meanwhile; a sign that fails costs nobody the answer."""
    shown = bot.reply_as == ReplyAs.MESSAGE
    number = turn.conversation.chatwoot_conversation_id
    try:
        if shown:
            client.show_typing(number, on=True)
        yield
    finally:
        if shown:
            client.show_typing(number, on=False)


def _after_failure(turn: Turn, *, lease: UUID, err: Exception) -> Result:
    """Put the turn back for another attempt, for the humans, or, at last, give up."""
    # The reason of a NoAnswer says it all.
    error = "" if isinstance(err, NoAnswer) else cut(str(err))
    logger.warning("Turn %s, attempt %s: %s", turn.pk, turn.attempts, error)
    reason, pause = _what_next(turn, err)
    if pause is None:
        result = _give_up(turn, lease=lease, err=err)
    else:
        unsettled = posting.is_unsettled(turn)
        status = Turn.Status.UNKNOWN if unsettled else Turn.Status.RETRYING
        turns.postpone(
            turn,
            lease=lease,
            status=status,
            until=timezone.now() + timedelta(seconds=pause),
            error=error,
            handover_reason=reason,
        )
        result = Result(f"{status}: {error}", next_turn_id=turn.pk, delay_s=pause)
    if isinstance(err, UpstreamError) and err.service == ChatwootClient.service:
        ChatwootAccount.objects.filter(pk=turn.conversation.account_id).note(err)
    return result


def _what_next(turn: Turn, err: Exception) -> tuple[str, float | None]:
    """Return the reason to hand over, "" for none, and the pause; None: give up."""
    chance = random.random()
    if turn.handover_reason:
        pause = retries.handover_delay_s(turn.attempts, error=err, chance=chance)
        too_late = timezone.now() - turn.created_at > HANDOVER_GIVEN_UP_AFTER
        return turn.handover_reason, None if too_late else pause
    if isinstance(err, OutcomeUnknown) and turn.attempts <= len(retries.DELAYS_S):
        return "", retries.look_up_delay_s(turn.attempts)
    pause = retries.delay_s(turn.attempts, error=err, chance=chance)
    if pause is None:
        return _reason_of(err), 0.0
    return "", pause


def _give_up(turn: Turn, *, lease: UUID, err: Exception) -> Result:
    logger.error("Turn %s can neither be answered nor handed over: %s", turn.pk, err)
    following = turns.finish(
        turn,
        lease=lease,
        status=Turn.Status.FAILED,
        reason=Reason(turn.handover_reason),
        error=cut(str(err)),
    )
    return Result(
        f"{Turn.Status.FAILED}: {err}",
        next_turn_id=following.pk if following else None,
    )


def _reason_of(err: Exception) -> Reason:
    """Name the cause of a handover."""
    if isinstance(err, NoAnswer):
        return err.reason
    if isinstance(err, posting.CannotBeKnown | OutcomeUnknown):
        return Reason.OUTCOME_UNKNOWN
    if isinstance(err, ConfigurationError):
        return Reason.CONFIGURATION
    if isinstance(err, UpstreamError):
        is_dify = err.service == "dify"
        return Reason.DIFY_FAILED if is_dify else Reason.CHATWOOT_FAILED
    return Reason.INTERNAL_ERROR
