"""What a failure-injection driver orders: copies, disorder, revoked keys, triggers."""

from __future__ import annotations

import time
from datetime import datetime

import httpx
import pytest

from sandbox.chatwoot.webhooks import signature
from sandbox.json_types import Json
from sandbox.tests.conftest import ADMIN, AGENT, Sandbox

SECRET = "sandbox-webhook-secret"
MARTA = "Hello, this is Marta. I take over."


def post(sandbox: Sandbox, number: int, content: str = "answer") -> httpx.Response:
    path = f"/conversations/{number}/messages"
    return sandbox.api("POST", path, {"content": content})


def trigger(sandbox: Sandbox, do: str, **wish: object) -> Json:
    return sandbox.control("POST", "/triggers", {"do": do, **wish})


def texts(sandbox: Sandbox, number: int) -> list[str]:
    return [message["content"] for message in sandbox.state(number)["messages"]]


# Webhooks.


def test_copies_share_id_and_body_and_each_is_signed(sandbox: Sandbox) -> None:
    sandbox.set(webhook_copies=3)
    sandbox.start()
    got = [r for r in sandbox.receiver.received if r.event == "message_created"]
    assert len(got) == 3
    assert len({row.headers["x-chatwoot-delivery"] for row in got}) == 1
    assert len({row.raw for row in got}) == 1
    for row in got:
        assert row.headers["x-chatwoot-signature"] == signature(
            secret=SECRET,
            timestamp=row.headers["x-chatwoot-timestamp"],
            raw_body=row.raw,
        )


def test_only_the_first_copy_is_retried_and_counts(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.set(webhook_copies=3)
    sandbox.receiver.received.clear()
    sandbox.receiver.statuses.extend([500, 500, 500])
    sandbox.say(number, "again")
    assert sandbox.receiver.events() == ["message_created"] * 4
    # Two copies have failed for good, which opens nothing.
    assert sandbox.state(number)["status"] == "pending"


def test_shuffled_deliveries_all_arrive_late(sandbox: Sandbox) -> None:
    sandbox.set(webhook_shuffle_s=0.2)
    number = int(sandbox.control("POST", "/conversations", {})["id"])
    for text in "abcdefgh":
        path = f"/conversations/{number}/customer-messages"
        sandbox.control("POST", path, {"content": text})
    sandbox.drain()
    got = [r for r in sandbox.receiver.received if r.event == "message_created"]
    assert sorted(row.body["content"] for row in got) == list("abcdefgh")


def test_bounds_of_settings(sandbox: Sandbox) -> None:
    for bad in (
        {"webhook_copies": 0},
        {"webhook_copies": 21},
        {"webhook_shuffle_s": -1},
    ):
        response = sandbox.client.patch("/_sandbox/settings", json=bad)
        assert response.status_code == 400


# Refused tokens and keys.


def test_refused_tokens_are_unknown_tokens(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}"
    refusal = {"error": "Invalid Access Token"}
    sandbox.set(bot_token_refused=True)
    answer = sandbox.api("GET", path)
    assert (answer.status_code, answer.json()) == (401, refusal)
    assert sandbox.api("GET", path, headers=ADMIN).status_code == 200
    sandbox.set(bot_token_refused=False, admin_token_refused=True)
    answer = sandbox.api("GET", path, headers=ADMIN)
    assert (answer.status_code, answer.json()) == (401, refusal)
    assert sandbox.api("GET", path).status_code == 200
    assert sandbox.api("GET", path, headers=AGENT).status_code == 200


def test_refused_dify_key(sandbox: Sandbox) -> None:
    shown = sandbox.control("PATCH", "/dify/apps/chat", {"key_refused": True})
    assert shown["key_refused"] is True
    answer = sandbox.ask(mode="chat")
    assert answer.status_code == 401
    assert answer.json() == {
        "code": "unauthorized",
        "message": "Access token is invalid",
        "status": 401,
    }
    assert sandbox.ask(mode="agent-chat").status_code == 200
    sandbox.control("PATCH", "/dify/apps/chat", {"key_refused": False})
    assert sandbox.ask(mode="chat").status_code == 200


# Triggers.


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("before", ["Hello", MARTA, "answer"]),
        ("after", ["Hello", "answer", MARTA]),
    ],
)
def test_human_replies_around_a_post(
    sandbox: Sandbox, when: str, expected: list[str]
) -> None:
    number = sandbox.start()
    made = trigger(sandbox, "human_reply", when=when)
    assert (made["used"], made["fired"], made["method"]) == (0, [], "POST")
    assert post(sandbox, number).status_code == 200
    assert texts(sandbox, number) == expected
    human = next(
        m for m in sandbox.state(number)["messages"] if "Marta" in m["content"]
    )
    assert (human["sender_type"], human["private"]) == ("User", False)
    shown = sandbox.control("GET", "/triggers")["triggers"]
    assert [row["used"] for row in shown] == [1]
    assert shown[0]["fired"] == [
        {
            "conversation_id": number,
            "at": shown[0]["fired"][0]["at"],
            "message_id": human["id"],
        }
    ]
    # It is used up.
    post(sandbox, number)
    assert len(texts(sandbox, number)) == 4
    sandbox.control("DELETE", "/triggers")
    assert sandbox.control("GET", "/triggers") == {"triggers": []}


def test_each_deed(sandbox: Sandbox) -> None:
    def after(do: str) -> Json:
        number = sandbox.start()
        trigger(sandbox, do, method="GET", path=r"/conversations/\d+$")
        sandbox.api("GET", f"/conversations/{number}")
        return sandbox.state(number)

    phone = after("phone_reply")["messages"][-1]
    assert (phone["message_type"], phone["sender_type"]) == ("outgoing", None)
    assert phone["source_id"].startswith("wamid.")
    note = after("note")["messages"][-1]
    assert (note["private"], note["sender_type"]) == (True, "User")
    assert after("open")["status"] == "open"
    assert after("resolve")["status"] == "resolved"
    assert after("assign")["assignee"]["id"] == 2
    assert after("pause_label")["labels"] == ["bot-paused"]
    more = after("customer_message")["messages"][-1]
    assert (more["message_type"], more["content"]) == ("incoming", "and another thing")
    gone = after("delete_message")["messages"][0]
    assert gone["content_attributes"] == {"deleted": True}


def test_trigger_sees_its_deed_served(sandbox: Sandbox) -> None:
    number = sandbox.start()
    trigger(sandbox, "open", method="GET", path=r"/conversations/\d+$")
    assert sandbox.api("GET", f"/conversations/{number}").json()["status"] == "open"


def test_trigger_for_one_conversation_with_some_content(sandbox: Sandbox) -> None:
    first, second = sandbox.start(), sandbox.start()
    trigger(sandbox, "note", conversation_id=second, content="boom", times=5)
    for number in (first, second):
        post(sandbox, number, "fine")
        post(sandbox, number, "boom")
        post(sandbox, number, "boom")
    assert len(texts(sandbox, first)) == 4
    # At most once in each conversation.
    assert len(texts(sandbox, second)) == 5
    assert sandbox.control("GET", "/triggers")["triggers"][0]["used"] == 1


def test_trigger_fires_as_often_as_told(sandbox: Sandbox) -> None:
    numbers = [sandbox.start() for _ in range(3)]
    trigger(sandbox, "note", times=2)
    for number in numbers:
        post(sandbox, number)
    assert [len(texts(sandbox, number)) for number in numbers] == [3, 3, 2]


def test_trigger_on_dify_goes_by_inputs_and_by_user(sandbox: Sandbox) -> None:
    number = sandbox.start()
    wish = {"method": "*", "path": "/v1/chat-messages$", "when": "after"}
    trigger(sandbox, "human_reply", **wish)
    inputs = {"chatwoot_conversation_id": str(number)}
    sandbox.ask(mode="chat", inputs=inputs, user="contact-1")
    assert len(texts(sandbox, number)) == 2
    trigger(sandbox, "note", path="/stop$")
    stop = {"user": "contact-1"}
    sandbox.dify("POST", "/chat-messages/no-task/stop", stop, mode="chat")
    assert len(texts(sandbox, number)) == 3
    # By the conversation that Dify remembers, whoever asks.
    known = sandbox.control("GET", "/dify/conversations")["conversations"][0]["id"]
    trigger(sandbox, "note", method="GET", path="/v1/messages$")
    sandbox.dify("GET", f"/messages?user=nobody&conversation_id={known}", mode="chat")
    assert len(texts(sandbox, number)) == 4
    # A stranger is nobody's.
    trigger(sandbox, "note", path="/stop$")
    sandbox.dify("POST", "/chat-messages/no-task/stop", {"user": "x"}, mode="chat")
    assert len(texts(sandbox, number)) == 4


def test_delayed_trigger_fires_while_the_stream_goes_on(sandbox: Sandbox) -> None:
    number = sandbox.start()
    trigger(sandbox, "human_reply", path="/v1/chat-messages$", delay_s=0.2)
    started = time.time()
    inputs = {"chatwoot_conversation_id": str(number)}
    sandbox.ask("/wait 0.6", mode="chat", inputs=inputs)
    ended = time.time()
    human = sandbox.state(number)["messages"][-1]
    assert human["content"] == MARTA
    at = datetime.fromisoformat(human["created_at"]).timestamp()
    assert started + 0.2 <= at < ended


def test_bad_trigger_orders(sandbox: Sandbox) -> None:
    for bad in (
        {},
        {"do": "explode"},
        {"do": "note", "path": "("},
        {"do": "note", "when": "during"},
        {"do": "note", "times": 0},
        {"do": "note", "times": True},
        {"do": "note", "delay_s": -1},
        {"do": "note", "colour": "red"},
    ):
        response = sandbox.client.post("/_sandbox/triggers", json=bad)
        assert response.status_code == 400, bad


# What a judge reads.


def test_full_list_is_every_conversation_in_full(sandbox: Sandbox) -> None:
    numbers = [sandbox.start(), sandbox.start()]
    full = sandbox.control("GET", "/conversations?full=1")["conversations"]
    assert full == [sandbox.state(number) for number in numbers]
    brief = sandbox.control("GET", "/conversations")["conversations"]
    assert "messages" not in brief[0]


def test_request_tells_what_its_sender_had_seen(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}"
    post(sandbox, number, "unread")
    sandbox.api("GET", path)
    post(sandbox, number, "read")
    sandbox.act(number, "/reply", {"content": "I am human"})
    sandbox.api("GET", f"{path}/messages", headers=ADMIN)
    post(sandbox, number, "read again")
    hello, unread, read, human, again = sandbox.state(number)["messages"]
    assert (hello["request"], human["request"]) == (None, None)
    assert unread["request"]["conversation_read_at"] is None
    moments = [
        hello["created_at"],
        unread["request"]["arrived_at"],
        unread["created_at"],
        read["request"]["conversation_read_at"],
        read["request"]["arrived_at"],
        read["created_at"],
        human["created_at"],
        again["request"]["conversation_read_at"],
        again["request"]["arrived_at"],
        again["created_at"],
    ]
    assert moments == sorted(moments)
    assert {len(moment) for moment in moments} == {len("2026-01-01T00:00:00.123456Z")}


def test_lost_read_is_none(sandbox: Sandbox) -> None:
    number = sandbox.start()
    order = {"kind": "status_after", "method": "GET", "path": r"/conversations/\d+$"}
    sandbox.control("POST", "/faults", order)
    assert sandbox.api("GET", f"/conversations/{number}").status_code == 500
    post(sandbox, number)
    last = sandbox.state(number)["messages"][-1]
    assert last["request"]["conversation_read_at"] is None
