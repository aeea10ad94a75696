"""How good a bot's drafts are: what humans made of them, by bot, day and week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.utils import timezone

from conversations.models import Bot

# From here on a draft was sent as it was, but for a comma or a name.
NEARLY_UNCHANGED = 0.9

# All groups that are shown, in one look at the rows of the period.
_SELECT = """
    SELECT at, bot_id, grouping(at), grouping(bot_id), count(*), count(replied_at),
           count(*) FILTER (WHERE similarity >= %(unchanged)s),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY similarity), avg(edit_rate)
    FROM (
        SELECT date_trunc(%(unit)s, created_at, %(zone)s) AS at, bot_id, replied_at,
               similarity, edit_rate
        FROM conversations_draft
        WHERE created_at >= %(since)s AND (%(bot)s::bigint IS NULL OR bot_id = %(bot)s)
    ) drafts
    GROUP BY GROUPING SETS ((at, bot_id), (at), (bot_id), ())"""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time up to now, in local days or weeks."""

    name: str
    unit: str
    units: int

    def moments(self, now: datetime) -> list[datetime]:
        """Return the beginnings of its days or weeks; the last one is under way."""
        today = timezone.localtime(now).date()
        step = timedelta(days=1)
        if self.unit == "week":
            today, step = today - timedelta(days=today.weekday()), timedelta(weeks=1)
        return [_midnight(today - step * back) for back in reversed(range(self.units))]


# The first one is shown unless another is asked for.
PERIODS = (
    Period("30d", unit="day", units=30),
    Period("7d", unit="day", units=7),
    Period("12w", unit="week", units=12),
)


def period_of(name: str) -> Period:
    """Return the period of that name, the first one for any other."""
    return next((one for one in PERIODS if one.name == name), PERIODS[0])


@dataclass(frozen=True, slots=True)
class Quality:
    """What humans made of some drafts. Shares are parts of one, None without any."""

    drafts: int = 0
    answered: int = 0
    unchanged: int = 0
    similarity: float | None = None
    edit_rate: float | None = None

    @property
    def answered_share(self) -> float | None:
        """How many drafts a human's reply followed."""
        return self.answered / self.drafts if self.drafts else None

    @property
    def unchanged_share(self) -> float | None:
        """How many of those were sent nearly as they were."""
        return self.unchanged / self.answered if self.answered else None


@dataclass(frozen=True)
class Report:
    """The numbers of a period."""

    period: Period
    total: Quality
    # By the bot's name, "" for one that was deleted.
    bots: list[tuple[str, Quality]]
    points: list[tuple[datetime, Quality]]
    # Of each day or week and bot, the newest first.
    by_bot: list[tuple[datetime, str, Quality]]


def report(period: Period, *, now: datetime, bot_id: int | None = None) -> Report:
    """Return the numbers: two statements, however many drafts there are."""
    moments = period.moments(now)
    total = Quality()
    bots: dict[int | None, Quality] = {}
    points: dict[datetime, Quality] = {}
    pairs: list[tuple[datetime, int | None, Quality]] = []
    for at, bot, all_times, all_bots, quality in _rows(
        period, since=moments[0], bot_id=bot_id
    ):
        if all_times and all_bots:
            total = quality
        elif all_times:
            bots[bot] = quality
        elif all_bots:
            points[at] = quality
        else:
            pairs.append((at, bot, quality))
    names = dict(Bot.objects.values_list("pk", "name"))

    def name(bot: int | None) -> str:
        return names.get(bot, "") if bot else ""

    return Report(
        period=period,
        total=total,
        bots=sorted(
            ((name(bot), quality) for bot, quality in bots.items()),
            key=lambda row: (-row[1].drafts, row[0]),
        ),
        points=[(at, points.get(at, Quality())) for at in moments],
        by_bot=sorted(
            ((at, name(bot), quality) for at, bot, quality in pairs),
            key=lambda row: (-row[0].timestamp(), row[1]),
        ),
    )


def _rows(
    period: Period, *, since: datetime, bot_id: int | None
) -> Iterator[tuple[datetime, int | None, bool, bool, Quality]]:
    parameters: dict[str, str | int | float | datetime | None] = {
        "unit": period.unit,
        "zone": timezone.get_current_timezone_name(),
        "since": since,
        "bot": bot_id,
        "unchanged": NEARLY_UNCHANGED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SELECT, parameters)
        for at, bot, all_times, all_bots, *numbers in cursor.fetchall():
            yield at, bot, bool(all_times), bool(all_bots), Quality(*numbers)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 made aware here
