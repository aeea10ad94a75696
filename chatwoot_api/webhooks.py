"""What arrives from Chatwoot: is it genuine, what is it, what of it may be kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from bridge_project.lib.errors import BadSignature, MalformedPayload
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount

SIGNATURE_HEADER = "X-Chatwoot-Signature"
TIMESTAMP_HEADER = "X-Chatwoot-Timestamp"
DELIVERY_HEADER = "X-Chatwoot-Delivery"
TOLERANCE_S = 300
MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64

# These open a visitor's live channel, an inbox or an account to whoever reads them:
# pubsub_token, hmac_token, line_channel_secret, smtp_password… By their ends, since
# each channel has names of its own. Not every `…_key`: a shop's custom attribute
# `order_key` is an input of its flow.
_SECRET_KEY = re.compile(
    r"(token|secret|password|(api|private|secret|access|auth)_?key|^provider_config)$",
    re.I,
)
# The rest of a contact_inbox is the visitor's `source_id`, a key to the public API.
_KEPT_OF_CONTACT_INBOX = ("id", "contact_id", "inbox_id")


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a request brings along to show that it is Chatwoot's."""

    signature: str = ""
    timestamp: str = ""
    token: str = field(default="", repr=False)


def authenticate(
    raw_body: bytes,
    *,
    proof: Proof,
    accounts: Sequence[ChatwootAccount],
    now_s: float,
) -> list[ChatwootAccount]:
    """Return the accounts that accept the request; more than one share a secret.

    The signature covers the raw bytes (reference/chatwoot.md section 3). Every cause
    of a refusal raises the same BadSignature.
    """
    accepted = [
        account
        for account in accounts
        if is_signed(raw_body, proof=proof, secrets=account.secrets(), now_s=now_s)
        or _has_token(proof.token, account=account)
        or account.allow_unsigned
    ]
    if not accepted:
        raise BadSignature
    return accepted


def is_signed(
    raw_body: bytes, *, proof: Proof, secrets: Iterable[str], now_s: float
) -> bool:
    """Check `sha256=<hex HMAC of timestamp.body>`, not older or newer than 300 s."""
    stamp = proof.timestamp
    in_time = stamp.isascii() and stamp.isdigit() and len(stamp) <= 12
    if in_time:
        in_time = abs(now_s - int(stamp)) <= TOLERANCE_S
    given = proof.signature.encode("utf-8", "replace")
    matches = False
    for secret in secrets:
        signed = f"{stamp}.".encode("utf-8", "replace") + raw_body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        matches |= hmac.compare_digest(f"sha256={digest}".encode(), given)
    return in_time and matches


def _has_token(token: str, *, account: ChatwootAccount) -> bool:
    """Compare the `?token=` of Chatwoot versions that cannot sign."""
    expected = account.webhook_token
    return bool(expected) and hmac.compare_digest(expected.encode(), token.encode())


def decode(raw_body: bytes) -> JsonObject:
    """Return the body's JSON object.

    Raises MalformedPayload for what PostgreSQL or our own code could not take: no
    JSON, no object, broken UTF-8, NUL characters, lone surrogates, deep nesting,
    numbers that are infinite.
    """
    try:
        text = raw_body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise MalformedPayload("The body is not UTF-8.") from err
    try:
        payload: JsonValue = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as err:
        raise MalformedPayload("The body is not JSON.") from err
    if not isinstance(payload, dict):
        raise MalformedPayload("The body must be a JSON object.")
    _refuse_unstorable(payload)
    return payload


def _refuse_constant(name: str) -> JsonValue:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(digits: str) -> float:
    """Python reads `1e400` as infinity, which it then writes as no JSON at all."""
    number = float(digits)
    if math.isinf(number):
        msg = f"{digits} is too large"
        raise ValueError(msg)
    return number


def _refuse_unstorable(payload: JsonObject) -> None:
    """Walk the payload without recursion; its depth is the sender's to choose."""
    level: list[JsonValue] = [payload]
    for _depth in range(MAX_DEPTH):
        texts = [x for x in level if isinstance(x, str)]
        texts += [key for x in level if isinstance(x, dict) for key in x]
        if any(_is_unstorable(text) for text in texts):
            raise MalformedPayload("The body has a NUL character or half a character.")
        level = [
            child
            for x in level
            if isinstance(x, dict | list)
            for child in (x.values() if isinstance(x, dict) else x)
        ]
        if not level:
            return
    raise MalformedPayload(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _is_unstorable(text: str) -> bool:
    if text.isascii():
        return "\x00" in text
    return "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)


def without_secrets(payload: JsonObject) -> JsonObject:
    """Return a copy of the payload as it may be stored."""
    clean = {key: _clean(key, value) for key, value in payload.items()}
    if payload.get("event") == "webwidget_triggered":
        clean.pop("source_id", None)
    return clean


def _clean(key: str, value: JsonValue) -> JsonValue:
    if _SECRET_KEY.search(key):
        return None
    if isinstance(value, dict):
        if key == "channel":
            # The raw record of inbox events; in conversations it is a name.
            return None
        if key == "contact_inbox":
            kept = [k for k in _KEPT_OF_CONTACT_INBOX if k in value]
            return {k: _clean(k, value[k]) for k in kept}
        return {k: _clean(k, v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(key, item) for item in value]
    return value


def signature_key(raw_body: bytes, *, proof: Proof) -> UUID | None:
    """Return what a copied request has in common with its original; None if unsigned.

    The delivery id is not signed, so whoever copies a request can change it, but not
    this. Chatwoot itself signs each of its retries anew. The body counts as well, in
    case that a token let the request in and its signature means nothing.
    """
    if not proof.signature:
        return None
    signed = f"{proof.timestamp}.{proof.signature}.".encode("utf-8", "replace")
    return UUID(bytes=hashlib.sha256(signed + raw_body).digest()[:16])


def delivery_key(
    raw_body: bytes, *, headers: Mapping[str, str], name: str, object_id: int | None
) -> str:
    """Return what a repeated delivery has in common with the first one.

    Chatwoot's delivery id stays the same on its retries. Senders without one
    (automation rules, macros, versions before 4.11.2) are told apart by the body.
    """
    delivery_id = headers.get(DELIVERY_HEADER, "").strip()
    if delivery_id.isascii() and 0 < len(delivery_id) <= 100:
        return delivery_id
    digest = hashlib.sha256(raw_body).hexdigest()[:32]
    return f"{name}:{object_id or 0}:{digest}"
