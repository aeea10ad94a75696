"""One attempt at a turn: what it works with, and what it may still post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import Message
from conversations.answers import Typing
from conversations.call_log import CallRecorder
from conversations.leases import Watch
from conversations.models import Bot, Reason, Turn
from conversations.outcomes import Interrupted, LeaseLost
from conversations.resets import Reset


@dataclass(frozen=True)
class Ending:
    """How a turn ends."""

    status: Turn.Status
    reason: Reason
    # In which form it was answered; "" if it was not.
    replied_as: str = ""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one attempt at a turn works with."""

    turn: Turn
    messages: Sequence[Message]
    quotes: Mapping[int, str]
    question: str
    bot: Bot
    client: ChatwootClient
    recorder: CallRecorder
    typing: Typing
    lease: UUID
    watch: Watch
    # The customer has begun anew in this turn.
    reset: Reset | None = None


def keep(attempt: Attempt) -> None:
    """Go on only while the turn is still ours: right before a message is posted."""
    if not Turn.objects.renew([attempt.lease], now=timezone.now()):
        raise LeaseLost


def claim_post(attempt: Attempt) -> None:
    """Post only what is still ours, wanted, and an answer to all messages."""
    turn, lease = attempt.turn, attempt.lease
    may_post = Turn.objects.claim_post(
        turn.pk,
        lease=lease,
        last_message_id=turn.last_message_id,
        now=timezone.now(),
    )
    if may_post:
        return
    held = Turn.objects.held(turn.pk, lease=lease).values_list("interrupt", flat=True)
    cause = held.first()
    if not cause:
        raise LeaseLost
    raise Interrupted(cause)


def only_resets(attempt: Attempt) -> bool:
    return attempt.reset is not None and attempt.reset.is_all
