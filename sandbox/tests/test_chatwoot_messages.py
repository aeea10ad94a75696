"""REST messages of the played Chatwoot: limits, items, files, pages, Liquid."""

from __future__ import annotations

import pytest

from sandbox.json_types import Json
from sandbox.tests.conftest import AGENT, Sandbox


def test_message_types_and_limits(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}/messages"
    incoming = {"content": "x", "message_type": "incoming"}
    refused = sandbox.api("POST", path, incoming)
    expected = {"error": "Incoming messages are only allowed in Api inboxes"}
    assert (refused.status_code, refused.json()) == (422, expected)
    long = sandbox.api("POST", path, {"content": "x" * 150_001})
    assert long.status_code == 422
    assert "too long" in long.json()["error"]
    assert sandbox.api("POST", path, {"content": "x" * 150_000}).status_code == 200
    assert sandbox.api("POST", path, {"message_type": "template"}).status_code == 422
    assert len(sandbox.state(number)["messages"]) == 2


def test_incoming_is_allowed_in_an_api_inbox(sandbox: Sandbox) -> None:
    number = sandbox.start(inbox_id=2)
    wish = {"content": "by API", "message_type": "incoming"}
    made = sandbox.api("POST", f"/conversations/{number}/messages", wish)
    assert made.json()["message_type"] == 0
    assert sandbox.receiver.last("message_created")["content"] == "by API"


def test_rate_limit_of_a_conversation(sandbox: Sandbox) -> None:
    sandbox.set(messages_per_minute=2)
    number = sandbox.start()
    path = f"/conversations/{number}/messages"
    assert sandbox.api("POST", path, {"content": "2"}).status_code == 200
    refused = sandbox.api("POST", path, {"content": "3"})
    expected = {"error": "Validation failed: Too many messages"}
    assert (refused.status_code, refused.json()) == (422, expected)


@pytest.mark.parametrize(
    ("content_type", "items", "status"),
    [
        ("input_select", [{"title": "a", "value": "b"}], 200),
        ("input_select", [{"title": "a", "value": "b", "x": 1}], 422),
        ("input_select", [], 422),
        ("cards", [{"title": "a", "actions": [{"type": "link", "uri": "/"}]}], 200),
        ("cards", [{"title": "a"}], 422),
        ("cards", [{"title": "a", "actions": [{"kind": "link"}]}], 422),
        ("form", [{"name": "a", "label": "A", "type": "text"}], 200),
        ("form", [{"name": "a", "maxlength": 3}], 422),
        ("article", [{"title": "a", "link": "/"}], 200),
        ("no_such_type", [], 422),
    ],
)
def test_items_of_rich_messages(
    sandbox: Sandbox, content_type: str, items: list[Json], status: int
) -> None:
    number = sandbox.start()
    wish = {
        "content": "x",
        "content_type": content_type,
        "content_attributes": {"items": items},
    }
    response = sandbox.api("POST", f"/conversations/{number}/messages", wish)
    assert response.status_code == status
    assert len(sandbox.state(number)["messages"]) == (2 if status == 200 else 1)


def test_multipart_message(sandbox: Sandbox) -> None:
    number = sandbox.start()
    response = sandbox.client.post(
        f"/api/v1/accounts/1/conversations/{number}/messages",
        headers={"api_access_token": "sandbox-bot-token"},
        data={
            "content": "with file",
            "private": "true",
            "source_id": "s-1",
            "content_attributes": '{"mine": 1}',
        },
        files=[("attachments[]", ("a.txt", b"abc", "text/plain"))],
    )
    made = response.json()
    assert response.status_code == 200
    assert made["private"] is True
    assert made["source_id"] == "s-1"
    assert made["content_attributes"] == {"mine": 1}
    assert made["attachments"][0]["file_size"] == 3
    refused = sandbox.client.post(
        f"/api/v1/accounts/1/conversations/{number}/messages",
        headers={"api_access_token": "sandbox-bot-token"},
        files=[("attachments[]", ("a.md", b"abc", "text/markdown"))],
    )
    assert refused.status_code == 422


def test_message_list_pages(sandbox: Sandbox) -> None:
    number = sandbox.start("0")
    path = f"/conversations/{number}/messages"
    for count in range(1, 25):
        sandbox.client.post(
            f"/api/v1/accounts/1{path}", json={"content": str(count)}, headers=AGENT
        )
    latest = sandbox.api("GET", path, headers=AGENT).json()["payload"]
    assert [m["content"] for m in latest] == [str(n) for n in range(5, 25)]
    first_id = latest[0]["id"]
    older = sandbox.api("GET", f"{path}?before={first_id}", headers=AGENT).json()
    assert [m["content"] for m in older["payload"]] == ["0", "1", "2", "3", "4"]
    newer = sandbox.api("GET", f"{path}?after={first_id}", headers=AGENT).json()
    assert [m["content"] for m in newer["payload"]] == [str(n) for n in range(6, 25)]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Hi {{ contact.name }}!", "Hi Anna Lee!"),
        ("a {{ x }} b", "a  b"),
        ("a {{ some words here }} b", "a  b"),
        ("{{ contact.first_name | nofilter }}", "Anna"),
        ("a {{}} b", "a  b"),
        ("open {{ x", "open {{ x"),
        ("{% nosuchtag %}", "{% nosuchtag %}"),
        ("`{{ x }}` and ```{{ y }}```", "`{{ x }}` and ```{{ y }}```"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ '{{' }} x }}", "{{ x }}"),
        ("{ single } 100 %", "{ single } 100 %"),
    ],
)
def test_liquid_in_outgoing_messages(sandbox: Sandbox, text: str, stored: str) -> None:
    number = sandbox.start(name="anna LEE")
    path = f"/conversations/{number}/messages"
    made = sandbox.api("POST", path, {"content": text})
    assert made.json()["content"] == stored
    assert sandbox.receiver.last("message_created")["content"] == stored


def test_liquid_leaves_incoming_messages_alone(sandbox: Sandbox) -> None:
    sandbox.start("{{ contact.name }}")
    assert sandbox.receiver.last("message_created")["content"] == "{{ contact.name }}"
