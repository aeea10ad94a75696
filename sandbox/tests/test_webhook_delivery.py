"""Signature, retries, punishment and order of the webhooks."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest

from sandbox.chatwoot.webhooks import rails_json, signature
from sandbox.tests.conftest import ADMIN, Sandbox, sample

SECRET = "sandbox-webhook-secret"
FAILURE = "Conversation was marked open by system due to an error with the agent bot."


def test_signature_vector() -> None:
    vector = sample("signature_vector")
    headers = vector["request_headers"]
    made = signature(
        secret=vector["secret"],
        timestamp=headers["X-Chatwoot-Timestamp"],
        raw_body=vector["raw_body"].encode(),
    )
    assert made == headers["X-Chatwoot-Signature"]


def test_json_is_escaped_like_rails() -> None:
    assert rails_json({"a": "<b> & ü"}) == b'{"a":"\\u003cb\\u003e \\u0026 \xc3\xbc"}'


def test_webhook_is_signed_over_its_raw_bytes(sandbox: Sandbox) -> None:
    sandbox.start("5 > 3 & 2 < 4")
    got = next(r for r in sandbox.receiver.received if r.event == "message_created")
    assert got.path == "/api/v1/chatwoot-webhook"
    assert b"5 \\u003e 3 \\u0026 2 \\u003c 4" in got.raw
    stamp = got.headers["x-chatwoot-timestamp"]
    assert abs(time.time() - int(stamp)) < 30
    digest = hmac.new(SECRET.encode(), stamp.encode() + b"." + got.raw, hashlib.sha256)
    assert got.headers["x-chatwoot-signature"] == f"sha256={digest.hexdigest()}"


def test_signing_can_be_switched_off(sandbox: Sandbox) -> None:
    sandbox.set(sign_webhooks=False)
    sandbox.start()
    for got in sandbox.receiver.received:
        assert not [name for name in got.headers if name.startswith("x-chatwoot")]


def test_events_of_a_first_message(sandbox: Sandbox) -> None:
    sandbox.start()
    assert sorted(sandbox.receiver.events()) == [
        "message_created",
        "webwidget_triggered",
    ]


@pytest.mark.parametrize("status", [429, 500])
def test_bot_delivery_is_retried_with_the_same_delivery_id(
    sandbox: Sandbox, status: int
) -> None:
    number = sandbox.start()
    sandbox.receiver.received.clear()
    sandbox.receiver.statuses.extend([status, status])
    sandbox.say(number, "again")
    got = sandbox.receiver.received
    assert [row.event for row in got] == ["message_created"] * 3
    assert len({row.headers["x-chatwoot-delivery"] for row in got}) == 1
    assert sandbox.state(number)["status"] == "pending"


def test_three_failures_open_the_conversation(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.receiver.received.clear()
    sandbox.receiver.statuses.extend([500, 500, 500])
    sandbox.say(number, "again")
    state = sandbox.state(number)
    assert state["status"] == "open"
    assert state["messages"][-1]["content"] == FAILURE
    assert sandbox.receiver.events()[:3] == ["message_created"] * 3
    assert sorted(sandbox.receiver.events()[3:]) == [
        "conversation_opened",
        "conversation_status_changed",
        "conversation_updated",
    ]


@pytest.mark.parametrize("status", [400, 401, 404, 502, 503])
def test_other_failures_are_not_retried(sandbox: Sandbox, status: int) -> None:
    number = sandbox.start()
    sandbox.receiver.received.clear()
    sandbox.receiver.statuses.append(status)
    sandbox.say(number, "again")
    assert sandbox.receiver.events().count("message_created") == 1
    assert sandbox.state(number)["status"] == "open"


def test_a_slow_bot_is_thrown_out(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.set(webhook_timeout_s=0.2)
    sandbox.receiver.delay_s = 0.6
    sandbox.act(number, "/customer-messages", {"content": "again"})
    assert sandbox.state(number)["status"] == "open"


def test_failure_keeps_pending_when_the_account_says_so(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.set(keep_pending_on_bot_failure=True)
    sandbox.receiver.statuses.append(503)
    sandbox.say(number, "again")
    assert sandbox.state(number)["status"] == "pending"


def test_failed_conversation_event_is_only_logged(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.receiver.statuses.append(503)
    sandbox.api("POST", f"/conversations/{number}/labels", {"labels": ["vip"]})
    assert sandbox.state(number)["status"] == "pending"


def test_account_webhook_gets_its_own_delivery_and_no_retry(sandbox: Sandbox) -> None:
    url = f"{sandbox.receiver.url}/account"
    wish = {"url": url, "subscriptions": ["message_created"]}
    made = sandbox.api("POST", "/webhooks", wish, headers=ADMIN).json()
    secret = made["payload"]["webhook"]["secret"]
    number = sandbox.start()
    mine = [r for r in sandbox.receiver.received if r.event == "message_created"]
    assert sorted(r.path for r in mine) == ["/account", "/api/v1/chatwoot-webhook"]
    assert len({r.headers["x-chatwoot-delivery"] for r in mine}) == 2
    account = next(r for r in mine if r.path == "/account")
    assert account.headers["x-chatwoot-signature"] == signature(
        secret=secret,
        timestamp=account.headers["x-chatwoot-timestamp"],
        raw_body=account.raw,
    )
    # The bot's webhook is taken away: all that fails now is the account's.
    sandbox.api("PATCH", "/agent_bots/1", {"outgoing_url": ""}, headers=ADMIN)
    sandbox.receiver.received.clear()
    sandbox.receiver.statuses.append(500)
    sandbox.say(number, "again")
    assert [r.path for r in sandbox.receiver.received] == ["/account"]
    assert sandbox.state(number)["status"] == "pending"


def test_activity_is_never_sent(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.act(number, "/team", {"team_id": 1})
    texts = [m["content"] for m in sandbox.state(number)["messages"]]
    assert texts == ["Hello", "Assigned to support by Marta Keller"]
    assert sandbox.receiver.events().count("message_created") == 1


def test_inbox_without_bot_sends_nothing(sandbox: Sandbox) -> None:
    number = sandbox.start(inbox_id=3)
    assert sandbox.receiver.received == []
    assert sandbox.state(number)["status"] == "open"


def test_bot_snapshot_is_taken_before_the_message_counts(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/messages", {"content": "answer"})
    sandbox.receiver.received.clear()
    sandbox.say(number, "next")
    created = sandbox.receiver.last("message_created")
    assert created["conversation"]["waiting_since"] == 0
    updated = sandbox.receiver.last("conversation_updated")
    assert updated["waiting_since"] > 0


def test_api_inbox_sends_to_its_own_webhook_as_well(sandbox: Sandbox) -> None:
    url = f"{sandbox.receiver.url}/inbox"
    wish = {"channel": {"webhook_url": url}}
    inbox = sandbox.api("PATCH", "/inboxes/2", wish, headers=ADMIN).json()
    sandbox.start(inbox_id=2)
    assert sorted(sandbox.receiver.events("/inbox")) == [
        "conversation_created",
        "message_created",
    ]
    got = next(row for row in sandbox.receiver.received if row.path == "/inbox")
    assert got.headers["x-chatwoot-signature"] == signature(
        secret=inbox["secret"],
        timestamp=got.headers["x-chatwoot-timestamp"],
        raw_body=got.raw,
    )
