"""What somebody can do who has copied a signed webhook: nothing.

The signature covers timestamp and body and holds for 300 s; the delivery id is not
signed. Whoever copies a request can send it unchanged, or under another id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api.webhooks import TOLERANCE_S
from conversations import processing
from conversations.models import Bot, Turn, WebhookEvent
from conversations.tests.factories import SECRET, message_payload

pytestmark = pytest.mark.django_db

URL = "/api/v1/chatwoot-webhook"
ACCOUNT_SECRET = "the-secret-of-the-account-webhook"


@pytest.fixture
def message(payload: Callable[[str], JsonObject]) -> bytes:
    sample = payload("message_created_incoming_text")
    return json.dumps(message_payload(sample)).encode()


@pytest.fixture
def typing(payload: Callable[[str], JsonObject]) -> bytes:
    return json.dumps(payload("conversation_typing_on_contact")).encode()


def signed(
    body: bytes, *, delivery: str = "", secret: str = SECRET, ago_s: int = 0
) -> dict[str, str]:
    """The headers of a request that was signed `ago_s` seconds ago."""
    stamp = str(int(time.time()) - ago_s)
    digest = hmac.new(
        secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256
    ).hexdigest()
    headers = {
        "X-Chatwoot-Timestamp": stamp,
        "X-Chatwoot-Signature": f"sha256={digest}",
    }
    return headers | ({"X-Chatwoot-Delivery": delivery} if delivery else {})


def post(client: Client, body: bytes, headers: dict[str, str]) -> Any:
    return client.post(URL, body, content_type="application/json", headers=headers)


def outcomes(client: Client, *requests: tuple[bytes, dict[str, str]]) -> list[str]:
    return [post(client, body, headers).json()["status"] for body, headers in requests]


def process_all() -> None:
    for event in WebhookEvent.objects.order_by("pk"):
        processing.process(event.pk, now=timezone.now())


def test_an_unchanged_copy_is_a_duplicate(
    client: Client, bot: Bot, message: bytes
) -> None:
    request = message, signed(message, delivery="d-1")

    assert outcomes(client, request, request) == ["accepted", "duplicate"]
    process_all()
    assert (WebhookEvent.objects.count(), Turn.objects.count()) == (1, 1)


def test_a_copy_under_other_ids_is_stored_no_second_time(
    client: Client, bot: Bot, message: bytes, typing: bytes
) -> None:
    for body in (message, typing):
        headers = signed(body, delivery=f"d-{len(body)}", ago_s=10)
        copies = [
            {**headers, "X-Chatwoot-Delivery": f"{name}"}
            for name in ("copy-1", "copy-2", "", "copy\u00e9", "x" * 200)
        ]

        first, *others = outcomes(client, *((body, h) for h in (headers, *copies)))

        assert (first, others) == ("accepted", ["duplicate"] * 5)
    process_all()
    assert (WebhookEvent.objects.count(), Turn.objects.count()) == (2, 1)


def test_a_copy_names_the_event_that_is_stored(
    client: Client, bot: Bot, typing: bytes
) -> None:
    headers = signed(typing, delivery="d-1")
    first = post(client, typing, headers).json()

    copy = post(client, typing, {**headers, "X-Chatwoot-Delivery": "copy"}).json()

    assert copy == {"status": "duplicate", "event_id": first["event_id"]}


def test_a_copy_without_an_id_is_stored_no_second_time(
    client: Client, bot: Bot, typing: bytes
) -> None:
    headers = signed(typing)

    assert outcomes(client, (typing, headers), (typing, headers)) == [
        "accepted",
        "duplicate",
    ]
    assert WebhookEvent.objects.count() == 1


@pytest.mark.parametrize("delivery", ["d-1", "copy"])
def test_a_copy_is_refused_after_five_minutes(
    client: Client, bot: Bot, message: bytes, *, delivery: str
) -> None:
    headers = signed(message, delivery=delivery, ago_s=TOLERANCE_S + 1)

    answer = post(client, message, headers)

    assert (answer.status_code, WebhookEvent.objects.count()) == (401, 0)


def test_another_timestamp_or_body_needs_the_secret(
    client: Client, bot: Bot, message: bytes
) -> None:
    headers = signed(message, delivery="d-1")
    later = {**headers, "X-Chatwoot-Timestamp": str(int(time.time()) + 1)}

    assert post(client, message, later).status_code == 401
    assert post(client, message + b" ", headers).status_code == 401
    assert not WebhookEvent.objects.exists()


def test_chatwoots_own_retry_is_signed_anew_and_known_by_its_id(
    client: Client, bot: Bot, message: bytes
) -> None:
    first = message, signed(message, delivery="d-1", ago_s=3)
    retry = message, signed(message, delivery="d-1")

    assert outcomes(client, first, retry) == ["accepted", "duplicate"]
    assert WebhookEvent.objects.count() == 1


def test_bot_and_account_webhook_both_get_in_and_make_one_turn(
    client: Client, bot: Bot, message: bytes
) -> None:
    bot.account.account_webhook_secret = ACCOUNT_SECRET
    bot.account.save()
    by_bot = message, signed(message, delivery="d-1")
    by_account = message, signed(message, delivery="d-2", secret=ACCOUNT_SECRET)

    assert outcomes(client, by_bot, by_account) == ["accepted", "accepted"]
    process_all()
    assert WebhookEvent.objects.filter(reason="duplicate_message").count() == 1
    assert Turn.objects.count() == 1


def test_the_same_news_twice_is_two_events(
    client: Client, bot: Bot, typing: bytes
) -> None:
    """Chatwoot repeats itself: what it signs anew and gives an id of its own counts."""
    first = typing, signed(typing, delivery="d-1", ago_s=1)
    second = typing, signed(typing, delivery="d-2")

    assert outcomes(client, first, second) == ["accepted", "accepted"]
    assert WebhookEvent.objects.count() == 2
