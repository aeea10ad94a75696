"""Keeps which channel is to be told of what: begins alerts, and ends them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils.dateparse import parse_datetime

from conversations.alerts import state as states
from conversations.alerts.rules import State, Trouble, limits_of, troubles
from conversations.models import Alert, AlertChannel, AlertDelivery

logger = logging.getLogger(__name__)

# What comes and goes within this time is one trouble and not several.
QUIET = timedelta(minutes=5)
# In `Alert.facts`: since when nothing was seen of it.
QUIET_SINCE = "quiet_since"
# Alerts that are over are history for so long.
KEPT = timedelta(days=90)
MOST_FORGOTTEN = 500


def look(now: datetime) -> dict[str, int]:
    """Compare how things stand with what each channel was told.

    Begins an alert for what is new and ends those that are over, each with the message
    that tells of it, in one transaction for each channel. Of two that look at the same
    time one leaves the channel to the other.
    """
    channels = list(AlertChannel.objects.order_by("pk").values_list("pk", flat=True))
    counts = {"began": 0, "ended": 0}
    if not channels:
        return counts
    state = states.read(now)
    for channel_id in channels:
        try:
            with transaction.atomic():
                began, ended = _look_for(channel_id, state=state)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one channel that is odd must not silence the others
            logger.exception("Alert channel %s cannot be looked after", channel_id)
            continue
        counts["began"] += began
        counts["ended"] += ended
    _forget(now)
    return counts


def _look_for(channel_id: int, *, state: State) -> tuple[int, int]:
    rows = AlertChannel.objects.select_for_update(skip_locked=True, no_key=True)
    # The secret is not needed, and may be unreadable.
    channel = rows.defer("secret").filter(pk=channel_id).first()
    if channel is None:
        return 0, 0
    is_open = {
        (alert.cause, alert.subject): alert
        for alert in channel.alerts.filter(ended_at=None)
    }
    if not channel.enabled:
        return 0, _drop(list(is_open.values()), now=state.now)
    limits = limits_of(channel)
    unwanted = [one for one in is_open.values() if one.cause not in limits.causes]
    ended = _drop(unwanted, now=state.now)
    new = [
        trouble
        for trouble in troubles(state, limits)
        if (trouble.cause, trouble.subject) not in is_open
    ]
    for trouble in new:
        _begin(trouble, channel=channel, now=state.now)
    still = {
        (str(one.cause), one.subject): one for one in troubles(state, limits.relieved())
    }
    for key, alert in is_open.items():
        if alert not in unwanted:
            ended += _follow(alert, trouble=still.get(key), now=state.now)
    return len(new), ended


def _begin(trouble: Trouble, *, channel: AlertChannel, now: datetime) -> None:
    alert = Alert.objects.create(
        channel=channel,
        cause=trouble.cause,
        subject=trouble.subject,
        facts=trouble.facts,
        began_at=now,
    )
    AlertDelivery.objects.create(
        channel=channel,
        alert=alert,
        kind=AlertDelivery.Kind.BEGAN,
        next_attempt_at=now,
        created_at=now,
    )


def _follow(alert: Alert, *, trouble: Trouble | None, now: datetime) -> int:
    """Keep an open alert's facts up to date; end it once it has been quiet. 1 if so."""
    if trouble is not None:
        if alert.facts != trouble.facts:
            alert.facts = trouble.facts
            alert.save(update_fields=["facts"])
        return 0
    quiet_since = parse_datetime(str(alert.facts.get(QUIET_SINCE, "")))
    if quiet_since is None:
        alert.facts = {**alert.facts, QUIET_SINCE: now.isoformat()}
        alert.save(update_fields=["facts"])
        return 0
    if now - quiet_since < QUIET:
        return 0
    end(alert, now=now)
    return 1


def end(alert: Alert, *, now: datetime) -> None:
    """End an alert; who heard of its beginning hears of its end.

    A beginning that did not arrive yet is not told any more. If it is just being sent,
    `delivery` finds the alert ended and tells of the end afterwards.
    """
    alert.ended_at = now
    alert.save(update_fields=["ended_at"])
    began = alert.deliveries.select_for_update().get(kind=AlertDelivery.Kind.BEGAN)
    if began.delivered_at is None:
        alert.deliveries.filter(pk=began.pk).update(next_attempt_at=None)
        return
    tell_end(alert, now=now)


def tell_end(alert: Alert, *, now: datetime) -> None:
    """Have the end of an alert told, once."""
    AlertDelivery.objects.get_or_create(
        alert=alert,
        kind=AlertDelivery.Kind.ENDED,
        defaults={
            "channel_id": alert.channel_id,
            "next_attempt_at": now,
            "created_at": now,
        },
    )


def _drop(alerts: list[Alert], *, now: datetime) -> int:
    """End what the channel does not want to hear of any more, without a word."""
    ids = [alert.pk for alert in alerts]
    Alert.objects.filter(pk__in=ids).update(ended_at=now)
    AlertDelivery.objects.filter(alert__in=ids).update(next_attempt_at=None)
    return len(ids)


def _forget(now: datetime) -> None:
    old = Alert.objects.filter(ended_at__lt=now - KEPT).values_list("pk", flat=True)
    Alert.objects.filter(pk__in=list(old[:MOST_FORGOTTEN])).delete()
