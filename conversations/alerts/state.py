"""Reads how things stand: a few indexed queries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Q

from chatwoot_api.models import ChatwootAccount
from chatwoot_api.models import Health as ChatwootHealth
from conversations import waiting
from conversations.alerts.rules import FAILURES, Refused, State, Waiting
from conversations.models import DifyConversation, Turn
from dify_api.models import DifyApp

WITHIN = timedelta(hours=1)
# More overdue deletions need not be counted.
MANY = 1000
# So many bots are named in an alert.
NAMED_BOTS = 3


def read(now: datetime) -> State:
    """Return the state of the whole bridge."""
    ended, failed, bots = _turns(now)
    return State(
        now=now,
        refused=tuple(_refused()),
        ended=ended,
        failed=failed,
        failing_bots=bots,
        oldest=_oldest(now),
        deletions=tuple(overdue_since()),
    )


def overdue_since() -> list[datetime]:
    """Return since when deletions in Dify are wanted, the oldest first."""
    rows = DifyConversation.objects.filter(
        next_delete_at__isnull=False, deleted_at=None, delete_wanted_at__isnull=False
    ).order_by("delete_wanted_at")
    return [at for at in rows.values_list("delete_wanted_at", flat=True)[:MANY] if at]


def _refused() -> Iterator[Refused]:
    apps = DifyApp.objects.filter(health=DifyApp.Health.REFUSED)
    for pk, name in apps.order_by("pk").values_list("pk", "name"):
        yield Refused("dify", pk, name)
    accounts = ChatwootAccount.objects.order_by("pk").values_list("pk", "name")
    for pk, name in accounts.filter(health=ChatwootHealth.REFUSED):
        yield Refused("chatwoot_bot", pk, name)
    for pk, name in accounts.exclude(admin_token_refused_at=None):
        yield Refused("chatwoot_admin", pk, name)


def _turns(now: datetime) -> tuple[int, int, tuple[str, ...]]:
    """Return how many turns ended, how many failed, and whose they were."""
    failed = Q(status=Turn.Status.FAILED) | Q(
        status=Turn.Status.HANDED_OVER, reason__in=FAILURES
    )
    rows = list(
        Turn.objects.filter(
            finished_at__gt=now - WITHIN, finished_at__lte=now, kind=Turn.Kind.ANSWER
        )
        .values_list("bot__name")
        .annotate(ended=Count("pk"), failed=Count("pk", filter=failed))
        .order_by("-failed", "bot__name")
    )
    names = [name for name, _ended, count in rows if count and name]
    return (
        sum(ended for _name, ended, _failed in rows),
        sum(count for _name, _ended, count in rows),
        tuple(names[:NAMED_BOTS]),
    )


def _oldest(now: datetime) -> Waiting | None:
    for row in waiting.customers(now, limit=1):
        if row.waiting_since is not None:
            return Waiting(
                since=row.waiting_since,
                conversation_id=row.pk,
                number=row.chatwoot_conversation_id,
            )
    return None
