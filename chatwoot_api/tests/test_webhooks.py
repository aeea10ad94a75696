"""Signatures, decoding, secrets: what arrives from Chatwoot."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_project.lib.errors import BadSignature, MalformedPayload
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import parse_event
from chatwoot_api.webhooks import (
    Proof,
    authenticate,
    decode,
    delivery_key,
    is_signed,
    without_secrets,
)

# From signature_vector.json, which was made with Chatwoot's own code.
STAMP = 1781600401
SAMPLES = sorted(
    path.stem
    for path in (Path(__file__).parent / "payloads").glob("*.json")
    if path.stem != "signature_vector"
)


@pytest.fixture
def vector(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("signature_vector")


def proof_of(vector: JsonObject) -> Proof:
    headers = vector["request_headers"]
    assert isinstance(headers, dict)
    return Proof(
        signature=str(headers["X-Chatwoot-Signature"]),
        timestamp=str(headers["X-Chatwoot-Timestamp"]),
    )


def test_accepts_chatwoots_own_signature(vector: JsonObject) -> None:
    body = str(vector["raw_body"]).encode()

    assert is_signed(
        body, proof=proof_of(vector), secrets=[str(vector["secret"])], now_s=STAMP
    )


def test_accepts_the_previous_secret(vector: JsonObject) -> None:
    body, secrets = str(vector["raw_body"]).encode(), ["new", str(vector["secret"])]

    assert is_signed(body, proof=proof_of(vector), secrets=secrets, now_s=STAMP)


@pytest.mark.parametrize("drift_s", [-300, 0, 300])
def test_accepts_clocks_that_differ_by_five_minutes(
    vector: JsonObject, drift_s: int
) -> None:
    body, secrets = str(vector["raw_body"]).encode(), [str(vector["secret"])]

    assert is_signed(
        body, proof=proof_of(vector), secrets=secrets, now_s=STAMP + drift_s
    )


@pytest.mark.parametrize("drift_s", [-301, 301])
def test_refuses_a_signature_from_another_time(
    vector: JsonObject, drift_s: int
) -> None:
    body, secrets = str(vector["raw_body"]).encode(), [str(vector["secret"])]

    assert not is_signed(
        body, proof=proof_of(vector), secrets=secrets, now_s=STAMP + drift_s
    )


def test_refuses_an_altered_body(vector: JsonObject) -> None:
    # What re-serialising the JSON would make of it.
    body = json.dumps(json.loads(str(vector["raw_body"]))).encode()

    assert not is_signed(
        body, proof=proof_of(vector), secrets=[str(vector["secret"])], now_s=STAMP
    )


@pytest.mark.parametrize(
    "proof",
    [
        Proof(),
        Proof(signature="sha256=", timestamp=str(STAMP)),
        Proof(signature="ключ", timestamp=str(STAMP)),
        Proof(signature="sha256=00", timestamp="now"),
        Proof(signature="sha256=00", timestamp="٣"),
        Proof(signature="sha256=00", timestamp="9" * 5000),
    ],
)
def test_refuses_what_is_no_signature(proof: Proof) -> None:
    assert not is_signed(b"{}", proof=proof, secrets=["secret"], now_s=STAMP)


def test_accepts_a_token_from_versions_that_cannot_sign() -> None:
    account = ChatwootAccount(webhook_token="t0ken")

    accepted = authenticate(
        b"{}", proof=Proof(token="t0ken"), accounts=[account], now_s=STAMP
    )

    assert accepted == [account]


@pytest.mark.parametrize("token", ["", "t0ke", "t0kenn", "жетон"])
def test_refuses_another_token(token: str) -> None:
    with pytest.raises(BadSignature):
        authenticate(
            b"{}",
            proof=Proof(token=token),
            accounts=[ChatwootAccount(webhook_token="t0ken")],
            now_s=STAMP,
        )


def test_refuses_everything_without_any_credential() -> None:
    with pytest.raises(BadSignature):
        authenticate(b"{}", proof=Proof(), accounts=[ChatwootAccount()], now_s=STAMP)


def test_accepts_anything_when_the_account_says_so() -> None:
    account = ChatwootAccount(allow_unsigned=True)

    assert authenticate(b"{}", proof=Proof(), accounts=[account], now_s=STAMP) == [
        account
    ]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"event": "x"', "not JSON"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"null", "object"),
        (b'{"event": NaN}', "not JSON"),
        (b'{"event": 1e400}', "not JSON"),
        (b'{"event": [-1e400]}', "not JSON"),
        (b'{"event": "\xff"}', "UTF-8"),
        (b'{"event": "\\u0000"}', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"event": ["\\ud800"]}', "half a character"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON"),
    ],
)
def test_refuses_bodies_that_cannot_be_stored(body: bytes, complaint: str) -> None:
    with pytest.raises(MalformedPayload, match=complaint):
        decode(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with contextlib.suppress(MalformedPayload):
        assert isinstance(decode(body), dict)


def test_keeps_no_secret_of_a_payload(payload: Callable[[str], JsonObject]) -> None:
    sample = payload("message_created_incoming_text")

    kept = json.dumps(without_secrets(sample))

    assert "examplePubsubToken000000" not in kept
    assert "5f0c2c1e-8a34-4b0d-9f62-0c8a1e7d4b11" not in kept
    assert '"contact_id": 640' in kept
    assert "Hi, the tent I ordered arrived with a torn seam." in kept


@pytest.mark.parametrize(
    "key",
    [
        "access_token",
        "accessToken",
        "api_access_token",
        "api_key",
        "apiKey",
        "auth_token",
        "bot_token",
        "hmac_token",
        "imap_password",
        "line_channel_secret",
        "line_channel_token",
        "page_access_token",
        "password",
        "private_key",
        "provider_config",
        "pubsub_token",
        "secret",
        "SMTP_PASSWORD",
        "user_access_token",
        "webhook_secret",
        "website_token",
    ],
)
def test_masks_what_opens_something_wherever_it_stands(key: str) -> None:
    payload: JsonObject = {
        "event": "inbox_updated",
        key: "s3cret",
        "changed_attributes": [{key: {"previous_value": "s3cret"}}],
    }

    assert "s3cret" not in json.dumps(without_secrets(payload))


def test_keeps_no_visitors_key_wherever_it_stands() -> None:
    record: JsonObject = {"source_id": "s3cret", "pubsub_token": "s3cret"}
    inbox: JsonObject = {"id": 7, "inbox_id": [{"pubsub_token": "s3cret"}], **record}
    payload: JsonObject = {
        "event": "contact_updated",
        "contact_inbox": [inbox, [inbox]],
        "channel": [{"webhook_url": "https://s3cret"}],
    }

    assert without_secrets(payload) == {
        "event": "contact_updated",
        "contact_inbox": [
            {"id": 7, "inbox_id": [{"pubsub_token": None}]},
            [{"id": 7, "inbox_id": [{"pubsub_token": None}]}],
        ],
        "channel": [None],
    }


def test_keeps_no_channel_record_of_an_inbox() -> None:
    payload: JsonObject = {
        "event": "inbox_created",
        "greeting_enabled": True,
        "channel": {"id": 3, "identifier": "s3cret", "webhook_url": "https://s3cret"},
    }

    assert without_secrets(payload) == {
        "event": "inbox_created",
        "greeting_enabled": True,
        "channel": None,
    }


def test_keeps_everything_that_is_no_secret() -> None:
    payload: JsonObject = {
        "event": "message_created",
        "custom_attributes": {"order_key": "A-1", "token_count": 7, "key": "k"},
        "content_attributes": {"bridge_message_id": "m", "items": [{"title": "t"}]},
        "channel": "Channel::WebWidget",
    }

    assert without_secrets(payload) == payload


@pytest.mark.parametrize("name", SAMPLES)
def test_masking_changes_nothing_of_what_we_read(
    payload: Callable[[str], JsonObject], name: str
) -> None:
    sample = payload(name)

    assert parse_event(without_secrets(sample)) == parse_event(sample)


def test_keeps_no_visitor_key_of_an_opened_widget(
    payload: Callable[[str], JsonObject],
) -> None:
    kept = without_secrets(payload("webwidget_triggered"))

    assert "source_id" not in kept
    assert kept["event"] == "webwidget_triggered"


def test_repeats_of_a_delivery_have_one_key() -> None:
    headers = {"X-Chatwoot-Delivery": "7b0b1a0e-7a54-4c1e-9a7d-7f6f2b1c9d55"}

    keys = {
        delivery_key(body, headers=headers, name="message_created", object_id=1)
        for body in (b"one", b"two")
    }

    assert keys == {"7b0b1a0e-7a54-4c1e-9a7d-7f6f2b1c9d55"}


def test_senders_without_delivery_id_are_told_apart_by_the_body() -> None:
    keys = [
        delivery_key(body, headers={}, name="macro.executed", object_id=133)
        for body in (b"one", b"one", b"two")
    ]

    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("macro.executed:133:")
