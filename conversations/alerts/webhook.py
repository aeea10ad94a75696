"""Signed webhooks as the Standard Webhooks specification says (standardwebhooks.com).

Its package would bring less than the one line of HMAC that it saves.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from datetime import datetime
from urllib.parse import urlsplit

import requests
from django.utils.translation import gettext

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.http import USER_AGENT, shared_session
from conversations.alerts.texts import Words
from conversations.models import AlertDelivery

PREFIX = "whsec_"
# The specification wants 24 to 64 bytes.
KEY_BYTES = range(24, 65)
TIMEOUT_S = (5.0, 10.0)


class NotDelivered(BridgeError):
    """The message did not arrive; the sentence says why, without any address's path."""

    code = "not_delivered"


def make_secret() -> str:
    """Return a fresh signing secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for; raises ValueError if it is none."""
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as err:
        raise ValueError(secret[:0]) from err
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(secret[:0])
    return key


def post(delivery: AlertDelivery, *, words: Words, now: datetime) -> None:
    """Send a message; raises NotDelivered unless the other side answers 2xx."""
    channel = delivery.channel
    body = body_of(delivery, words=words, now=now).encode()
    try:
        signed = signed_headers(
            body, secret=channel.secret, mark=str(delivery.mark), now=now
        )
    except ValueError as err:
        raise NotDelivered(
            gettext("The channel has no valid signing secret. Make a new one.")
        ) from err
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, **signed}
    parts = urlsplit(channel.url)
    release_connection()
    try:
        # Only the head of the answer counts; the body is not read.
        with shared_session(f"{parts.scheme}://{parts.netloc}").post(
            channel.url,
            data=body,
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
    except (requests.RequestException, ValueError) as err:
        # The library's own text has the whole address in it, which often is a secret.
        raise NotDelivered(_why(err, host=parts.hostname or "")) from err
    if not 200 <= status < 300:
        raise NotDelivered(_refusal(status, host=parts.hostname or ""))


def body_of(delivery: AlertDelivery, *, words: Words, now: datetime) -> str:
    """Return the JSON of a message; `text` is what Slack and Mattermost show."""
    alert = delivery.alert
    ended_at = None if alert is None else alert.ended_at
    body = {
        "type": f"alert.{delivery.kind}",
        "timestamp": now.isoformat(),
        "text": f"{words.title}\n{words.text}\n{words.url}",
        "data": {
            "cause": "" if alert is None else alert.cause,
            "subject": "" if alert is None else alert.subject,
            "title": words.title,
            "text": words.text,
            "url": words.url,
            "began_at": None if alert is None else alert.began_at.isoformat(),
            "ended_at": None if ended_at is None else ended_at.isoformat(),
            "facts": {} if alert is None else alert.facts,
        },
    }
    return json.dumps(body, ensure_ascii=False)


def signed_headers(
    body: bytes, *, secret: str, mark: str, now: datetime
) -> dict[str, str]:
    """Return the three headers of the specification; ValueError for a bad secret."""
    timestamp = str(int(now.timestamp()))
    signed = f"{mark}.{timestamp}.".encode() + body
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": mark,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _why(err: Exception, *, host: str) -> str:
    if isinstance(err, requests.Timeout):
        return gettext("%(host)s did not answer in time.") % {"host": host}
    if isinstance(err, requests.exceptions.SSLError):
        return gettext("The certificate of %(host)s is not valid.") % {"host": host}
    return gettext(
        "%(host)s could not be reached. Is the address right, and may the bridge call "
        "it?"
    ) % {"host": host}


def _refusal(status: int, *, host: str) -> str:
    if 300 <= status < 400:
        return gettext(
            "%(host)s redirects (%(status)s), which is not followed. Enter the address "
            "that it redirects to."
        ) % {"host": host, "status": status}
    return gettext("%(host)s answered %(status)s instead of taking the message.") % {
        "host": host,
        "status": status,
    }
