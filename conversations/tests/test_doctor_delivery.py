"""The signed delivery to our own address, and what it means how it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import responses
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from bridge_project.lib.errors import UpstreamUnavailable
from chatwoot_api.models import ChatwootAccount
from conversations.doctor import About, Line, State, delivery, delivery_lines
from conversations.doctor.delivery import LastDelivery, RoundTrip, Seen
from conversations.models import Conversation, WebhookEvent
from conversations.tests.factories import make_account

NOW = datetime(2026, 11, 22, 19, tzinfo=UTC)
GOOD = RoundTrip(address="https://b.test/x", duration_ms=20, arrived=True)


def seen(
    *,
    trip: RoundTrip | None = GOOD,
    last: LastDelivery | None = None,
    ours: tuple[str, ...] = ("93.184.216.34",),
    theirs: tuple[str, ...] = ("93.184.216.35",),
) -> Seen:
    return Seen(round_trip=trip, last=last, our_addresses=ours, their_addresses=theirs)


def lines(
    facts: Seen, *, version: tuple[int, int, int] = (4, 15, 1)
) -> dict[str, Line]:
    found = delivery_lines.lines(facts, version=version, now=NOW, about=About())
    return {line.check: line for line in found}


def lately(*, is_signed: bool = True) -> LastDelivery:
    return LastDelivery(received_at=NOW - timedelta(hours=2), is_signed=is_signed)


@pytest.mark.django_db(transaction=True)
def test_an_event_goes_out_signed_arrives_and_leaves_nothing(
    live_server: LiveServer, settings: Settings
) -> None:
    settings.PUBLIC_URL = live_server.url
    account = make_account()

    trip = delivery.send(account)

    assert trip is not None
    assert (trip.error, trip.arrived) == (None, True)
    assert trip.address == f"{live_server.url}/api/v1/chatwoot-webhook/{account.key}"
    assert WebhookEvent.objects.count() == Conversation.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_token_goes_out_where_nothing_can_be_signed(
    live_server: LiveServer, settings: Settings
) -> None:
    settings.PUBLIC_URL = live_server.url
    account = make_account(webhook_secret="", webhook_token="a-webhook-token")

    trip = delivery.send(account)

    assert trip is not None
    assert trip.arrived
    assert "a-webhook-token" not in repr(trip)


@pytest.mark.django_db(transaction=True)
def test_another_bridge_refuses_it(live_server: LiveServer, settings: Settings) -> None:
    settings.PUBLIC_URL = live_server.url
    account = make_account()
    # What this process signs with is not what the other one has stored.
    account.webhook_secret = "another-secret"

    trip = delivery.send(account)

    assert trip is not None
    line = lines(seen(trip=trip))["round_trip"]
    assert line.state is State.FAILED
    assert "refuses our own signature" in line.found


@pytest.mark.django_db
def test_nothing_is_sent_without_secret_and_token() -> None:
    account = make_account(webhook_secret="")

    assert delivery.send(account) is None
    line = lines(seen(trip=None))["round_trip"]
    assert (line.state, line.mend) == (State.FAILED, "fetch_secret")


@pytest.mark.django_db
def test_success_of_another_program_is_no_success(
    wire: responses.RequestsMock, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://b.test"
    account = make_account()
    wire.post(f"https://b.test/api/v1/chatwoot-webhook/{account.key}", json={})

    trip = delivery.send(account)

    assert trip is not None
    assert not trip.arrived
    line = lines(seen(trip=trip))["round_trip"]
    assert line.state is State.FAILED
    assert "another bridge, or to another program" in line.meaning
    request = wire.calls[0].request
    assert request.headers["X-Chatwoot-Signature"].startswith("sha256=")
    assert request.headers["X-Chatwoot-Delivery"].startswith("bridge-check-")


@pytest.mark.parametrize(
    ("last", "state"), [(None, State.FAILED), (lately(), State.WARNING)]
)
def test_not_reaching_ourselves_matters_less_if_chatwoot_does(
    last: LastDelivery | None, state: State
) -> None:
    error = UpstreamUnavailable("no route")
    trip = RoundTrip(address="https://b.test/x", error=error)

    assert lines(seen(trip=trip, last=last))["round_trip"].state is state


def test_a_slow_answer_is_a_warning() -> None:
    slow = RoundTrip(address="https://b.test/x", duration_ms=2500, arrived=True)

    assert lines(seen(trip=slow))["round_trip"].state is State.WARNING
    assert lines(seen())["round_trip"].state is State.OK


@pytest.mark.parametrize(
    ("facts", "version", "state"),
    [
        (seen(), (4, 15, 1), State.OK),
        (seen(ours=()), (4, 15, 1), State.FAILED),
        (seen(ours=("10.0.0.5",)), (4, 15, 1), State.FAILED),
        (seen(ours=("10.0.0.5",), theirs=("10.0.0.6",)), (4, 15, 1), State.WARNING),
        (seen(ours=("10.0.0.5",), theirs=("10.0.0.6",)), (4, 13, 0), State.OK),
        (seen(ours=("127.0.0.1", "::1"), last=lately()), (4, 15, 1), State.OK),
    ],
)
def test_tells_addresses_that_chatwoot_cannot_or_will_not_call(
    facts: Seen, version: tuple[int, int, int], state: State
) -> None:
    assert lines(facts, version=version)["private_address"].state is state


def test_says_when_chatwoot_was_last_heard() -> None:
    assert lines(seen())["last_delivery"].state is State.SKIPPED
    assert (
        lines(seen(last=lately()))["last_delivery"].found == "2\xa0hours ago, signed."
    )
    unsigned = lines(seen(last=lately(is_signed=False)))["last_delivery"]
    assert unsigned.found == "2\xa0hours ago, not signed."


@pytest.mark.django_db
def test_the_last_delivery_is_the_newest_message_of_the_account() -> None:
    account, other = make_account(), make_account(account_id=3)
    for owner, number, signed in (
        (account, 1, None),
        (account, 2, 1),
        (other, 3, None),
    ):
        WebhookEvent.objects.create(
            account=owner,
            delivery_key=f"d-{number}",
            signature_key="00000000-0000-0000-0000-000000000001" if signed else None,
            name="message_created",
            chatwoot_message_id=number,
            payload={},
            received_at=NOW + timedelta(minutes=number),
            status="processed",
        )

    found = delivery.last_delivery(account)

    assert found == LastDelivery(received_at=NOW + timedelta(minutes=2), is_signed=True)
    assert delivery.last_delivery(ChatwootAccount(pk=0)) is None
