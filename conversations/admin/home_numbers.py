"""How the overview's numbers are shown: tiles, tables and charts with their tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, badge, list_url
from conversations.admin.base import TURN_TONES
from conversations.models import Reason, Turn, WebhookEvent
from conversations.reports.overview import PERIODS, Numbers, Overview, Point

PERIOD_NAMES = {"24h": _("24 hours"), "7d": _("7 days"), "30d": _("30 days")}
TURN_STATUSES = dict(Turn.Status.choices)
REASON_NAMES = dict(Reason.choices)
# Colours that are told apart in light and dark, and by people who see few of them.
RECEIVED_COLOUR, ANSWERED_COLOUR = "#94a3b8", "var(--color-primary-600)"
HALF_COLOUR, MOST_COLOUR = "var(--color-primary-600)", "#ea580c"
AXIS_COLOUR = "#7c8aa0"


@dataclass(frozen=True)
class Tile:
    """One number with its name, and where its rows are."""

    name: str
    value: str
    url: str = ""
    tone: str = ""


@dataclass(frozen=True)
class CountRow:
    """How often something happened for a reason, with a link to the rows."""

    label: SafeString
    reason: str
    count: int
    url: str


@dataclass(frozen=True)
class Chart:
    """A drawing, and the same as a table for those who do not see it."""

    name: str
    text: str
    kind: str
    data: str
    options: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, ...]]


def shown(found: Overview) -> dict[str, object]:
    """Return what the page's template needs of the numbers."""
    total = found.total
    return {
        "periods": [
            (one.name, PERIOD_NAMES[one.name], one.name == found.period.name)
            for one in PERIODS
        ],
        "period_name": PERIOD_NAMES[found.period.name],
        "is_quiet": not (total.received or total.turns or total.skipped_events),
        "tiles": _tiles(total),
        "skipped_rows": _skipped_rows(total),
        "handed_over_rows": _turn_rows(total, Turn.Status.HANDED_OVER),
        "failed_rows": _turn_rows(total, Turn.Status.FAILED),
        "other_rows": [
            _event_row(reason, count) for reason, count in total.other_events
        ],
        "bot_heads": _bot_heads(),
        "bot_rows": [_bot_row(name, numbers) for name, numbers in found.bots],
        "charts": [_traffic(found), _latency(found)],
    }


def duration(time_s: float | None) -> str:
    """Return a time as a person says it, no more exactly than it is known."""
    if time_s is None:
        return NOTHING
    if time_s < 10:
        return gettext("%(s)s s") % {"s": number_format(time_s, 1)}
    if time_s < 100:
        return gettext("%(s)s s") % {"s": number_format(time_s, 0)}
    if time_s < 100 * 60:
        return gettext("%(minutes)s min") % {"minutes": number_format(time_s / 60, 0)}
    return gettext("%(hours)s h") % {"hours": number_format(time_s / 3600, 0)}


def _tiles(total: Numbers) -> list[Tile]:
    def turns(status: Turn.Status) -> str:
        return list_url(Turn, status__exact=status.value)

    skipped = sum(count for _reason, count in total.skipped)
    return [
        Tile(gettext("Customers' messages"), whole(total.received)),
        Tile(gettext("Answered"), whole(total.answered), turns(Turn.Status.ANSWERED)),
        Tile(gettext("Left alone"), whole(skipped)),
        Tile(
            gettext("Handed over"),
            whole(total.handed_over),
            turns(Turn.Status.HANDED_OVER),
        ),
        Tile(
            gettext("Failed"),
            whole(total.failed),
            turns(Turn.Status.FAILED),
            "bad" if total.failed else "",
        ),
        Tile(gettext("Time to answer: half within"), duration(total.p50_s)),
        Tile(gettext("Time to answer: 95 % within"), duration(total.p95_s)),
        Tile(gettext("Tokens"), whole(total.tokens)),
        Tile(gettext("Cost"), costs(total.costs)),
    ]


def whole(count: int) -> str:
    """Return a number with its thousands apart."""
    return number_format(count, use_l10n=True, force_grouping=True)


def costs(amounts: dict[str, Decimal]) -> str:
    """Return amounts of money, those of different currencies one after the other."""
    if not amounts:
        return NOTHING
    return ", ".join(
        f"{number_format(amount, 2 if amount >= 1 else 4)} {currency}".strip()
        for currency, amount in sorted(amounts.items())
    )


def _reason(reason: str) -> str:
    return str(REASON_NAMES.get(reason, reason))


def _skipped_rows(total: Numbers) -> list[CountRow]:
    rows = []
    for reason, count in total.skipped:
        at_once = total.skipped_events.get(reason, 0)
        url = (
            list_url(WebhookEvent, reason__exact=reason)
            if at_once
            else list_url(
                Turn, status__exact=Turn.Status.SKIPPED.value, reason__exact=reason
            )
        )
        rows.append(
            CountRow(_status_badge(Turn.Status.SKIPPED), _reason(reason), count, url)
        )
    return rows


def _turn_rows(total: Numbers, status: Turn.Status) -> list[CountRow]:
    return [
        CountRow(
            _status_badge(status),
            _reason(reason),
            count,
            list_url(Turn, status__exact=status.value, reason__exact=reason),
        )
        for reason, count in total.reasons(status)
    ]


def _event_row(reason: str, count: int) -> CountRow:
    return CountRow(
        badge(gettext("no answer needed"), tone="calm"),
        _reason(reason),
        count,
        list_url(WebhookEvent, reason__exact=reason),
    )


def _status_badge(status: Turn.Status) -> SafeString:
    return badge(TURN_STATUSES[status], tone=TURN_TONES[status])


def _bot_heads() -> list[str]:
    return [
        gettext("Messages"),
        gettext("Answered"),
        gettext("Handed over"),
        gettext("Failed"),
        gettext("Half within"),
        gettext("95 % within"),
        gettext("Tokens"),
        gettext("Cost"),
    ]


def _bot_row(name: str, numbers: Numbers) -> tuple[str, list[str]]:
    return name or gettext("without a bot"), [
        whole(numbers.received),
        whole(numbers.answered),
        whole(numbers.handed_over),
        whole(numbers.failed),
        duration(numbers.p50_s),
        duration(numbers.p95_s),
        whole(numbers.tokens),
        costs(numbers.costs),
    ]


def _traffic(found: Overview) -> Chart:
    received, answered = gettext("Messages"), gettext("Answered")
    labels = _labels(found)
    points = [point.numbers for point in found.points]
    return Chart(
        name=gettext("Messages and answers"),
        text=gettext(
            "Customers' messages and answered turns, %(received)s and %(answered)s in "
            "all. The table below has the same numbers."
        )
        % {
            "received": whole(found.total.received),
            "answered": whole(found.total.answered),
        },
        kind="bar",
        data=chart_data(
            labels,
            series(received, RECEIVED_COLOUR, (one.received for one in points)),
            series(answered, ANSWERED_COLOUR, (one.answered for one in points)),
        ),
        options=chart_options(unit="", whole_numbers=True),
        heads=[_unit_name(found), received, answered],
        rows=[
            (label, whole(one.received), whole(one.answered))
            for label, one in zip(labels, points, strict=True)
        ],
    )


def _latency(found: Overview) -> Chart:
    half, most = gettext("Half within"), gettext("95 % within")
    labels = _labels(found)
    points = [point.numbers for point in found.points]
    return Chart(
        name=gettext("Time to answer"),
        text=gettext(
            "Half of the answers came within %(half)s, 95 %% within %(most)s. The "
            "table below has the numbers of each hour or day."
        )
        % {"half": duration(found.total.p50_s), "most": duration(found.total.p95_s)},
        kind="line",
        data=chart_data(
            labels,
            series(half, HALF_COLOUR, (_rounded(one.p50_s) for one in points)),
            series(most, MOST_COLOUR, (_rounded(one.p95_s) for one in points)),
        ),
        options=chart_options(unit=gettext("seconds"), whole_numbers=False),
        heads=[_unit_name(found), half, most],
        rows=[
            (label, duration(one.p50_s), duration(one.p95_s))
            for label, one in zip(labels, points, strict=True)
        ],
    )


def _unit_name(found: Overview) -> str:
    return gettext("Hour") if found.period.unit == "hour" else gettext("Day")


def _labels(found: Overview) -> list[str]:
    is_hour = found.period.unit == "hour"

    def label(point: Point) -> str:
        return date_format(localtime(point.at), "H:i" if is_hour else "j M")

    return [label(point) for point in found.points]


def _rounded(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 2)


def series(name: str, colour: str, values: Iterable[float | None]) -> dict[str, object]:
    """Return one line, or the bars of one colour."""
    return {
        "label": name,
        "data": list(values),
        "backgroundColor": colour,
        "borderColor": colour,
    }


def chart_data(labels: list[str], *lines: dict[str, object]) -> str:
    """Return Chart.js's data."""
    return json.dumps({"labels": labels, "datasets": lines}, ensure_ascii=False)


def chart_options(*, unit: str, whole_numbers: bool) -> str:
    """Return Chart.js's options; Unfold's own hide the legend."""
    axis = {"color": AXIS_COLOUR, "maxRotation": 0, "autoSkipPadding": 12}
    return json.dumps(
        {
            "animation": False,
            "responsive": True,
            "maintainAspectRatio": False,
            "interaction": {"mode": "index", "intersect": False},
            "datasets": {
                "bar": {"borderRadius": 3, "maxBarThickness": 14},
                "line": {"borderWidth": 2, "pointRadius": 2, "spanGaps": True},
            },
            "plugins": {
                "legend": {
                    "display": True,
                    "align": "end",
                    "labels": {"color": AXIS_COLOUR, "boxHeight": 8, "boxWidth": 8},
                }
            },
            "scales": {
                "x": {
                    "grid": {"display": False},
                    "ticks": {**axis, "maxTicksLimit": 8},
                },
                "y": {
                    "beginAtZero": True,
                    "border": {"display": False},
                    "ticks": {
                        **axis,
                        "maxTicksLimit": 5,
                        **({"precision": 0} if whole_numbers else {}),
                    },
                    "title": {
                        "display": bool(unit),
                        "text": unit,
                        "color": AXIS_COLOUR,
                    },
                },
            },
        },
        ensure_ascii=False,
    )
