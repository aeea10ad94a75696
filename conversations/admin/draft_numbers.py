"""How the numbers of the drafts are shown: a sentence, tiles, a chart, tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING
from conversations.admin.home_numbers import (
    ANSWERED_COLOUR,
    RECEIVED_COLOUR,
    Chart,
    Tile,
    chart_data,
    chart_options,
    series,
    whole,
)
from conversations.reports.drafts import Period, Quality, Report

PERIOD_NAMES = {"7d": _("7 days"), "30d": _("30 days"), "12w": _("12 weeks")}
# Fewer answered drafts say little, and so does a smaller share: a rule of thumb.
ENOUGH, GOOD_SHARE = 50, 0.8


def shown(report: Report) -> dict[str, object]:
    """Return what the page's template needs of the numbers."""
    return {
        "period_name": PERIOD_NAMES[report.period.name],
        "is_quiet": not report.total.drafts,
        "advice": advice(report.total),
        "tiles": _tiles(report.total),
        "charts": [_chart(report)],
        "heads": _heads(),
        "bot_rows": [
            (name or gettext("a deleted bot"), _cells(quality))
            for name, quality in report.bots
        ],
        "moment_name": _unit_name(report.period),
        "moment_rows": [
            (_label(at, report.period), name or gettext("a deleted bot"), _cells(one))
            for at, name, one in report.by_bot
        ],
    }


def advice(total: Quality) -> str:
    """Say in one sentence whether the bot may speak for itself."""
    if total.answered < ENOUGH:
        return gettext(
            "Too few drafts were answered by a human yet to judge by: %(count)s of "
            "about %(enough)s."
        ) % {"count": whole(total.answered), "enough": ENOUGH}
    share = total.unchanged_share or 0.0
    told = {"share": percent(share), "good": percent(GOOD_SHARE)}
    if share >= GOOD_SHARE:
        return (
            gettext(
                "Humans sent %(share)s of the drafts nearly unchanged. From about "
                "%(good)s on a bot can be let speak; look at the others below first."
            )
            % told
        )
    return (
        gettext(
            "Humans sent %(share)s of the drafts nearly unchanged. Below about "
            "%(good)s the bot had better go on with drafts; the changed ones below "
            "show what to improve in the app."
        )
        % told
    )


def percent(part: float | None) -> str:
    """Return a part of one as a person says it."""
    return NOTHING if part is None else f"{number_format(round(part * 100), 0)} %"


def _tiles(total: Quality) -> list[Tile]:
    return [
        Tile(name, value) for name, value in zip(_heads(), _cells(total), strict=True)
    ]


def _heads() -> list[str]:
    return [
        gettext("Drafts"),
        gettext("Followed by a human's reply"),
        gettext("Median similarity"),
        gettext("Sent nearly unchanged"),
        gettext("Words changed"),
    ]


def _cells(quality: Quality) -> list[str]:
    return [
        whole(quality.drafts),
        percent(quality.answered_share),
        percent(quality.similarity),
        percent(quality.unchanged_share),
        percent(quality.edit_rate),
    ]


def _chart(report: Report) -> Chart:
    drafts, unchanged = gettext("Drafts"), gettext("Sent nearly unchanged")
    labels = [_label(at, report.period) for at, _quality in report.points]
    points = [quality for _at, quality in report.points]
    rows: Sequence[tuple[str, ...]] = [
        (label, *_cells(one)) for label, one in zip(labels, points, strict=True)
    ]
    return Chart(
        name=gettext("Drafts, and those sent nearly unchanged"),
        text=gettext(
            "%(drafts)s drafts, of which humans sent %(unchanged)s nearly unchanged. "
            "The table below has the same numbers."
        )
        % {
            "drafts": whole(report.total.drafts),
            "unchanged": whole(report.total.unchanged),
        },
        kind="bar",
        data=chart_data(
            labels,
            series(drafts, RECEIVED_COLOUR, (one.drafts for one in points)),
            series(unchanged, ANSWERED_COLOUR, (one.unchanged for one in points)),
        ),
        options=chart_options(unit="", whole_numbers=True),
        heads=[_unit_name(report.period), *_heads()],
        rows=rows,
    )


def _unit_name(period: Period) -> str:
    return gettext("Day") if period.unit == "day" else gettext("Week from")


def _label(at: datetime, period: Period) -> str:
    return date_format(localtime(at), "j M")
