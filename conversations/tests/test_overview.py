"""The numbers of the overview: sums, percentiles, points of the charts, local days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.models import Bot, Figure, Turn
from conversations.reports import figures
from conversations.reports.overview import Overview, overview, percentile_s, period_of
from conversations.tests.factories import make_account, make_bot

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


def figure(
    measure: str,
    key: str,
    amount: str,
    *,
    hours_ago: int = 1,
    bot: Bot | None = None,
) -> None:
    Figure.objects.create(
        hour=HOUR - timedelta(hours=hours_ago),
        bot=bot,
        measure=measure,
        key=key,
        amount=Decimal(amount),
    )


def shown(name: str = "24h") -> Overview:
    return overview(period_of(name), now=NOW)


def test_an_empty_bridge_has_noughts_and_no_times() -> None:
    total = shown().total

    assert (total.received, total.answered, total.handed_over, total.failed) == (
        0,
        0,
        0,
        0,
    )
    assert (total.p50_s, total.p95_s) == (None, None)
    assert total.skipped == []
    assert len(shown().points) == 24


def test_totals_are_summed_up_over_bots_and_hours() -> None:
    orders = make_bot(name="Orders")
    returns = make_bot(make_account(account_id=5), name="Returns")
    figure("received", "customer_message", "7", bot=orders)
    figure("received", "customer_message", "2", bot=returns, hours_ago=5)
    figure("received", "no_bot_for_inbox", "3")
    figure("turn", "answered:answered", "6", bot=orders)
    figure("turn", "handed_over:dify_failed", "1", bot=orders)
    figure("turn", "failed:chatwoot_failed", "1", bot=returns)
    figure("turn", "skipped:paused", "1", bot=returns)
    figure("skipped", "no_bot_for_inbox", "3")
    figure("skipped", "typing", "40")
    figure("skipped", "message_deleted", "2")
    figure("tokens", "", "1200", bot=orders)
    figure("cost", "USD", "0.25", bot=orders)
    figure("cost", "USD", "0.5", bot=orders, hours_ago=2)

    found = shown()

    total = found.total
    assert total.received == 12
    assert total.answered == 6
    assert total.reasons(Turn.Status.HANDED_OVER) == [("dify_failed", 1)]
    assert total.failed == 1
    assert total.skipped == [("no_bot_for_inbox", 3), ("paused", 1)]
    assert total.other_events == [("typing", 40), ("message_deleted", 2)]
    assert total.costs == {"USD": Decimal("0.75")}
    assert [(name, one.received, one.tokens) for name, one in found.bots] == [
        ("Orders", 7, 1200),
        ("", 3, 0),
        ("Returns", 2, 0),
    ]


def test_what_is_older_than_the_period_does_not_count() -> None:
    figure("received", "customer_message", "1", hours_ago=23)
    figure("received", "customer_message", "10", hours_ago=24)
    figure("received", "customer_message", "100", hours_ago=24 * 8)

    assert shown("24h").total.received == 1
    assert shown("7d").total.received == 11
    assert shown("30d").total.received == 111


def test_an_unknown_period_is_a_day() -> None:
    assert period_of("1y").name == "24h"


def test_points_are_hours_of_a_day_and_days_of_a_month() -> None:
    figure("received", "customer_message", "2", hours_ago=2)
    figure("turn", "answered:answered", "1", hours_ago=2)
    figure("latency", "40", "1", hours_ago=2)
    figure("received", "customer_message", "5", hours_ago=26)

    hours, days = shown("24h").points, shown("30d").points

    assert [point.at for point in hours][-3:] == [
        HOUR - timedelta(hours=2),
        HOUR - timedelta(hours=1),
        HOUR,
    ]
    of_hour = hours[-3].numbers
    assert (of_hour.received, of_hour.answered) == (2, 1)
    assert of_hour.p50_s == pytest.approx(figures.bucket_s("40"))
    assert hours[-1].numbers.p50_s is None
    assert len(days) == 30
    assert [point.numbers.received for point in days][-2:] == [5, 2]


@pytest.fixture
def _in_kolkata() -> Iterator[None]:
    with timezone.override(ZoneInfo("Asia/Kolkata")):
        yield


@pytest.mark.usefixtures("_in_kolkata")
def test_days_are_local_ones_and_hours_fit_where_clocks_are_half_an_hour_off() -> None:
    # 19:00 UTC of yesterday is half past midnight of today there.
    figure("received", "customer_message", "3", hours_ago=19)
    figure("received", "customer_message", "4", hours_ago=20)

    assert [point.numbers.received for point in shown("7d").points][-2:] == [4, 3]
    assert sum(point.numbers.received for point in shown("24h").points) == 7


def test_percentiles_come_from_the_histogram() -> None:
    latencies = {"10": 50, "20": 45, "30": 5}

    assert percentile_s(latencies, percent=50) == figures.bucket_s("10")
    assert percentile_s(latencies, percent=95) == figures.bucket_s("20")
    assert percentile_s(latencies, percent=99) == figures.bucket_s("30")
    assert percentile_s({}, percent=50) is None


def test_the_overview_takes_two_statements() -> None:
    with CaptureQueriesContext(connection) as queries:
        shown("30d")

    assert len(queries) == 2
