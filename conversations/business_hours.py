"""Whether an inbox is open now, by the business hours that it has in Chatwoot. Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import Inbox

_DAY_S = 24 * 3600


def is_open(inbox: Inbox | None, now: datetime) -> bool:
    """Tell whether somebody may be expected to answer.

    What cannot be read, such as a time zone that nobody knows or a day that is not
    there, closes nothing. The hours are those on the inbox's own clock, so that a
    change to summer time changes nothing about them.
    """
    if inbox is None or not inbox.working_hours_enabled:
        return True
    zone = _zone(inbox.timezone)
    if zone is None:
        return True
    local = now.astimezone(zone)
    at_s = (local.hour * 60 + local.minute) * 60 + local.second
    # Chatwoot counts from Sunday, Python from Monday.
    today = local.isoweekday() % 7
    if _is_within(_day(inbox, today), at_s):
        return True
    return _is_within(_day(inbox, (today - 1) % 7), at_s + _DAY_S)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # what is unknown, or no name at all
        return None


def _day(inbox: Inbox, number: int) -> JsonObject | None:
    days = inbox.working_hours if isinstance(inbox.working_hours, list) else []
    same = (row for row in days if isinstance(row, dict))
    return next((row for row in same if row.get("day_of_week") == number), None)


def _is_within(day: JsonObject | None, at_s: int) -> bool:
    """Tell whether a day's hours hold a moment, in seconds since that day began.

    Hours that end before they begin last into the next day.
    """
    if day is None:
        return at_s < _DAY_S
    if day.get("closed_all_day"):
        return False
    if day.get("open_all_day"):
        return at_s < _DAY_S
    opens, closes = _seconds(day, "open"), _seconds(day, "close")
    if opens is None or closes is None:
        return at_s < _DAY_S
    return opens <= at_s <= (closes if opens <= closes else closes + _DAY_S)


def _seconds(day: JsonObject, name: str) -> int | None:
    hour, minutes = day.get(f"{name}_hour"), day.get(f"{name}_minutes") or 0
    if not isinstance(hour, int) or not isinstance(minutes, int):
        return None
    return (hour * 60 + minutes) * 60
