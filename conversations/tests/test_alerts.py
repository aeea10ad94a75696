"""Alerts: one for each trouble, with its recovery, repeated until it arrived."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from django.core import mail
from pytest_django import Settings

from conversations import housekeeping
from conversations.alerts import book, delivery, webhook
from conversations.alerts.rules import Refused, State, Waiting, limits_of, troubles
from conversations.models import Alert, AlertChannel, AlertDelivery
from conversations.tests.factories import (
    app_of,
    make_account,
    make_app,
    make_bot,
    make_conversation,
    make_memory,
    make_turn,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOOK = "https://hooks.test/services/T0/secret-part"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def make_channel(**overrides: Any) -> AlertChannel:
    values = {"name": "On call", "kind": "webhook", "url": HOOK, "secret": SECRET}
    return AlertChannel.objects.create(**{**values, **overrides})


def make_mail_channel(**overrides: Any) -> AlertChannel:
    values = {"kind": "email", "url": "", "secret": "", "email": "ops@shop.test"}
    return make_channel(**{**values, **overrides})


def causes(state: State, channel: AlertChannel) -> list[tuple[str, str]]:
    found = troubles(state, limits_of(channel))
    return [(trouble.cause.value, trouble.subject) for trouble in found]


def body_of(call: responses.Call) -> bytes:
    body = call.request.body
    assert isinstance(body, bytes)
    return body


def told_by(call: responses.Call) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(body_of(call))
    return told


def kinds() -> list[str]:
    rows = AlertDelivery.objects.order_by("pk")
    return list(rows.values_list("kind", flat=True))


# --- Rules ---------------------------------------------------------------------


def test_a_refused_key_is_trouble_of_its_own() -> None:
    state = State(NOW, refused=(Refused("dify", 3, "Orders"), Refused("dify", 4, "B")))

    assert causes(state, AlertChannel()) == [
        ("refused_key", "dify:3"),
        ("refused_key", "dify:4"),
    ]


@pytest.mark.parametrize(
    ("failed", "ended", "is_trouble"),
    [(4, 4, False), (5, 5, True), (5, 25, True), (5, 26, False), (0, 0, False)],
)
def test_failures_are_trouble_from_a_rate_and_a_number_on(
    failed: int, ended: int, is_trouble: bool
) -> None:
    state = State(NOW, ended=ended, failed=failed)

    found = causes(state, AlertChannel(failing_percent=20))

    assert found == ([("failing_rate", "")] if is_trouble else [])


@pytest.mark.parametrize(("minutes", "is_trouble"), [(29, False), (30, True)])
def test_a_customer_may_wait_for_so_long(minutes: int, is_trouble: bool) -> None:
    state = State(NOW, oldest=Waiting(NOW - minutes * MINUTE, 7, 133))

    found = causes(state, AlertChannel(waiting_minutes=30))

    assert found == ([("oldest_waiting", "")] if is_trouble else [])


def test_only_overdue_deletions_are_counted() -> None:
    hours = [50, 30, 23]
    state = State(NOW, deletions=tuple(NOW - timedelta(hours=h) for h in hours))

    [trouble] = troubles(state, limits_of(AlertChannel(deletion_hours=24)))

    assert trouble.facts == {
        "count": 2,
        "hours": 50,
        "since": "2026-11-20T12:30:00+00:00",
    }


def test_a_channel_hears_only_of_what_it_wants() -> None:
    state = State(NOW, refused=(Refused("dify", 3, "Orders"),))

    assert causes(state, AlertChannel(causes=["failing_rate"])) == []


# --- Beginning and end ---------------------------------------------------------


def test_trouble_is_begun_once_however_often_it_is_looked_for() -> None:
    make_channel()
    make_app(health="refused", name="Orders")

    assert book.look(NOW) == {"began": 1, "ended": 0}
    assert book.look(NOW + MINUTE) == {"began": 0, "ended": 0}

    alert = Alert.objects.get()
    assert (alert.cause, alert.facts["name"]) == ("refused_key", "Orders")
    assert kinds() == ["began"]


def test_each_channel_has_alerts_of_its_own() -> None:
    make_channel()
    make_mail_channel()
    make_channel(enabled=False)
    account = make_account(health="refused", admin_token_refused_at=NOW)

    book.look(NOW)

    assert sorted(Alert.objects.values_list("subject", flat=True)) == [
        *[f"chatwoot_admin:{account.pk}"] * 2,
        *[f"chatwoot_bot:{account.pk}"] * 2,
    ]


def test_trouble_that_is_over_is_ended_after_a_quiet_while(
    wire: responses.RequestsMock,
) -> None:
    wire.post(HOOK)
    make_channel()
    app = make_app(health="refused")
    book.look(NOW)
    delivery.deliver_due(NOW)
    app.health = "ok"
    app.save()

    assert book.look(NOW + MINUTE)["ended"] == 0
    assert book.look(NOW + 5 * MINUTE)["ended"] == 0
    assert book.look(NOW + 6 * MINUTE)["ended"] == 1

    assert Alert.objects.get().ended_at == NOW + 6 * MINUTE
    assert kinds() == ["began", "ended"]


def test_trouble_that_comes_and_goes_is_one_alert() -> None:
    make_channel()
    app = make_app(health="refused")
    for minute in range(0, 30, 3):
        app.health = "ok" if minute % 2 else "refused"
        app.save()
        book.look(NOW + minute * MINUTE)

    assert Alert.objects.filter(ended_at=None).count() == 1
    assert kinds() == ["began"]


def test_an_open_alert_ends_only_well_below_its_limit() -> None:
    make_channel(waiting_minutes=30)
    conversation = make_conversation(make_bot(), waiting_since=NOW - 31 * MINUTE)
    book.look(NOW)
    # The one who now waits longest waits 27 minutes: below the limit, but not by much.
    conversation.waiting_since = NOW - 27 * MINUTE
    conversation.save()

    for minute in range(1, 4):
        book.look(NOW + minute * MINUTE)

    assert book.QUIET_SINCE not in Alert.objects.get().facts


def test_a_beginning_that_never_arrived_has_no_end(
    wire: responses.RequestsMock,
) -> None:
    wire.post(HOOK, status=500)
    make_channel()
    app = make_app(health="refused")
    book.look(NOW)
    delivery.deliver_due(NOW)
    app.health = "ok"
    app.save()
    book.look(NOW + MINUTE)
    book.look(NOW + 7 * MINUTE)

    assert delivery.deliver_due(NOW + 60 * MINUTE) == {"delivered": 0, "failed": 0}
    assert kinds() == ["began"]
    assert len(wire.calls) == 1


def test_an_end_is_told_if_the_beginning_was_just_being_sent(
    wire: responses.RequestsMock,
) -> None:
    make_channel()
    make_app(health="refused")
    book.look(NOW)

    def over_meanwhile(_request: object) -> tuple[int, dict[str, str], str]:
        if len(kinds()) == 1:
            book.end(Alert.objects.get(), now=NOW)
        return 200, {}, ""

    wire.add_callback(responses.POST, HOOK, callback=over_meanwhile)

    delivery.deliver_due(NOW)
    delivery.deliver_due(NOW)

    types = [told_by(call)["type"] for call in wire.calls]
    assert types == ["alert.began", "alert.ended"]


def test_a_channel_that_is_switched_off_hears_nothing_more() -> None:
    channel = make_channel()
    make_app(health="refused")
    book.look(NOW)
    channel.enabled = False
    channel.save()

    assert book.look(NOW + MINUTE) == {"began": 0, "ended": 1}
    assert delivery.deliver_due(NOW + MINUTE) == {"delivered": 0, "failed": 0}


def test_a_cause_that_is_no_longer_wanted_is_dropped_without_a_word() -> None:
    channel = make_channel()
    make_app(health="refused")
    book.look(NOW)
    channel.causes = ["failing_rate"]
    channel.save()

    assert book.look(NOW + MINUTE) == {"began": 0, "ended": 1}
    assert kinds() == ["began"]


def test_a_channel_that_is_odd_does_not_silence_the_others() -> None:
    odd, fine = make_channel(), make_channel()
    Alert.objects.create(channel=odd, cause="refused_key", subject="dify:0", facts=[])
    make_app(health="refused")

    assert book.look(NOW) == {"began": 1, "ended": 0}

    assert AlertDelivery.objects.get().channel == fine


def test_old_alerts_are_forgotten() -> None:
    channel = make_channel()
    for days in (91, 89):
        Alert.objects.create(
            channel=channel, cause="failing_rate", ended_at=NOW - timedelta(days=days)
        )

    book.look(NOW)

    assert Alert.objects.get().ended_at == NOW - timedelta(days=89)


def test_failures_of_the_last_hour_are_counted_with_their_bots() -> None:
    make_channel()
    bot = make_bot(name="Orders")
    conversation = make_conversation(bot)

    def ended(status: str, reason: str, *, minutes_ago: int = 1) -> None:
        at = NOW - minutes_ago * MINUTE
        make_turn(conversation, bot, status=status, reason=reason, finished_at=at)

    for _number in range(3):
        ended("handed_over", "dify_failed")
        ended("failed", "chatwoot_failed")
        ended("failed", "chatwoot_failed", minutes_ago=61)
        ended("handed_over", "paused")
    ended("answered", "answered")

    book.look(NOW)

    assert Alert.objects.get().facts == {
        "failed": 6,
        "ended": 10,
        "percent": 60,
        "bots": ["Orders"],
    }


def test_overdue_deletions_and_waiting_customers_are_found() -> None:
    make_channel()
    bot = make_bot()
    conversation = make_conversation(bot, waiting_since=NOW - 45 * MINUTE)
    wanted = {"delete_wanted_at": NOW - timedelta(hours=30), "next_delete_at": NOW}
    make_memory(conversation, app_of(bot), **wanted)

    book.look(NOW)

    facts = dict(Alert.objects.values_list("cause", "facts"))
    assert facts["oldest_waiting"]["minutes"] == 45
    assert facts["oldest_waiting"]["number"] == 133
    assert (facts["overdue_deletion"]["count"], facts["overdue_deletion"]["hours"]) == (
        1,
        30,
    )


# --- Delivery --------------------------------------------------------------------


def test_a_webhook_is_signed_and_says_all_that_is_needed(
    wire: responses.RequestsMock, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://bridge.shop.test"
    wire.post(HOOK)
    make_channel()
    app = make_app(health="refused", name="Orders")
    book.look(NOW)

    assert delivery.deliver_due(NOW) == {"delivered": 1, "failed": 0}

    [call] = wire.calls
    sent = call.request
    body = body_of(call)
    mark = str(AlertDelivery.objects.get().mark)
    signed = f"{mark}.{int(NOW.timestamp())}.".encode() + body
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert sent.headers["webhook-id"] == mark
    assert sent.headers["webhook-timestamp"] == "1795357800"
    assert sent.headers["webhook-signature"] == f"v1,{expected}"
    assert sent.headers["Content-Type"] == "application/json"
    url = f"https://bridge.shop.test/admin/dify_api/difyapp/{app.pk}/change/"
    told = json.loads(body)
    assert told["type"] == "alert.began"
    assert told["timestamp"] == NOW.isoformat()
    assert told["data"] == {
        "cause": "refused_key",
        "subject": f"dify:{app.pk}",
        "title": "Trouble: a key or token is refused",
        "text": "Dify refuses the key of the app “Orders”. Its customers go to the "
        "humans. Enter a key that is valid. Who was handed over stays with the humans; "
        "“Answer again” on a conversation's page gives one back to the bot.",
        "url": url,
        "began_at": NOW.isoformat(),
        "ended_at": None,
        "facts": {"kind": "dify", "id": app.pk, "name": "Orders"},
    }
    assert told["text"].endswith(url)


def test_a_mail_is_plain_text_without_secrets(settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = "bridge@shop.test"
    make_mail_channel()
    make_account(health="refused", name="Nordlicht")
    book.look(NOW)

    assert delivery.deliver_due(NOW) == {"delivered": 1, "failed": 0}

    [message] = mail.outbox
    assert message.subject == "Trouble: a key or token is refused"
    assert message.to == ["ops@shop.test"]
    assert message.from_email == "bridge@shop.test"
    assert "“Nordlicht”" in str(message.body)
    assert "/admin/chatwoot_api/chatwootaccount/" in str(message.body)
    assert "the-bot-token" not in str(message.body)
    assert message.content_subtype == "plain"


def test_no_customer_is_named(wire: responses.RequestsMock) -> None:
    wire.post(HOOK)
    make_channel()
    bot = make_bot()
    make_conversation(bot, waiting_since=NOW - 45 * MINUTE)
    book.look(NOW)
    delivery.deliver_due(NOW)

    [call] = wire.calls
    assert "misty-harbor-412" not in str(call.request.body)
    assert (
        "In conversation #133 a customer has been waiting for 45 minutes."
        in (told_by(call)["text"])
    )


def test_what_fails_is_tried_again_with_growing_pauses_and_then_given_up(
    wire: responses.RequestsMock,
) -> None:
    wire.post(HOOK, status=503)
    make_channel()
    make_app(health="refused")
    book.look(NOW)
    at, pauses = NOW, []
    while True:
        assert delivery.deliver_due(at) == {"delivered": 0, "failed": 1}
        row = AlertDelivery.objects.get()
        if row.next_attempt_at is None:
            break
        pauses.append((row.next_attempt_at - at).total_seconds() / 60)
        at = row.next_attempt_at

    assert pauses == [1, 2, 5, 15, 30, 60, 120]
    assert (row.attempts, row.delivered_at) == (8, None)
    assert row.error == "hooks.test answered 503 instead of taking the message."
    assert len({call.request.headers["webhook-id"] for call in wire.calls}) == 1


def test_of_two_workers_one_sends(wire: responses.RequestsMock) -> None:
    make_channel()
    make_app(health="refused")
    book.look(NOW)

    def another_worker(_request: object) -> tuple[int, dict[str, str], str]:
        assert delivery.deliver_due(NOW) == {"delivered": 0, "failed": 0}
        return 204, {}, ""

    wire.add_callback(responses.POST, HOOK, callback=another_worker)

    assert delivery.deliver_due(NOW) == {"delivered": 1, "failed": 0}


def test_a_slow_channel_does_not_make_another_worker_send_the_next_message_too(
    wire: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel()
    make_app(health="refused", name="A")
    make_app(health="refused", name="B")
    book.look(NOW)
    took = timedelta()
    monkeypatch.setattr(delivery, "monotonic", lambda: took.total_seconds())

    def hang(_request: object) -> tuple[int, dict[str, str], str]:
        nonlocal took
        took += delivery.LEASE - MINUTE
        if took > delivery.LEASE - MINUTE:
            at = NOW + took
            assert delivery.deliver_due(at) == {"delivered": 0, "failed": 0}
        return 204, {}, ""

    wire.add_callback(responses.POST, HOOK, callback=hang)

    assert delivery.deliver_due(NOW) == {"delivered": 2, "failed": 0}
    assert len(wire.calls) == 2


def test_a_worker_that_dies_leaves_the_message_to_another(
    wire: responses.RequestsMock,
) -> None:
    wire.post(HOOK)
    make_channel()
    make_app(health="refused")
    book.look(NOW)
    AlertDelivery.objects.update(attempts=1, next_attempt_at=NOW + delivery.LEASE)

    assert delivery.deliver_due(NOW)["delivered"] == 0
    assert delivery.deliver_due(NOW + delivery.LEASE)["delivered"] == 1


@pytest.mark.parametrize(
    ("stub", "sentence"),
    [
        (
            {"status": 302, "headers": {"Location": "https://elsewhere.test"}},
            "hooks.test redirects (302), which is not followed. Enter the address "
            "that it redirects to.",
        ),
        (
            {"body": requests.ReadTimeout(HOOK)},
            "hooks.test did not answer in time.",
        ),
        (
            {"body": requests.ConnectionError(HOOK)},
            "hooks.test could not be reached. Is the address right, and may the "
            "bridge call it?",
        ),
    ],
)
def test_a_failure_is_a_sentence_without_the_address(
    wire: responses.RequestsMock, stub: dict[str, Any], sentence: str
) -> None:
    wire.post(HOOK, **stub)

    told = delivery.send_test(make_channel(), now=NOW)

    assert told.error == sentence
    assert told.delivered_at is None


def test_a_test_says_that_it_is_one(wire: responses.RequestsMock) -> None:
    wire.post(HOOK)

    told = delivery.send_test(make_channel(), now=NOW)

    [call] = wire.calls
    assert told_by(call)["type"] == "alert.test"
    assert (told.delivered_at, told.error, told.next_attempt_at) == (NOW, "", None)


def test_one_unreadable_secret_does_not_keep_the_others_from_being_told(
    settings: Settings,
) -> None:
    broken = make_channel()
    make_mail_channel()
    settings.FIELD_ENCRYPTION_KEYS = ["tHd9kQ1cZ2s0m5m8mYqv3p2x4b7n9r1t5w8z0a3d6g4="]
    make_app(health="refused", api_key="app-new")

    book.look(NOW)

    assert delivery.deliver_due(NOW) == {"delivered": 1, "failed": 1}
    failed = AlertDelivery.objects.get(channel=broken)
    assert failed.error.startswith("A stored secret cannot be read")


def test_without_a_mail_server_nothing_is_said_to_be_sent(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

    told = delivery.send_test(make_mail_channel(), now=NOW)

    assert told.error == "No mail server is set: set EMAIL_URL and restart the bridge."


def test_a_mail_server_that_is_not_there_is_a_sentence(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 8179

    told = delivery.send_test(make_mail_channel(), now=NOW)

    assert told.error == "The mail server could not be reached. Look at EMAIL_URL."


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64!", SECRET[6:]]
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="^$"):
        webhook.key_of(secret)


def test_a_made_secret_is_one() -> None:
    assert len(webhook.key_of(webhook.make_secret())) == 32


def test_the_task_looks_and_delivers(wire: responses.RequestsMock) -> None:
    wire.post(HOOK)
    make_channel()
    make_app(health="refused")

    assert housekeeping.look_for_trouble() == {
        "began": 1,
        "ended": 0,
        "delivered": 1,
        "failed": 0,
    }
