"""Webhook bodies that nobody means well with: refused or stored, never a crash."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st
from redis import Redis

from bridge_project.lib.tests import hostile
from chatwoot_api import webhooks
from conversations import processing
from conversations.models import Turn, WebhookEvent
from conversations.tests.factories import make_bot
from conversations.tests.test_views import URL, signed

PAYLOADS = Path(webhooks.__file__).parent / "tests" / "payloads"
SAMPLES: list[Any] = [
    json.loads(path.read_text())
    for path in sorted(PAYLOADS.glob("*.json"))
    if path.stem != "signature_vector"
]
# Most of what can go wrong hangs on a customer's new message.
MESSAGES = [
    sample
    for sample in SAMPLES
    if sample["event"] == "message_created" and sample["message_type"] == "incoming"
]
DELIVERIES = st.sampled_from(
    ("", "d-1", "x" * 100, "x" * 101, "ümlaut", " ", "a b", "%00", "d-1, d-2")
)

# Ten thousand take minutes.
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(1800)]


@pytest.fixture
def chatwoot(client: Client) -> Iterator[Client]:
    """An account with a bot, no log lines, and a queue that is empty afterwards."""
    make_bot()
    logging.disable(logging.CRITICAL)
    yield client
    logging.disable(logging.NOTSET)
    Redis.from_url(settings.REDIS_URL).flushdb()


def deliver(client: Client, raw: bytes, *, delivery: str = "") -> None:
    """Send one body, process what was stored, check both, and undo it all."""
    with transaction.atomic():
        headers = {**signed(raw), "X-Chatwoot-Delivery": delivery}
        answer = client.post(URL, raw, content_type="application/json", headers=headers)
        rows = list(WebhookEvent.objects.all())
        if answer.status_code == 200:
            [row] = rows
            check_stored(row, raw=raw)
            turn = processing.process(row.pk, now=timezone.now())
            row.refresh_from_db()
            assert row.status == WebhookEvent.Status.PROCESSED
            assert row.action
            assert turn is None or Turn.objects.get() == turn
        else:
            assert answer.status_code in {400, 413}, answer.content
            assert rows == []
        transaction.set_rollback(True)


def check_stored(row: WebhookEvent, *, raw: bytes) -> None:
    """The row has what was sent, and nothing of what must not be kept."""
    sent = webhooks.decode(raw)
    assert same(row.payload, webhooks.without_secrets(sent))
    assert hostile.PLANTED not in json.dumps(row.payload)
    assert not leaks(row.payload)


def same(stored: Any, sent: Any) -> bool:
    """JSONB keeps numbers exactly, but not how they were written: 1e3 or 1000."""
    if isinstance(sent, dict):
        return (
            isinstance(stored, dict)
            and stored.keys() == sent.keys()
            and all(same(stored[key], sent[key]) for key in sent)
        )
    if isinstance(sent, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(sent)
            and all(map(same, stored, sent))
        )
    if isinstance(sent, float):
        return isinstance(stored, int | float) and math.isclose(
            stored, sent, rel_tol=1e-15, abs_tol=0.0
        )
    return type(stored) is type(sent) and bool(stored == sent)


def leaks(value: Any) -> bool:
    """Tell whether there is a secret of the samples somewhere in it."""
    if isinstance(value, dict):
        inbox = value.get("contact_inbox")
        inboxes = inbox if isinstance(inbox, list) else [inbox]
        return (
            any(value.get(name) is not None for name in hostile.SECRET_NAMES)
            or any(isinstance(x, dict) and "source_id" in x for x in inboxes)
            or any(map(leaks, value.values()))
        )
    return isinstance(value, list) and any(map(leaks, value))


def fresh(sample: Any) -> Any:
    """As if written now: what is too old is handed over without a look."""
    now = datetime.now(UTC).isoformat()
    return {**sample, "created_at": now} if "created_at" in sample else sample


@hostile.examples(0.4, usual=100)
@given(
    sample=st.one_of(st.sampled_from(MESSAGES), st.sampled_from(SAMPLES)),
    changes=hostile.changes(),
    delivery=DELIVERIES,
)
def test_changed_events(
    chatwoot: Client, sample: Any, changes: list[hostile.Change], delivery: str
) -> None:
    body = hostile.changed(fresh(sample), by=changes)
    deliver(chatwoot, hostile.as_bytes(body), delivery=delivery)


@hostile.examples(0.35, usual=60)
@given(sample=st.sampled_from(SAMPLES), edits=hostile.edits())
def test_edited_bytes(chatwoot: Client, sample: Any, edits: list[hostile.Edit]) -> None:
    raw = hostile.edited(json.dumps(fresh(sample)).encode(), by=edits)
    deliver(chatwoot, raw)


@hostile.examples(0.25, usual=60)
@given(raw=st.one_of(st.binary(max_size=200), hostile.values().map(hostile.as_bytes)))
@example(raw=b"")
@example(raw=b"\xef\xbb\xbf{}")
@example(raw=b'{"event": "x"}')
@example(raw=b'{"event": "x", "event": 1}')
@example(raw=b"[" * 100_000)
@example(raw=b'{"event":' + b" " * (webhooks.MAX_BODY_BYTES + 1) + b'"x"}')
def test_anything_at_all(chatwoot: Client, raw: bytes) -> None:
    deliver(chatwoot, raw)
