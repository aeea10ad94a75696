"""The webhook address as Chatwoot sees it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount
from conversations import processing
from conversations.models import Conversation, WebhookEvent
from conversations.tests.factories import SECRET, make_account

URL = "/api/v1/chatwoot-webhook"

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ChatwootAccount:
    return make_account()


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def signed(
    body: bytes, *, secret: str = SECRET, at: float | None = None
) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(
        secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256
    ).hexdigest()
    return {"X-Chatwoot-Timestamp": stamp, "X-Chatwoot-Signature": f"sha256={digest}"}


def post(
    client: Client,
    body: JsonValue | bytes,
    *,
    url: str = URL,
    headers: dict[str, str] | None = None,
    delivery: str = "",
) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = signed(raw) if headers is None else headers
    if delivery:
        sent = {**sent, "X-Chatwoot-Delivery": delivery}
    return client.post(url, raw, content_type="application/json", headers=sent)


def test_stores_a_signed_event(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    answer = post(client, incoming, delivery="d-1")

    event = WebhookEvent.objects.get()
    assert answer.status_code == 200
    assert answer.json() == {"status": "accepted", "event_id": event.pk}
    assert event.account == account
    assert (event.name, event.delivery_key, event.status) == (
        "message_created",
        "d-1",
        "received",
    )
    assert (event.chatwoot_conversation_id, event.chatwoot_message_id) == (133, 9001)
    assert event.payload["content"] == incoming["content"]
    assert "examplePubsubToken" not in json.dumps(event.payload)


def test_a_repeat_is_a_duplicate(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    first = post(client, incoming, delivery="d-1").json()

    again = post(client, incoming, delivery="d-1")

    assert again.status_code == 200
    assert again.json() == {"status": "duplicate", "event_id": first["event_id"]}
    assert WebhookEvent.objects.count() == 1


def test_takes_two_queries_for_a_new_event(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    with CaptureQueriesContext(connection) as queries:
        post(client, incoming, delivery="d-1")

    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "INSERT"]


@pytest.mark.parametrize(
    "url", [URL, f"{URL}/", "/chatwoot/webhook", "/chatwoot/webhook/"]
)
def test_answers_at_every_address(
    client: Client, account: ChatwootAccount, incoming: JsonObject, url: str
) -> None:
    assert post(client, incoming, url=url).status_code == 200


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_takes_only_post(client: Client, method: str) -> None:
    answer = getattr(client, method)(URL)

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(b"another body"),
        {"X-Chatwoot-Signature": "sha256=00", "X-Chatwoot-Timestamp": "1"},
    ],
)
def test_refuses_what_is_not_chatwoots_always_in_the_same_words(
    client: Client,
    account: ChatwootAccount,
    incoming: JsonObject,
    headers: dict[str, str],
) -> None:
    answer = post(client, incoming, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {
        "status": "error",
        "code": "bad_signature",
        "message": "The webhook is not signed with a secret that we know.",
    }
    assert not WebhookEvent.objects.exists()


def test_refuses_a_stale_signature(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    raw = json.dumps(incoming).encode()

    answer = post(client, raw, headers=signed(raw, at=time.time() - 400))

    assert answer.status_code == 401


def test_refuses_everybody_before_an_account_is_set_up(
    client: Client, incoming: JsonObject
) -> None:
    assert post(client, incoming).status_code == 401


def test_takes_a_token_in_the_address(client: Client, incoming: JsonObject) -> None:
    make_account(webhook_secret="", webhook_token="t0ken")

    assert (
        post(client, incoming, headers={}, url=f"{URL}?token=t0ken").status_code == 200
    )
    assert (
        post(client, incoming, headers={}, url=f"{URL}?token=other").status_code == 401
    )


def test_accounts_with_one_number_are_told_apart_by_their_secret(
    client: Client, incoming: JsonObject
) -> None:
    make_account(base_url="https://one.test", webhook_secret="one")
    second = make_account(base_url="https://two.test", webhook_secret="two")
    raw = json.dumps(incoming).encode()

    post(client, raw, headers=signed(raw, secret="two"))

    assert WebhookEvent.objects.get().account == second


def test_an_address_with_a_key_belongs_to_one_account(
    client: Client, incoming: JsonObject
) -> None:
    one = make_account(key="one", base_url="https://one.test", webhook_secret="1")
    make_account(key="two", base_url="https://two.test", webhook_secret="2")
    raw = json.dumps(incoming).encode()

    accepted = post(client, raw, url=f"{URL}/one", headers=signed(raw, secret="1"))
    refused = post(client, raw, url=f"{URL}/two", headers=signed(raw, secret="1"))
    unknown = post(client, raw, url=f"{URL}/no", headers=signed(raw, secret="1"))

    assert [accepted.status_code, refused.status_code, unknown.status_code] == [
        200,
        401,
        401,
    ]
    assert WebhookEvent.objects.get().account == one


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (b"[]", 400),
        (b'{"no": "event"}', 400),
        (b'{"event": "message_created"}', 400),
        (b'{"event": "x", "a": "\\u0000"}', 400),
        (b'{"event": "x", "a": "\xff"}', 400),
        (b'{"event": "x", "a": 1e400}', 400),
        (b'{"event": "x", "a": ' + b"[" * 200 + b"]" * 200 + b"}", 400),
        (b'{"event": "x", "a": "' + b"a" * 1024 * 1024 + b'"}', 413),
    ],
)
def test_refuses_bad_bodies_in_json_and_stores_nothing(
    client: Client, account: ChatwootAccount, body: bytes, status: int
) -> None:
    answer = post(client, body)

    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("name", ["conversation_teleported", "inbox_created", "ü"])
def test_keeps_events_that_it_does_not_know(
    client: Client, account: ChatwootAccount, name: str
) -> None:
    assert post(client, {"event": name, "id": "x"}).status_code == 200
    assert WebhookEvent.objects.get().name == name


@pytest.mark.parametrize("name", ["message_created", "message_updated"])
@pytest.mark.parametrize("message_type", ["reaction", 4, None])
def test_keeps_messages_of_a_type_that_it_does_not_know(
    client: Client,
    account: ChatwootAccount,
    incoming: JsonObject,
    name: str,
    message_type: JsonValue,
) -> None:
    body: JsonObject = {**incoming, "event": name, "message_type": message_type}

    assert post(client, body).status_code == 200
    event = WebhookEvent.objects.get()
    assert processing.process(event.pk, now=timezone.now()) is None
    event.refresh_from_db()
    assert (event.status, event.reason) == ("processed", "unknown_event")


@pytest.mark.parametrize(
    "content",
    [
        "<div>" * 500 + "Hello" + "</div>" * 500,
        "<p>" + "<b>" * 1500 + "Hello</p>",
        "<p><![foo Hello</p>",
    ],
)
def test_no_html_keeps_a_message_out(
    client: Client, account: ChatwootAccount, incoming: JsonObject, content: str
) -> None:
    assert post(client, {**incoming, "content": content}).status_code == 200
    event = WebhookEvent.objects.get()
    assert event.payload["content"] == content
    processing.process(event.pk, now=timezone.now())
    event.refresh_from_db()
    assert event.status == "processed"


def test_odd_values_reach_the_mirror_cut(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    conversation = incoming["conversation"]
    assert isinstance(conversation, dict)
    conversation["updated_at"] = "0001-01-01T00:00:00+23:59"
    conversation["priority"] = conversation["channel"] = "x" * 1000
    conversation["status"] = "x" * 1000
    incoming["created_at"] = "9999-12-31T23:59:59-23:59"
    incoming["inbox"] = {"id": 11, "name": "x" * 1000}
    post(client, incoming)
    event = WebhookEvent.objects.get()

    processing.process(event.pk, now=timezone.now())

    event.refresh_from_db()
    assert (event.status, event.error) == ("processed", "")
    mirrored = Conversation.objects.get()
    assert (mirrored.priority, mirrored.channel) == ("x" * 20, "x" * 100)
    assert (mirrored.status, mirrored.source_updated_at) == ("", None)
    assert mirrored.inbox is not None
    assert (mirrored.inbox.name, mirrored.inbox.channel) == ("x" * 255, "x" * 100)


def test_an_event_without_a_time_replaces_only_what_has_none(
    client: Client, account: ChatwootAccount, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("conversation_updated_team")
    states = []
    for status, moment in [
        ("open", None),
        ("resolved", None),
        ("pending", 1781600500.5),
        ("snoozed", None),
    ]:
        post(client, {**sample, "status": status, "updated_at": moment})
        newest = WebhookEvent.objects.latest("pk")
        processing.process(newest.pk, now=timezone.now())
        states.append(Conversation.objects.get().status)

    assert states == ["open", "resolved", "pending", "pending"]


def test_an_account_that_cannot_be_read_keeps_no_other_out(
    client: Client,
    incoming: JsonObject,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    lost = make_account(key="lost", name="Lost", base_url="https://lost.test")
    settings.FIELD_ENCRYPTION_KEYS = key
    readable = make_account(key="readable")

    answer = post(client, incoming)

    assert answer.status_code == 200
    assert WebhookEvent.objects.get().account_id == readable.pk
    assert f"No webhook for account Lost ({lost.pk}) gets in" in caplog.text
    # Its own address is our fault, not that of Chatwoot's signature.
    client.raise_request_exception = False
    assert post(client, incoming, url=f"{URL}/lost").status_code == 500


def test_what_postgresql_refuses_is_no_outage(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE conversations_webhookevent ALTER name TYPE varchar(3)"
        )

    answer = post(client, incoming)

    assert answer.status_code == 400
    assert answer.json() == {
        "status": "error",
        "code": "malformed_payload",
        "message": "The event has a value that cannot be stored.",
    }


def test_an_unknown_address_answers_json(client: Client) -> None:
    answer = client.get("/api/v1/nothing-here")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_health_tells_of_the_database(client: Client) -> None:
    answer = client.get("/api/v1/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["database"] == "connected"


def test_chatwoot_may_call_us_by_any_name(
    client: Client, account: ChatwootAccount, incoming: JsonObject
) -> None:
    raw = json.dumps(incoming).encode()
    headers = {**signed(raw), "Host": "bridge_web_1:8000"}

    assert post(client, raw, headers=headers).status_code == 200
    assert client.get("/admin/", headers={"Host": "evil.test"}).status_code == 400
