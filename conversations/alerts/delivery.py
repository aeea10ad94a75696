"""Tells channels what `book` wants them told, until it has arrived or is given up."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from time import monotonic

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import F
from django.utils import translation

from bridge_project.lib.errors import BridgeError
from conversations.alerts import book, mail, texts, webhook
from conversations.models import Alert, AlertChannel, AlertDelivery

logger = logging.getLogger(__name__)

# Between two tries; after the last one it is given up, and the channel's page says so.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60, 120))
MAX_ATTEMPTS = len(PAUSES) + 1
# Longer than one try may take: then its worker is dead and another one tries.
LEASE = timedelta(minutes=2)
# A channel that hangs takes ten seconds for each message.
AT_A_TIME = 20


def deliver_due(now: datetime) -> dict[str, int]:
    """Send what is due, the longest due first; return how many arrived and did not."""
    due = AlertDelivery.objects.filter(next_attempt_at__lte=now)
    counts = {"delivered": 0, "failed": 0}
    ids = list(due.order_by("next_attempt_at").values_list("pk", flat=True)[:AT_A_TIME])
    began, begin = monotonic(), now
    for pk in ids:
        # Those before may have taken minutes: a lease of back then would be over, and
        # receivers refuse a timestamp of back then.
        now = begin + timedelta(seconds=int(monotonic() - began))
        claimed = due.filter(pk=pk).update(
            attempts=F("attempts") + 1, next_attempt_at=now + LEASE
        )
        if claimed:
            arrived = _deliver(pk, now=now)
            counts["delivered" if arrived else "failed"] += 1
    return counts


def send_test(channel: AlertChannel, *, now: datetime) -> AlertDelivery:
    """Send a test at once and return what became of it; it is not tried again."""
    delivery = AlertDelivery.objects.create(
        channel=channel, kind=AlertDelivery.Kind.TEST, attempts=1, created_at=now
    )
    error = _error_of(delivery, now=now)
    delivery.error = error
    delivery.delivered_at = None if error else now
    delivery.save(update_fields=["error", "delivered_at"])
    return delivery


def _deliver(pk: int, *, now: datetime) -> bool:
    rows = AlertDelivery.objects.select_related("channel", "alert")
    # A secret that cannot be read is found out when it is used.
    delivery = rows.defer("channel__secret").get(pk=pk)
    error = _error_of(delivery, now=now)
    if not error:
        _note_arrival(delivery, now=now)
        return True
    is_last = delivery.attempts >= MAX_ATTEMPTS
    again_at = None if is_last else now + PAUSES[delivery.attempts - 1]
    # Not if the alert is over by now, and its beginning is not to be told any more.
    AlertDelivery.objects.filter(pk=pk, next_attempt_at__isnull=False).update(
        next_attempt_at=again_at
    )
    AlertDelivery.objects.filter(pk=pk).update(error=error)
    if is_last:
        logger.error("Alert message %s was given up: %s", pk, error)
    return False


def _error_of(delivery: AlertDelivery, *, now: datetime) -> str:
    """Send a message; return why it did not arrive, "" if it did."""
    with translation.override(delivery.channel.language):
        words = texts.words_of(delivery)
        try:
            if delivery.channel.kind == AlertChannel.Kind.WEBHOOK:
                webhook.post(delivery, words=words, now=now)
            else:
                mail.send(delivery, words=words)
        except (BridgeError, ImproperlyConfigured) as err:
            return str(err)
    return ""


def _note_arrival(delivery: AlertDelivery, *, now: datetime) -> None:
    """Note that a message arrived; if its alert is over by now, have that told, too."""
    with transaction.atomic():
        rows = AlertDelivery.objects.select_for_update()
        arrived = rows.filter(pk=delivery.pk).first()
        if arrived is None:
            return
        arrived.delivered_at, arrived.next_attempt_at, arrived.error = now, None, ""
        arrived.save(update_fields=["delivered_at", "next_attempt_at", "error"])
        if arrived.kind != AlertDelivery.Kind.BEGAN:
            return
        alert = Alert.objects.filter(deliveries=arrived).first()
        if alert is not None and alert.ended_at is not None:
            book.tell_end(alert, now=now)
