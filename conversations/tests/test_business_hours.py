"""Whether an inbox is open, on its own clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chatwoot_api.models import Inbox
from conversations.business_hours import is_open


def day(number: int, **values: Any) -> dict[str, Any]:
    hours = {"open_hour": 9, "open_minutes": 30, "close_hour": 17, "close_minutes": 0}
    flags = {"closed_all_day": False, "open_all_day": False}
    return {"day_of_week": number, **hours, **flags, **values}


def inbox(*days: dict[str, Any], zone: str = "UTC", enabled: bool = True) -> Inbox:
    return Inbox(working_hours_enabled=enabled, working_hours=list(days), timezone=zone)


# 2026-11-22 is a Sunday.
SUNDAY, MONDAY = 22, 23


def at(day_of_month: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day_of_month, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (at(MONDAY, 9, 29, 59), False),
        (at(MONDAY, 9, 30), True),
        (at(MONDAY, 17), True),
        (at(MONDAY, 17, 0, 1), False),
        (at(SUNDAY, 12), False),
    ],
)
def test_from_opening_to_closing(moment: datetime, expected: bool) -> None:
    week = inbox(day(0, closed_all_day=True), *(day(n) for n in range(1, 7)))

    assert is_open(week, moment) is expected


def test_flags_come_before_hours() -> None:
    assert is_open(inbox(day(0, open_all_day=True)), at(SUNDAY, 3))
    assert not is_open(inbox(day(0, closed_all_day=True)), at(SUNDAY, 12))


def test_hours_that_end_before_they_begin_last_into_the_next_day() -> None:
    night = {"open_hour": 22, "open_minutes": 0, "close_hour": 6, "close_minutes": 0}
    week = inbox(day(0, **night), day(1, closed_all_day=True))

    assert not is_open(week, at(SUNDAY, 21, 59))
    assert is_open(week, at(SUNDAY, 22))
    assert is_open(week, at(MONDAY, 5, 59))
    assert not is_open(week, at(MONDAY, 6, 1))


def test_the_clock_is_the_inbox_s() -> None:
    tokyo = inbox(day(0, closed_all_day=True), day(1), zone="Asia/Tokyo")

    # Monday 9:30 in Tokyo is half past midnight.
    assert is_open(tokyo, at(MONDAY, 0, 30))
    assert not is_open(tokyo, at(SUNDAY, 12))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # In Berlin 9:30 is 8:30 UTC in winter and 7:30 UTC in summer.
        (datetime(2026, 10, 23, 7, 30, tzinfo=UTC), True),
        (datetime(2026, 10, 26, 7, 30, tzinfo=UTC), False),
        (datetime(2026, 10, 26, 8, 30, tzinfo=UTC), True),
    ],
)
def test_summer_time_changes_nothing(moment: datetime, expected: bool) -> None:
    berlin = inbox(*(day(n) for n in range(7)), zone="Europe/Berlin")

    assert is_open(berlin, moment) is expected


@pytest.mark.parametrize(
    "unreadable",
    [
        None,
        inbox(day(0, closed_all_day=True), enabled=False),
        inbox(day(0, closed_all_day=True), zone="Nowhere/Land"),
        inbox(day(0, closed_all_day=True), zone=""),
        inbox(day(0, closed_all_day=True), zone="../../etc/passwd"),
        inbox(),
        inbox(day(3)),
        inbox({"day_of_week": 0}),
        inbox(day(0, open_hour=None)),
        Inbox(working_hours_enabled=True, working_hours="?", timezone="UTC"),
    ],
)
def test_what_cannot_be_read_closes_nothing(unreadable: Inbox | None) -> None:
    assert is_open(unreadable, at(SUNDAY, 3))
