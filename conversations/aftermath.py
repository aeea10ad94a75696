"""What follows an attempt that gave no answer: another one, the humans, or the end."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.errors import (
    ConfigurationError,
    OutcomeUnknown,
    Unauthorized,
    UpstreamError,
)
from bridge_project.lib.redact import cut
from chatwoot_api.models import ChatwootAccount
from conversations import posting, retries, turns
from conversations.models import Reason, Turn, WebhookEvent
from conversations.outcomes import (
    NEW_MESSAGE,
    SHUTDOWN,
    AccountRefused,
    Interrupted,
    NoAnswer,
    NoPlace,
)

logger = logging.getLogger(__name__)

# Nobody waits for these: without them the humans go on as they do.
_UNNOTICED = (Turn.Kind.DRAFT, Turn.Kind.GREETING)
# The agent who asked is looking at the conversation, and had better hear of it soon.
MAX_HELP_ATTEMPTS = 3
# The customer's first message waits for the greeting.
MAX_GREETING_ATTEMPTS = 2
_MAX_ATTEMPTS: Mapping[str, int] = {
    Turn.Kind.HELP: MAX_HELP_ATTEMPTS,
    Turn.Kind.GREETING: MAX_GREETING_ATTEMPTS,
}
# A turn that cannot be handed over because Chatwoot is away waits this long for it.
GIVEN_UP_AFTER = timedelta(hours=24)
# Whose failure is what to a turn; every other service is Chatwoot.
_NOT_CHATWOOT: Mapping[str, Reason] = {
    "dify": Reason.DIFY_FAILED,
    "openai": Reason.PROVIDER_FAILED,
    "provider": Reason.PROVIDER_FAILED,
}


@dataclass(frozen=True)
class Result:
    """What became of a turn, and which one is to be woken next, and when."""

    summary: str
    next_turn_id: int | None = None
    delay_s: float = 0.0
    fault: Exception | None = None
    # The Dify app that was asked: others may be waiting for its place.
    app_id: int | None = None


@dataclass(frozen=True)
class Next:
    """What is done next with a turn; without a pause it is given up."""

    pause_s: float | None
    handover_reason: str = ""
    # An attempt that never really began is not counted.
    counts: bool = True


def settle(
    turn: Turn, *, lease: UUID, err: Exception, about: list[WebhookEvent]
) -> Result:
    """Put the turn back for another attempt, for the humans, or, at last, give up."""
    if isinstance(err, Interrupted) and err.cause == Reason.ERASED:
        turns.finish(
            turn,
            lease=lease,
            status=Turn.Status.SKIPPED,
            reason=Reason.ERASED,
            about=about,
        )
        return Result("the contact is being erased")
    error = _in_words(err, turn=turn)
    following = _what_next(turn, err)
    level = logging.WARNING if following.counts else logging.INFO
    logger.log(level, "Turn %s, attempt %s: %s", turn.pk, turn.attempts, err)
    if following.handover_reason and is_unnoticed(turn):
        result = _drop(
            turn,
            lease=lease,
            why=following.handover_reason,
            error=error,
            about=about,
        )
    elif following.pause_s is None:
        result = _give_up(turn, lease=lease, err=err, about=about)
    else:
        result = _postpone(turn, lease=lease, following=following, err=err, error=error)
    # Refused tokens are noted where it is known whose they are: see `pipeline`.
    is_refusal = isinstance(err, Unauthorized)
    is_chatwoot = isinstance(err, UpstreamError) and err.service not in _NOT_CHATWOOT
    if isinstance(err, UpstreamError) and is_chatwoot and not is_refusal:
        ChatwootAccount.objects.filter(pk=turn.conversation.account_id).note(err)
    return result


def is_unnoticed(turn: Turn) -> bool:
    """Tell whether a turn ends in silence: nobody is told that there is no draft."""
    return turn.kind in _UNNOTICED


def is_too_late(turn: Turn) -> bool:
    """Tell whether a turn has waited so long that it is given up."""
    return timezone.now() - turn.created_at > GIVEN_UP_AFTER


def _in_words(err: Exception, *, turn: Turn) -> str:
    """Say what agents are told besides the reason."""
    if isinstance(err, NoAnswer):
        return err.error
    return turn.error if isinstance(err, Interrupted) else cut(str(err))


def _postpone(
    turn: Turn, *, lease: UUID, following: Next, err: Exception, error: str
) -> Result:
    status = Turn.Status.RETRYING
    if posting.is_unsettled(turn):
        status = Turn.Status.UNKNOWN
    elif not following.counts and turn.attempts <= 1 and not turn.handover_reason:
        status = Turn.Status.COLLECTING
    pause_s = following.pause_s or 0.0
    app_id = err.app_id if isinstance(err, NoPlace) else None
    following_turn = turns.postpone(
        turn,
        lease=lease,
        status=status,
        until=timezone.now() + timedelta(seconds=pause_s),
        error=error if following.counts else turn.error,
        handover_reason=following.handover_reason,
        counts=following.counts,
        queued_for=app_id,
    )
    if following_turn is not None and following_turn.pk != turn.pk:
        delay_s = turns.pause_s(following_turn)
        text = f"{Turn.Status.SKIPPED}: {Reason.CUSTOMER_MESSAGE}"
        return Result(text, next_turn_id=following_turn.pk, delay_s=delay_s)
    return Result(f"{status}: {error}", next_turn_id=turn.pk, delay_s=pause_s)


def _drop(
    turn: Turn, *, lease: UUID, why: str, error: str, about: list[WebhookEvent]
) -> Result:
    """End what nobody waits for; its row says why there is none."""
    following = turns.finish(
        turn,
        lease=lease,
        status=Turn.Status.SKIPPED,
        reason=Reason(why),
        error=error,
        about=about,
    )
    return Result(
        f"{Turn.Status.SKIPPED}: {why}",
        next_turn_id=following.pk if following else None,
        delay_s=turns.pause_s(following),
    )


def _what_next(turn: Turn, err: Exception) -> Next:
    chance = random.random()
    reason = turn.handover_reason
    if isinstance(err, Interrupted):
        return _after_interruption(turn, err)
    if isinstance(err, NoPlace):
        return Next(
            _until_deadline(turn, retries.place_delay_s(chance=chance)), counts=False
        )
    if isinstance(err, AccountRefused):
        pause = None if is_too_late(turn) else retries.probe_delay_s(chance=chance)
        return Next(pause, handover_reason=reason, counts=False)
    if reason:
        pause = retries.handover_delay_s(turn.attempts, error=err, chance=chance)
        return Next(None if is_too_late(turn) else pause, handover_reason=reason)
    if isinstance(err, OutcomeUnknown) and turn.attempts <= len(retries.DELAYS_S):
        return Next(retries.look_up_delay_s(turn.attempts))
    pause = retries.delay_s(turn.attempts, error=err, chance=chance)
    if turn.attempts >= _MAX_ATTEMPTS.get(turn.kind, turn.attempts + 1):
        pause = None
    if pause is None:
        return Next(0.0, handover_reason=_reason_of(err))
    return Next(_until_deadline(turn, pause))


def _after_interruption(turn: Turn, err: Interrupted) -> Next:
    """Begin anew at once; the fresh check says whether the humans have it by now."""
    if err.cause == Reason.TOOK_TOO_LONG and not turn.handover_reason:
        return Next(0.0, handover_reason=Reason.TOOK_TOO_LONG)
    if err.cause not in (NEW_MESSAGE, SHUTDOWN):
        logger.info("Turn %s was interrupted: %s", turn.pk, err.cause)
    # Who has just written again may write more.
    more = turn.bot.debounce_s if turn.bot and err.cause == NEW_MESSAGE else 0
    return Next(float(more), handover_reason=turn.handover_reason, counts=False)


def _until_deadline(turn: Turn, pause_s: float) -> float:
    """Do not sleep past the moment at which the turn goes to the humans."""
    if turn.bot is None or turn.started_at is None:
        return pause_s
    deadline = turn.started_at + timedelta(minutes=turn.bot.max_turn_minutes)
    left_s = (deadline - timezone.now()).total_seconds() + 0.1
    return min(pause_s, max(left_s, 0.0))


def _give_up(
    turn: Turn, *, lease: UUID, err: Exception, about: list[WebhookEvent]
) -> Result:
    logger.error("Turn %s can neither be answered nor handed over: %s", turn.pk, err)
    following = turns.finish(
        turn,
        lease=lease,
        status=Turn.Status.FAILED,
        reason=Reason(turn.handover_reason or Reason.CHATWOOT_FAILED),
        error=cut(str(err)),
        about=about,
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
        return _NOT_CHATWOOT.get(err.service, Reason.CHATWOOT_FAILED)
    return Reason.INTERNAL_ERROR
