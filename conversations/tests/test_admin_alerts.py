"""The pages of alert channels and alerts: form, secret, test, lists, roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import responses
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations.alerts import book, webhook
from conversations.models import Alert, AlertChannel, AlertDelivery, AuditEntry
from conversations.tests.factories import make_app

pytestmark = pytest.mark.django_db

HOOK = "https://hooks.test/services/T0/secret-part"
ADD = "admin:conversations_alertchannel_add"
FORM = {
    "name": "On call",
    "enabled": "on",
    "kind": "webhook",
    "url": HOOK,
    "secret": "",
    "email": "",
    "language": "en",
    "causes": ["refused_key", "failing_rate"],
    "failing_percent": "20",
    "waiting_minutes": "30",
    "deletion_hours": "24",
}


def make_channel(**overrides: Any) -> AlertChannel:
    secret = webhook.make_secret()
    values = {"name": "On call", "kind": "webhook", "url": HOOK, "secret": secret}
    return AlertChannel.objects.create(**{**values, **overrides})


def page(row: AlertChannel | Alert, name: str = "change") -> str:
    return reverse(f"admin:conversations_{row._meta.model_name}_{name}", args=[row.pk])


def looker(client: Client, *codenames: str) -> Client:
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def test_a_webhook_gets_a_secret_that_is_shown_once(admin_client: Client) -> None:
    response = admin_client.post(reverse(ADD), FORM)

    channel = AlertChannel.objects.get()
    assert len(webhook.key_of(channel.secret)) == 32
    assert channel.secret in response.text
    assert "no-store" in response["Cache-Control"]
    assert channel.causes == ["refused_key", "failing_rate"]
    assert channel.secret not in admin_client.get(page(channel)).text
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.details) == ("made_secret", {"channel": channel.pk})


def test_saving_again_keeps_the_secret(admin_client: Client) -> None:
    channel = make_channel()
    before = channel.secret

    response = admin_client.post(page(channel), {**FORM, "name": "Night"})

    assert response.status_code == 302
    channel = AlertChannel.objects.get()
    assert (channel.name, channel.secret) == ("Night", before)


def test_a_removed_secret_is_replaced_by_another(admin_client: Client) -> None:
    channel = make_channel()
    before = channel.secret

    response = admin_client.post(page(channel), {**FORM, "secret_remove": "on"})

    channel = AlertChannel.objects.get()
    assert channel.secret != before
    assert channel.secret in response.text


def test_a_mail_channel_needs_no_secret(admin_client: Client) -> None:
    data = {**FORM, "kind": "email", "url": "", "email": "ops@shop.test"}

    assert admin_client.post(reverse(ADD), data).status_code == 302
    assert AlertChannel.objects.get().secret == ""


@pytest.mark.parametrize(
    ("data", "field", "sentence"),
    [
        ({"url": ""}, "url", "Enter the webhook's address."),
        ({"url": "ftp://x"}, "url", "Begin with http:// or https://."),
        ({"kind": "email"}, "email", "Enter an e-mail address."),
        (
            {"causes": []},
            "causes",
            "Choose at least one, or switch the channel off instead.",
        ),
        (
            {"secret": "whsec_c2hvcnQ="},
            "secret",
            "A signing secret is “whsec_” and 24 to 64 bytes in base64. Leave this "
            "empty, and one is made.",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    admin_client: Client, data: dict[str, Any], field: str, sentence: str
) -> None:
    response = admin_client.post(reverse(ADD), {**FORM, **data})

    assert response.context["adminform"].form.errors == {field: [sentence]}
    assert not AlertChannel.objects.exists()


def test_a_test_says_that_it_arrived(
    admin_client: Client, wire: responses.RequestsMock
) -> None:
    wire.post(HOOK)
    channel = make_channel()

    response = admin_client.post(page(channel, "test"), follow=True)

    assert "The test has arrived: hooks.test has taken it." in response.text
    assert len(wire.calls) == 1
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor) == ("tested_alert", "admin")
    assert entry.details == {"channel": channel.pk, "arrived": True}


def test_a_test_that_fails_says_why_and_shows_no_address(
    admin_client: Client, wire: responses.RequestsMock
) -> None:
    wire.post(HOOK, status=404)
    channel = make_channel()

    response = admin_client.post(page(channel, "test"), follow=True)

    [message] = list(response.context["messages"])
    assert message.message == (
        "The test did not arrive. hooks.test answered 404 instead of taking the "
        "message."
    )
    assert AuditEntry.objects.get().details["arrived"] is False


def test_a_test_by_mail_is_sent(admin_client: Client) -> None:
    channel = make_channel(kind="email", url="", email="ops@shop.test")

    response = admin_client.post(page(channel, "test"), follow=True)

    assert "has taken the test for ops@shop.test" in response.text
    assert mail.outbox[0].subject == "Test of the alert channel “On call”"


def test_a_test_is_no_link(admin_client: Client) -> None:
    assert admin_client.get(page(make_channel(), "test")).status_code == 405


def test_who_may_only_look_sees_no_address_and_sends_no_test(client: Client) -> None:
    channel = make_channel()
    looker(client, "view_alertchannel")

    response = client.get(page(channel))

    assert "hooks.test" in response.text
    assert "secret-part" not in response.text
    assert channel.secret not in response.text
    assert "Send a test" not in response.text
    assert client.post(page(channel, "test")).status_code == 403
    assert not AlertDelivery.objects.exists()


def test_a_channel_goes_with_what_it_was_told(admin_client: Client) -> None:
    channel = make_channel()
    make_app(health="refused")
    book.look(timezone.now())

    response = admin_client.post(page(channel, "delete"), {"post": "yes"})

    assert response.status_code == 302
    assert not Alert.objects.exists()


def test_the_list_shows_how_the_last_message_fared(admin_client: Client) -> None:
    channel = make_channel()
    now = timezone.now()
    row = AlertDelivery.objects.create(channel=channel, kind="test", attempts=1)
    url = reverse("admin:conversations_alertchannel_changelist")

    assert "not delivered" in admin_client.get(url).text
    row.next_attempt_at = now
    row.save()
    assert "will be tried again" in admin_client.get(url).text
    row.delivered_at, row.next_attempt_at = now, None
    row.save()
    assert "delivered" in admin_client.get(url).text
    assert HOOK not in admin_client.get(url).text


def test_open_alerts_stand_first_and_say_what_is_wrong(admin_client: Client) -> None:
    channel = make_channel()
    app = make_app(health="refused", name="Orders")
    now = timezone.now()
    ended = Alert.objects.create(
        channel=channel,
        cause="failing_rate",
        facts={"failed": 6, "ended": 10, "percent": 60, "bots": ["Nordbot"]},
        began_at=now,
        ended_at=now,
    )
    book.look(now - timedelta(minutes=5))

    response = admin_client.get(reverse("admin:conversations_alert_changelist"))

    first, second = response.context["cl"].result_list
    assert (first.facts["id"], second.pk) == (app.pk, ended.pk)
    assert "Dify refuses the key of the app “Orders”." in response.text
    assert "6 of the 10 turns of the last hour failed (60 %)." in response.text
    assert "Most of them: Nordbot." in response.text
    for alert in (first, second):
        assert admin_client.get(page(alert)).status_code == 200


@pytest.mark.parametrize("model", ["alert", "alertchannel"])
def test_the_lists_cost_the_same_with_many_rows(
    admin_client: Client, model: str
) -> None:
    url = reverse(f"admin:conversations_{model}_changelist")
    make_app(health="refused")
    admin_client.get(url)
    costs = []
    for _round in range(2):
        for number in range(5):
            make_channel(name=f"{number}")
        book.look(timezone.now())
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url)
        costs.append(len(queries))

    assert costs[0] == costs[1]
