"""The report of a job: its items, those first that need a look, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from conversations.models import Job, JobItem

PER_PAGE = 200
# The order of the report.
ORDER = (
    JobItem.Status.FAILED,
    JobItem.Status.SKIPPED,
    JobItem.Status.DONE,
    JobItem.Status.WAITING,
)
TONES = {
    JobItem.Status.FAILED: "bad",
    JobItem.Status.SKIPPED: "warn",
    JobItem.Status.DONE: "good",
    JobItem.Status.WAITING: "calm",
}


@dataclass(frozen=True)
class Page:
    """Some items of a report, and the key of the next page: "" if there is none."""

    items: list[JobItem]
    next_key: str


def counts(job: Job) -> dict[str, int]:
    """Return how many items ended how, all states in the order of the report."""
    rows = job.items.order_by().values_list("status").annotate(count=Count("pk"))
    found = dict(rows)
    return {str(status): found.get(status, 0) for status in ORDER}


def page(job: Job, *, status: str = "", after: str = "") -> Page:
    """Return the items that come after the key, all or those of one state.

    One state after the other, each by the index of its positions: a job with a hundred
    thousand items costs no more than a small one.
    """
    wanted = [one for one in ORDER if one == status] or list(ORDER)
    since, position = _read(after, wanted)
    items: list[JobItem] = []
    for one in wanted[since:]:
        rows = job.items.filter(status=one)
        if position is not None:
            rows = rows.filter(position__gt=position)
            position = None
        items += _first(rows, PER_PAGE + 1 - len(items))
        if len(items) > PER_PAGE:
            last = items[PER_PAGE - 1]
            return Page(items[:PER_PAGE], f"{last.status}-{last.position}")
    return Page(items, "")


def _first(rows: QuerySet[JobItem], count: int) -> list[JobItem]:
    return list(rows.order_by("position")[:count])


def _read(key: str, wanted: Sequence[str]) -> tuple[int, int | None]:
    """Return where a key points to; the beginning, if somebody made it up."""
    status, _dash, digits = key.partition("-")
    if status not in wanted or not digits.isdecimal() or len(digits) > 9:
        return 0, None
    return list(wanted).index(status), int(digits)
