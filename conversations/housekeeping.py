"""Celery's entry points for what nobody waits for; each may run twice at once."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from chatwoot_api import sync
from conversations import deletion, erasure, heartbeats, idle, probes, retention
from conversations.alerts import book, delivery
from conversations.reports import figures

logger = logging.getLogger(__name__)


@shared_task
def probe_services() -> dict[str, int]:
    """Try refused tokens again."""
    return probes.probe_refused(timezone.now())


@shared_task
def pull_mirrors() -> dict[str, int]:
    """Read teams, agents, labels, attributes and inboxes of all accounts again."""
    return sync.pull_all(now=timezone.now())


@shared_task
def delete_in_dify() -> dict[str, int]:
    """Want deleted in Dify what the policies say, and delete what is due."""
    wanted = deletion.want_by_policy(now=timezone.now())
    wanted += deletion.want_old_talks(now=timezone.now())
    return {"wanted": wanted, **deletion.delete_due(now=timezone.now())}


@shared_task
def end_idle() -> dict[str, int]:
    """Resolve or open idle conversations of bots that want it."""
    return idle.end_idle(now=timezone.now())


@shared_task
def look_for_gone() -> dict[str, int]:
    """Find conversations that were deleted in Chatwoot."""
    return deletion.find_gone(now=timezone.now())


@shared_task
def prune() -> dict[str, int]:
    """Forget what is older than the accounts' limits."""
    pruned = retention.prune(timezone.now())
    return {**pruned.counts, "more": int(pruned.more)}


@shared_task(ignore_result=True)
def note_beat() -> None:
    """Note that beat sends its tasks, that Redis keeps them and that a worker hears."""
    heartbeats.note_beat(now=timezone.now(), by=heartbeats.own_name())


@shared_task
def roll_up_figures() -> dict[str, int]:
    """Count what happened in the last hours, for the overview."""
    return figures.roll_up(timezone.now())


@shared_task
def look_for_trouble() -> dict[str, int]:
    """Begin and end alerts, and send what is due of them."""
    looked = book.look(timezone.now())
    return {**looked, **delivery.deliver_due(timezone.now())}


@shared_task
def carry_on_erasures() -> dict[str, int]:
    """Go on with what is to be erased; one that fails does not stop the others."""
    done = 0
    failures: list[Exception] = []
    for erasure_id in erasure.unfinished():
        try:
            wish = erasure.carry_on(erasure_id, now=timezone.now())
            done += wish.finished_at is not None
        except Exception as err:
            logger.exception("Erasure %s could not go on", erasure_id)
            failures.append(err)
    if failures:
        raise failures[0]
    return {"done": done}
