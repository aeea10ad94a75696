"""How many runs of a Dify app are under way, and who is next.

A run takes a place with its row, in one transaction that locks the app's row: of two
workers one gets the last place. A place is free again when the run's row says that it
ended, or when the lease of its turn ran out.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from conversations.models import PipelineRun, Turn
from conversations.models.turn import WAITING
from conversations.outcomes import NoPlace
from dify_api.models import DifyApp

_FOR_AGENTS = (Turn.Kind.DRAFT, Turn.Kind.HELP)


def take(run: PipelineRun, *, app: DifyApp, now: datetime) -> None:
    """Store a run as running. Raises NoPlace when the app has no place for it."""
    with transaction.atomic():
        limit = _limit(app.pk, locked=True)
        if _taken(app.pk, now=now, besides=run.turn_id) >= limit:
            raise NoPlace(app.pk)
        run.save()


def check(turn: Turn, *, app: DifyApp, now: datetime) -> None:
    """Raise NoPlace if there is none for this turn: those in line come first.

    Only a look, to save the calls that would be made before `take` says no. While half
    of the places are free nobody is in line for long.
    """
    limit = app.current_limit
    taken = _taken(app.pk, now=now, besides=turn.pk)
    if 2 * taken < limit:
        return
    waits_longer = bool(turn.asked_by) or turn.kind in _FOR_AGENTS
    ahead = Q(pk__lt=turn.pk, waits_longer=waits_longer)
    if waits_longer:
        ahead |= Q(waits_longer=False)
    if taken + _line(app.pk).filter(ahead).count() >= limit:
        raise NoPlace(app.pk)


def next_in_line(app_id: int, *, now: datetime) -> list[int]:
    """Make the turns due for which there is a place now; return their ids.

    Those that were made due before, and only wait for a worker, have their place: else
    each run that ends would wake all of them again.
    """
    waiting = _line(app_id)
    later = waiting.filter(next_attempt_at__gt=now)
    if not later.exists():
        return []
    due = waiting.filter(next_attempt_at__lte=now).count()
    free = _limit(app_id, locked=False) - _taken(app_id, now=now) - due
    ids = list(later.values_list("pk", flat=True)[: max(free, 0)])
    later.filter(pk__in=ids).update(next_attempt_at=now)
    return ids


def is_full(app: DifyApp, *, now: datetime, besides_turns: int = 0) -> bool:
    """Tell whether customers' runs and so many others have taken all places."""
    return _taken(app.pk, now=now) + besides_turns >= app.current_limit


def _line(app_id: int) -> QuerySet[Turn]:
    """Return who waits for a place: customers first, then agents and operators.

    Else whoever has a thousand messages answered again keeps the customers waiting.
    """
    others = ~Q(asked_by="") | Q(kind__in=_FOR_AGENTS)
    return (
        Turn.objects.filter(queued_for=app_id, status__in=WAITING)
        .annotate(waits_longer=ExpressionWrapper(others, output_field=BooleanField()))
        .order_by("waits_longer", "pk")
    )


def _taken(app_id: int, *, now: datetime, besides: int | None = None) -> int:
    """Count the places that other turns than `besides` have taken."""
    running = PipelineRun.objects.filter(
        dify_app=app_id,
        status=PipelineRun.Status.RUNNING,
        turn__status=Turn.Status.RUNNING,
        turn__lease_expires_at__gt=now,
    )
    return running.exclude(turn=besides).count()


def _limit(app_id: int, *, locked: bool) -> int:
    rows = DifyApp.objects.only("max_concurrent_runs", "lowered_limit")
    if locked:
        rows = rows.select_for_update(no_key=True)
    return rows.get(pk=app_id).current_limit
