"""What the overview shows of the last 24 hours, 7 or 30 days."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from conversations.models import Bot, Figure, Reason, Turn
from conversations.reports import figures
from conversations.reports.figures import Amount

# Customers' messages that are left alone; of deleted ones another event tells as well.
LEFT_ALONE = frozenset(figures.CUSTOMERS) - {
    Reason.CUSTOMER_MESSAGE,
    Reason.DRAFT_WANTED,
    Reason.MESSAGE_DELETED,
}


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time up to now, in local hours or days."""

    name: str
    unit: str
    units: int


# The first one is shown unless another is asked for.
PERIODS = (
    Period("24h", unit="hour", units=24),
    Period("7d", unit="day", units=7),
    Period("30d", unit="day", units=30),
)


def period_of(name: str) -> Period:
    """Return the period of that name, the first one for any other."""
    return next((one for one in PERIODS if one.name == name), PERIODS[0])


def _no_costs() -> defaultdict[str, Decimal]:
    return defaultdict(Decimal)


@dataclass(slots=True)
class Numbers:
    """What happened: in all, at one bot, or within an hour or a day."""

    received: int = 0
    turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped_events: Counter[str] = field(default_factory=Counter)
    latencies: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    costs: defaultdict[str, Decimal] = field(default_factory=_no_costs)

    def add(self, row: Amount) -> None:
        """Count one figure in."""
        count = int(row.amount)
        match row.measure:
            case Figure.Measure.RECEIVED:
                self.received += count
            case Figure.Measure.SKIPPED:
                self.skipped_events[row.key] += count
            case Figure.Measure.TURN:
                status, _colon, reason = row.key.partition(":")
                self.turns[status, reason] += count
            case Figure.Measure.LATENCY:
                self.latencies[row.key] += count
            case Figure.Measure.TOKENS:
                self.tokens += count
            case Figure.Measure.COST:
                self.costs[row.key] += row.amount

    def ended(self, status: Turn.Status) -> int:
        """Return how many turns ended so."""
        return sum(n for (name, _reason), n in self.turns.items() if name == status)

    def reasons(self, status: Turn.Status) -> list[tuple[str, int]]:
        """Return why turns ended so, the most frequent reason first."""
        found = Counter(
            {reason: n for (name, reason), n in self.turns.items() if name == status}
        )
        return found.most_common()

    @property
    def answered(self) -> int:
        """Turns that the bot answered; a suggestion is nothing that customers see."""
        suggested = self.turns[Turn.Status.ANSWERED, Reason.SUGGESTED]
        return self.ended(Turn.Status.ANSWERED) - suggested

    @property
    def handed_over(self) -> int:
        """Turns that went to the humans."""
        return self.ended(Turn.Status.HANDED_OVER)

    @property
    def failed(self) -> int:
        """Turns that got neither an answer nor a human."""
        return self.ended(Turn.Status.FAILED)

    @property
    def skipped(self) -> list[tuple[str, int]]:
        """Why customers' questions were left alone, at once or when their turn came."""
        found = Counter(dict(self.reasons(Turn.Status.SKIPPED)))
        for reason, count in self.skipped_events.items():
            if reason in LEFT_ALONE:
                found[reason] += count
        return found.most_common()

    @property
    def other_events(self) -> list[tuple[str, int]]:
        """What else Chatwoot reported and nobody had to answer."""
        others = {
            reason: count
            for reason, count in self.skipped_events.items()
            if reason not in LEFT_ALONE
        }
        return Counter(others).most_common()

    @property
    def p50_s(self) -> float | None:
        """The time within which half of the answers came."""
        return percentile_s(self.latencies, percent=50)

    @property
    def p95_s(self) -> float | None:
        """The time within which 95 % of the answers came."""
        return percentile_s(self.latencies, percent=95)


@dataclass(frozen=True)
class Point:
    """One hour or day of the charts."""

    at: datetime
    numbers: Numbers


@dataclass(frozen=True)
class Overview:
    """All that is shown of one period."""

    period: Period
    since: datetime
    total: Numbers
    # With the bot's name, "" for what belongs to none; the busiest first.
    bots: list[tuple[str, Numbers]]
    points: list[Point]


def overview(period: Period, *, now: datetime) -> Overview:
    """Return the numbers of a period: two statements, however many events there are."""
    moments = list(_moments(period, now=now))
    total = Numbers()
    by_bot: defaultdict[int | None, Numbers] = defaultdict(Numbers)
    by_moment = {at: Numbers() for at in moments}
    for row in figures.read(since=moments[0], now=now, unit=period.unit):
        total.add(row)
        if row.measure != Figure.Measure.SKIPPED:
            by_bot[row.bot_id].add(row)
        point = by_moment.get(row.at)
        if point is not None:
            point.add(row)
    return Overview(
        period=period,
        since=moments[0],
        total=total,
        bots=_named(by_bot),
        points=[Point(at, numbers) for at, numbers in by_moment.items()],
    )


def percentile_s(latencies: Mapping[str, int], *, percent: int) -> float | None:
    """Return the time within which `percent` of the answers came, 5 % more or less."""
    wanted = sum(latencies.values()) * percent / 100
    if not wanted:
        return None
    seen = 0
    keys = sorted(latencies, key=int)
    for key in keys:
        seen += latencies[key]
        if seen >= wanted:
            return figures.bucket_s(key)
    return figures.bucket_s(keys[-1])


def _moments(period: Period, *, now: datetime) -> Iterator[datetime]:
    """Yield the beginnings of the period's hours or days, the one under way included.

    Days are local ones; with summer time not all of them have 24 hours.
    """
    for back in reversed(range(period.units)):
        if period.unit == "hour":
            yield figures.start_of_hour(now) - timedelta(hours=back)
        else:
            day = timezone.localtime(now).date() - timedelta(days=back)
            yield timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 made aware here


def _named(by_bot: Mapping[int | None, Numbers]) -> list[tuple[str, Numbers]]:
    names = dict(Bot.objects.values_list("pk", "name"))
    rows: Iterable[tuple[str, Numbers]] = (
        (names.get(bot_id, "") if bot_id else "", numbers)
        for bot_id, numbers in by_bot.items()
    )
    return sorted(rows, key=lambda row: (-row[1].received, row[0]))
