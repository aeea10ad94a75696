"""Whether it makes sense to ask: too late, refused, no place, closed, a ceiling."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from conversations import asking, business_hours, ceilings, former_runs, slots
from conversations.attempts import Attempt, only_resets
from conversations.models import PipelineRun, Reason, Turn
from conversations.models.bot_settings import OutsideHours
from conversations.outcomes import NoAnswer
from dify_api.models import DifyApp


def check(attempt: Attempt) -> None:
    """Raise when it makes no sense to ask: too late, refused, or no place."""
    turn, bot, now = attempt.turn, attempt.bot, timezone.now()
    started_at = turn.started_at or now
    if now - started_at > timedelta(minutes=bot.max_turn_minutes):
        raise NoAnswer(Reason.TOOK_TOO_LONG, error=turn.error)
    if started_at - turn.created_at > timedelta(seconds=bot.max_message_age_s):
        raise NoAnswer(Reason.TOO_OLD)
    if not attempt.client.can_speak:
        raise NoAnswer(
            Reason.CHATWOOT_FAILED,
            error="Chatwoot refuses the bot's token. Enter a new one at the account.",
        )
    _check_limits(attempt, now=now)
    app = asking.app_of(turn, bot=bot)
    if app is None or only_resets(attempt) or _has_answer(attempt, app=app):
        return
    if app.health == DifyApp.Health.REFUSED:
        raise NoAnswer(
            Reason.DIFY_FAILED,
            error="Dify refuses the app's key, so it was not asked. Enter a new key at "
            "the Dify app.",
        )
    slots.check(turn, app=app, now=now)


def _check_limits(attempt: Attempt, *, now: datetime) -> None:
    """Raise NoAnswer outside business hours, and at a ceiling.

    Whoever was asked for this turn already was let in then, and so was a flow that an
    answer to its form resumes.
    """
    turn, bot = attempt.turn, attempt.bot
    if turn.flow_form_id is not None:
        return
    is_answer = turn.kind == Turn.Kind.ANSWER
    if is_answer and bot.outside_hours != OutsideHours.ANSWER:
        is_new = turn.is_first_attempt or not turn.runs.exists()
        if is_new and not business_hours.is_open(turn.conversation.inbox, now):
            raise NoAnswer(Reason.OUTSIDE_HOURS)
    if not only_resets(attempt):
        ceilings.check(turn, bot=bot, now=now)


def _has_answer(attempt: Attempt, *, app: DifyApp) -> bool:
    """Tell whether only the post is left to be done."""
    turn = attempt.turn
    if turn.is_first_attempt:
        return False
    if turn.kind == Turn.Kind.HELP:
        return turn.runs.filter(status=PipelineRun.Status.SUCCEEDED).exists()
    former = former_runs.former_run(turn, question=attempt.question, app=app)
    return former is not None and former.status == PipelineRun.Status.SUCCEEDED
