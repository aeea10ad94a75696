"""How much a bot may answer: per conversation and hour, and per day.

Runs that are under way are not counted yet, so a day's ceiling may be passed by those
that run at the same time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from conversations.models import Bot, PipelineRun, Reason, Turn
from conversations.outcomes import NoAnswer

HOUR = timedelta(hours=1)


def check(turn: Turn, *, bot: Bot, now: datetime) -> None:
    """Raise NoAnswer if the bot may not be asked for this turn.

    A turn for which somebody was asked already was let in then. Asks the database only
    about ceilings that are set.
    """
    if not (bot.max_answers_per_hour or bot.max_tokens_per_day or bot.max_cost_per_day):
        return
    if not turn.is_first_attempt and turn.runs.exists():
        return
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        reached = _reached_in_conversation(turn, bot=bot, now=now) or _reached_today(
            bot, now=now
        )
    if reached:
        raise NoAnswer(Reason.CEILING_REACHED, error=reached)


def _reached_in_conversation(turn: Turn, *, bot: Bot, now: datetime) -> str:
    most = bot.max_answers_per_hour
    if not most or turn.kind != Turn.Kind.ANSWER:
        return ""
    answered = Turn.objects.filter(
        conversation=turn.conversation_id,
        kind=Turn.Kind.ANSWER,
        status=Turn.Status.ANSWERED,
        finished_at__gt=now - HOUR,
    ).order_by("-finished_at")
    ended_at = list(answered.values_list("finished_at", flat=True)[:most])
    if len(ended_at) < most or ended_at[-1] is None:
        return ""
    return _("Answers per conversation and hour: %(most)d at most. %(end)s") % {
        "most": most,
        "end": _end(ended_at[-1] + HOUR),
    }


def _reached_today(bot: Bot, *, now: datetime) -> str:
    """Sum up, in one go, what the bot's runs of today have cost."""
    if not (bot.max_tokens_per_day or bot.max_cost_per_day):
        return ""
    midnight = timezone.localtime(now).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    spent = PipelineRun.objects.filter(
        turn__bot=bot, finished_at__gte=midnight
    ).aggregate(tokens=Sum("total_tokens"), cost=Sum("total_price"))
    tokens, cost = spent["tokens"] or 0, spent["cost"] or Decimal(0)
    end = _end(_next_midnight(midnight))
    if 0 < bot.max_tokens_per_day <= tokens:
        return _(
            "The bot may use %(most)d tokens per day and has used %(spent)d. %(end)s"
        ) % {"most": bot.max_tokens_per_day, "spent": tokens, "end": end}
    if 0 < bot.max_cost_per_day <= cost:
        return _(
            "The bot may cost %(most)s per day and has cost %(spent)s. %(end)s"
        ) % {
            "most": _amount(bot.max_cost_per_day),
            "spent": _amount(cost),
            "end": end,
        }
    return ""


def _next_midnight(midnight: datetime) -> datetime:
    """A day has 23 or 25 hours now and then."""
    noon_after = midnight + timedelta(hours=36)
    return timezone.localtime(noon_after).replace(hour=0, minute=0)


def _end(moment: datetime) -> str:
    local = timezone.localtime(moment)
    # Read alike in every language: in English, 11/12 is two days.
    written = f"{local:%Y-%m-%d %H:%M}"
    return _("It answers again from %(time)s on.") % {
        "time": f"{written} ({local.tzname()})"
    }


def _amount(amount: Decimal) -> str:
    """Say an amount without the zeros behind it."""
    return f"{amount.normalize():f}"
