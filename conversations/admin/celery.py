"""Workers and queue: who is alive, what waits, and what is done by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult

from bridge_project.lib.admin_base import NOTHING, admin_link, admin_url, badge
from conversations import heartbeats
from conversations.admin import broker
from conversations.admin.base import elapsed
from conversations.admin.page import AdminPage
from conversations.admin.task_results import state_badge, task_words
from conversations.models import Turn, WebhookEvent

# Beat and a busy worker may be late by this much besides the period.
PATIENCE = timedelta(seconds=60)


class CeleryPage(AdminPage):
    """Workers and queue."""

    title = _("Workers and queue")
    permission_required = "django_celery_results.view_taskresult"
    template_name = "admin/bridge/celery.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **state(timezone.now())}


class CeleryState(CeleryPage):
    """The part of the page that is asked for every five seconds."""

    template_name = "admin/bridge/celery_state.html"


class CeleryAnswers(AdminPage):
    """What the workers say through Redis; it takes a second, so it comes later."""

    permission_required = CeleryPage.permission_required
    template_name = "admin/bridge/celery_answers.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        answers = broker.answers()
        return {
            **super().get_context_data(**kwargs),
            "redis_is_away": answers is None,
            "answers": [
                (
                    answer.node,
                    [(task_words(name), n) for name, n in answer.tasks.items()],
                )
                for answer in answers or []
            ],
        }


@dataclass(frozen=True)
class ScheduleRow:
    """One entry of beat's schedule, and how it went last time."""

    title: str
    name: str
    period: str
    last_at: datetime | None
    last: SafeString
    next_at: datetime | None
    is_late: bool


def state(now: datetime) -> dict[str, object]:
    """Return what the page says, but for the workers' own answers."""
    workers = heartbeats.workers(now)
    beat = heartbeats.last_beat()
    beat_lives = heartbeats.beat(now) is not None
    versions = sorted({str(row.details.get("version", "")) for row in workers})
    return {
        "workers": [(row, elapsed(row.started_at, now)) for row in workers],
        "versions": ", ".join(versions) if len(versions) > 1 else "",
        "beat": beat,
        "beat_badge": _beat_badge(is_known=beat is not None, lives=beat_lives),
        "queue": broker.queue(),
        "oldest": oldest(now),
        "schedule": schedule(now),
    }


def _beat_badge(*, is_known: bool, lives: bool) -> SafeString:
    if lives:
        return badge(_("alive"), tone="good")
    return badge(_("silent") if is_known else _("never heard of"), tone="bad")


def oldest(now: datetime) -> list[tuple[str, str, SafeString]]:
    """Return what has waited longest for a worker: what it is, how long, its page."""
    event = (
        WebhookEvent.objects.filter(status=WebhookEvent.Status.RECEIVED)
        .only("pk", "received_at", "name")
        .order_by("received_at")
        .first()
    )
    turn = (
        Turn.objects.runnable(now=now)
        .only("pk", "next_attempt_at")
        .order_by("next_attempt_at")
        .first()
    )
    none = format_html("{}", gettext("none waits"))
    rows = [
        (gettext("Oldest event that is not decided about"), "", none),
        (gettext("Oldest turn that is due and not begun"), "", none),
    ]
    if event is not None:
        link = admin_link(event, text=gettext("event %(id)s") % {"id": event.pk})
        rows[0] = (rows[0][0], elapsed(event.received_at, now), link)
    if turn is not None:
        link = admin_link(turn, text=gettext("turn %(id)s") % {"id": turn.pk})
        rows[1] = (rows[1][0], elapsed(turn.next_attempt_at, now), link)
    return rows


def schedule(now: datetime) -> list[ScheduleRow]:
    """Return what beat sends, the most frequent first; with one query for all."""
    entries: Mapping[str, Mapping[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    by_period = sorted(entries.values(), key=lambda entry: float(entry["schedule"]))
    last = _last_results([str(entry["task"]) for entry in by_period], now=now)
    return [
        _schedule_row(
            str(entry["task"]), period_s=float(entry["schedule"]), last=last, now=now
        )
        for entry in by_period
    ]


def _last_results(names: list[str], *, now: datetime) -> dict[str, TaskResult]:
    """Return the newest result of each task, as far as it is not long overdue."""
    longest_s = max(
        float(e["schedule"]) for e in settings.CELERY_BEAT_SCHEDULE.values()
    )
    rows = (
        TaskResult.objects.filter(
            task_name__in=names, date_done__gt=now - timedelta(seconds=3 * longest_s)
        )
        .only("pk", "task_name", "date_done", "status")
        .order_by("task_name", "-date_done")
        .distinct("task_name")
    )
    return {str(row.task_name): row for row in rows}


def _schedule_row(
    name: str, *, period_s: float, last: Mapping[str, TaskResult], now: datetime
) -> ScheduleRow:
    result = last.get(name)
    if name.endswith(".note_beat") and (beat := heartbeats.last_beat()):
        # It stores no result, unless it expired: its row is the sign of life.
        last_at: datetime | None = beat.beat_at
        shown = badge(_("succeeded"), tone="good")
    elif result is not None:
        last_at = result.date_done
        shown = format_html(
            '<a id="task-{}" href="{}">{}</a>',
            result.pk,
            admin_url(result),
            state_badge(result),
        )
    else:
        last_at, shown = None, format_html("{}", NOTHING)
    period = timedelta(seconds=period_s)
    return ScheduleRow(
        title=task_words(name),
        name=name,
        period=_every(period_s),
        last_at=last_at,
        last=shown,
        next_at=last_at + period if last_at else None,
        is_late=last_at is not None and now > last_at + 2 * period + PATIENCE,
    )


def _every(period_s: float) -> str:
    """Return a period as a person says it."""
    seconds = round(period_s)
    if seconds % 3600 == 0:
        hours = seconds // 3600
        return ngettext("every hour", "every %(n)s hours", hours) % {"n": hours}
    if seconds % 60 == 0:
        minutes = seconds // 60
        return ngettext("every minute", "every %(n)s minutes", minutes) % {"n": minutes}
    return ngettext("every second", "every %(n)s seconds", seconds) % {"n": seconds}
