"""Posts a signed event to our own address, as Chatwoot would, and looks for it."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, time
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import requests

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.http import JsonApi
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.webhooks import (
    DELIVERY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
)
from conversations.doctor.addresses import own_address, resolve
from conversations.models import WebhookEvent

# No event of Chatwoot is called so: it is stored, decided to be unknown, and that is
# all. It names no conversation.
EVENT = "bridge_check"
DELIVERY_PREFIX = "bridge-check-"
# Chatwoot waits as long, to connect and to read.
CHATWOOT_WAITS_S = (5.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """What came of the delivery; `arrived` if it was stored."""

    address: str
    duration_ms: int = 0
    arrived: bool = False
    error: BridgeError | None = None


@dataclass(frozen=True, kw_only=True)
class LastDelivery:
    """The newest event that Chatwoot itself sent about a message."""

    received_at: datetime
    is_signed: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How events reach the bridge; `round_trip` is None where nothing can be signed."""

    round_trip: RoundTrip | None
    last: LastDelivery | None
    our_addresses: tuple[str, ...]
    their_addresses: tuple[str, ...]


class _OwnDoor(JsonApi):
    """Our own webhook, from outside."""

    service: ClassVar[str] = "bridge"

    def post(self, path: str, *, body: bytes, headers: dict[str, str]) -> None:
        """Send the very bytes that were signed; raises an UpstreamError."""
        release_connection()
        try:
            answer = self._session.request(
                "POST",
                self.base_url + path,
                data=body,
                headers=headers,
                timeout=CHATWOOT_WAITS_S,
                allow_redirects=False,
            )
        except requests.RequestException as err:
            raise self.error_for_exception(
                "POST", path.partition("?")[0], err, repeat_safe=True
            ) from err
        if not 200 <= answer.status_code < 300:
            raise self.error_for_response(
                "POST", path.partition("?")[0], answer, repeat_safe=True
            )


def look(account: ChatwootAccount) -> Seen:
    """Deliver an event to ourselves, and see what is known of Chatwoot's own."""
    return Seen(
        round_trip=send(account),
        last=last_delivery(account),
        our_addresses=resolve(own_address(account)),
        their_addresses=resolve(account.server_url()),
    )


def send(account: ChatwootAccount) -> RoundTrip | None:
    """Deliver one event and return what came of it; its row is gone afterwards."""
    if not account.webhook_secret and not account.webhook_token:
        return None
    address = own_address(account, can_sign=bool(account.webhook_secret))
    delivery = f"{DELIVERY_PREFIX}{uuid4()}"
    rows = WebhookEvent.objects.filter(account=account, delivery_key=delivery)
    started = monotonic()
    error: BridgeError | None = None
    try:
        _deliver(account, address=address, delivery=delivery)
    except BridgeError as err:
        error = err
    duration_ms = round((monotonic() - started) * 1000)
    arrived = rows.exists()
    rows.delete()
    return RoundTrip(
        address=address.partition("?")[0],
        duration_ms=duration_ms,
        arrived=arrived,
        error=error,
    )


def last_delivery(account: ChatwootAccount) -> LastDelivery | None:
    """Return the newest message of which Chatwoot told us."""
    row = (
        WebhookEvent.objects.filter(account=account, chatwoot_message_id__isnull=False)
        .order_by("-chatwoot_message_id")
        .only("received_at", "signature_key")
        .first()
    )
    if row is None:
        return None
    return LastDelivery(
        received_at=row.received_at, is_signed=row.signature_key is not None
    )


def _deliver(account: ChatwootAccount, *, address: str, delivery: str) -> None:
    payload = {"event": EVENT, "account": {"id": account.account_id}, "id": None}
    body = json.dumps(payload).encode()
    stamp = str(int(time()))
    headers = {"Content-Type": "application/json", DELIVERY_HEADER: delivery}
    if account.webhook_secret:
        signed = f"{stamp}.".encode() + body
        digest = hmac.new(account.webhook_secret.encode(), signed, hashlib.sha256)
        headers[TIMESTAMP_HEADER] = stamp
        headers[SIGNATURE_HEADER] = f"sha256={digest.hexdigest()}"
    place = urlsplit(address)
    door = _OwnDoor(
        base_url=f"{place.scheme}://{place.netloc}",
        secrets=(account.webhook_token, account.webhook_secret),
    )
    path = f"{place.path}?{place.query}" if place.query else place.path
    door.post(path, body=body, headers=headers)
