"""Webhook bodies and REST answers have the keys and types of the samples."""

from __future__ import annotations

import base64
import copy

import pytest

from sandbox.json_types import Json
from sandbox.tests.conftest import ADMIN, AGENT, Sandbox, sample

# Objects whose keys are free: what the account put into them.
_FREE = (
    "custom_attributes",
    "additional_attributes",
    "content_attributes",
    "event_info",
)


def shape(value: object) -> object:
    """Keys and type names; None stays None, lists keep their first element."""
    if isinstance(value, dict):
        return {
            key: "object" if key in _FREE else shape(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else "list"
    return None if value is None else type(value).__name__


def differences(mine: object, theirs: object, *, at: str = "") -> list[str]:
    """Where two shapes differ; null fits every type, an empty list every list."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        missing = [f"{at}.{key} missing" for key in theirs if key not in mine]
        extra = [f"{at}.{key} extra" for key in mine if key not in theirs]
        inner = [
            found
            for key in mine
            if key in theirs
            for found in differences(mine[key], theirs[key], at=f"{at}.{key}")
        ]
        return missing + extra + inner
    if isinstance(mine, list) and isinstance(theirs, list):
        return differences(mine[0], theirs[0], at=f"{at}[0]")
    if mine is None or theirs is None or mine == theirs:
        return []
    if {"list"} & {str(mine), str(theirs)}:
        return []
    return [f"{at}: {mine} is not {theirs}"]


def assert_same_shape(body: Json, name: str) -> None:
    mine, theirs = copy.deepcopy(body), sample(name)
    latest = [
        message
        for one in (mine, theirs)
        for message in one.get("conversation", one).get("messages", [])
    ]
    if len({message["sender_type"] for message in latest}) > 1:
        # Another kind of author spoke last here than in the sample.
        for message in latest:
            message.pop("sender", None)
    assert differences(shape(mine), shape(theirs)) == []


def test_differences_finds_a_missing_an_extra_and_a_wrong_key() -> None:
    mine = {"a": 1, "b": {"c": "x"}, "d": 1}
    theirs = {"a": 1.5, "b": {"e": "x"}, "d": None}
    assert differences(shape(mine), shape(theirs)) == [
        ".a: int is not float",
        ".b.e missing",
        ".b.c extra",
    ]


def test_incoming_text(sandbox: Sandbox) -> None:
    sandbox.start("Hi", custom_attributes={"order_number": "1"}, language="de")
    body = sandbox.receiver.last("message_created")
    assert_same_shape(body, "message_created_incoming_text")
    assert body["conversation"]["additional_attributes"]["browser_language"] == "de"
    assert set(body["conversation"]["additional_attributes"]) == set(
        sample("message_created_incoming_text")["conversation"]["additional_attributes"]
    )
    assert body["content_attributes"] == {"in_reply_to": None}
    assert "type" not in body["sender"]
    assert body["conversation"]["meta"]["sender"]["type"] == "contact"


def test_bot_owned_conversation(sandbox: Sandbox) -> None:
    number = sandbox.start()
    wish = {"assignee_id": 1, "assignee_type": "AgentBot"}
    sandbox.api("POST", f"/conversations/{number}/assignments", wish)
    sandbox.say(number, "again")
    body = sandbox.receiver.last("message_created")
    assert_same_shape(body, "message_created_incoming_text_bot_owned")
    assert body["conversation"]["meta"]["assignee_type"] == "AgentBot"


@pytest.mark.parametrize(
    ("file_name", "content_type", "name"),
    [
        ("voice.ogg", "audio/ogg", "message_created_incoming_audio"),
        ("seam.jpg", "image/jpeg", "message_created_incoming_image_null_content"),
    ],
)
def test_attachment(
    sandbox: Sandbox, file_name: str, content_type: str, name: str
) -> None:
    number = sandbox.start()
    data = base64.b64encode(b"bytes").decode()
    item = {"name": file_name, "content_type": content_type, "base64": data}
    sandbox.act(number, "/customer-messages", {"attachments": [item]})
    body = sandbox.receiver.last("message_created")
    assert_same_shape(body, name)
    assert body["content"] is None
    url = body["attachments"][0]["data_url"]
    first = sandbox.client.get(url)
    assert first.status_code == 302
    assert sandbox.client.get(url, follow_redirects=True).content == b"bytes"


def test_outgoing_of_bot_user_and_note(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/messages", {"content": "from bot"})
    bot = sandbox.receiver.last("message_created")
    sandbox.act(number, "/assign", {"assignee_id": 2})
    sandbox.act(number, "/team", {"team_id": 1})
    sandbox.act(number, "/reply", {"content": "from a human"})
    human = sandbox.receiver.last("message_created")
    sandbox.act(number, "/note", {"content": "between us"})
    note = sandbox.receiver.last("message_created")
    assert_same_shape(bot, "message_created_outgoing_agent_bot")
    assert_same_shape(human, "message_created_outgoing_user")
    assert_same_shape(note, "message_created_private_note")
    assert [m["content"] for m in note["conversation"]["messages"]] == ["from a human"]


def test_rich_message_and_its_answer(sandbox: Sandbox) -> None:
    number = sandbox.start()
    items = [{"title": "Return", "value": "return"}]
    wish = {
        "content": "What is it about?",
        "content_type": "input_select",
        "content_attributes": {"items": items},
    }
    made = sandbox.api("POST", f"/conversations/{number}/messages", wish).json()
    created = sandbox.receiver.last("message_created")
    assert_same_shape(created, "message_created_outgoing_input_select")
    values = {"message_id": made["id"], "submitted_values": items}
    sandbox.act(number, "/submit", values)
    body = sandbox.receiver.last("message_updated")
    assert_same_shape(body, "message_updated_input_select_submitted")
    assert body["content_attributes"] == {"items": items, "submitted_values": items}
    assert body["message_type"] == "outgoing"


def test_templates(sandbox: Sandbox) -> None:
    sandbox.set(greeting_enabled=True, email_collect_enabled=True)
    sandbox.start()
    created = [
        r.body for r in sandbox.receiver.received if r.event == "message_created"
    ]
    created.sort(key=lambda row: int(row["id"]))  # nothing keeps them in order
    assert [row["content"] for row in created] == [
        "Hello",
        "Welcome to Sandbox Store! How can we help?",
        "Give the team a way to reach you.",
        "Get notified by email",
    ]
    assert_same_shape(created[1], "message_created_template_greeting")
    assert_same_shape(created[3], "message_created_template_input_email")


def test_read_receipt_and_deletion(sandbox: Sandbox) -> None:
    number = sandbox.start()
    made = sandbox.api("POST", f"/conversations/{number}/messages", {"content": "x"})
    sandbox.act(number, "/seen", {})
    body = sandbox.receiver.last("message_updated")
    assert_same_shape(body, "message_updated_read_receipt")
    assert body["conversation"]["messages"][0]["status"] == "read"
    assert "changed_attributes" not in body
    assert made.json()["status"] == "sent"
    human = sandbox.act(number, "/reply", {"content": "wrong chat"})
    path = f"/conversations/{number}/messages/{human['id']}"
    sandbox.api("DELETE", path, headers=AGENT)
    deleted = sandbox.receiver.last("message_updated")
    assert_same_shape(deleted, "message_updated_deleted")
    assert deleted["content"] == "This message was deleted"


def test_conversation_events(sandbox: Sandbox) -> None:
    number = sandbox.start(custom_attributes={"order_number": "1"})
    last = sandbox.receiver.last
    path = f"/conversations/{number}"
    sandbox.api("POST", f"{path}/messages", {"content": "answer"})
    waiting = last("conversation_updated")
    assert_same_shape(waiting, "conversation_updated_waiting_since")
    assert list(waiting["changed_attributes"][0]) == ["waiting_since"]
    sandbox.api("POST", f"{path}/labels", {"labels": ["return"]})
    labels = last("conversation_updated")
    assert_same_shape(labels, "conversation_updated_labels")
    assert labels["changed_attributes"][:2] == [
        {"label_list": {"previous_value": [], "current_value": ["return"]}},
        {"cached_label_list": {"previous_value": "", "current_value": "return"}},
    ]
    wish = {"custom_attributes": {"topic": "Return"}}
    sandbox.api("POST", f"{path}/custom_attributes", wish)
    name = "conversation_updated_custom_attributes"
    assert_same_shape(last("conversation_updated"), name)
    sandbox.api("POST", f"{path}/assignments", {"team_id": 3})
    assert_same_shape(last("conversation_updated"), "conversation_updated_team")
    sandbox.api("POST", f"{path}/assignments", {"assignee_id": 2})
    assert_same_shape(last("conversation_updated"), "conversation_updated_assignee")
    sandbox.api("POST", f"{path}/toggle_status", {"status": "open"})
    assert_same_shape(last("conversation_opened"), "conversation_opened")
    sandbox.act(number, "/status", {"status": "resolved"})
    assert_same_shape(last("conversation_resolved"), "conversation_resolved")
    changed = last("conversation_status_changed")
    assert_same_shape(changed, "conversation_status_changed_resolved")
    assert changed["changed_attributes"] is None
    updated = last("conversation_updated")
    assert_same_shape(updated, "conversation_updated_status")
    assert updated["changed_attributes"][0] == {
        "status": {"previous_value": "open", "current_value": "resolved"}
    }


def test_account_webhook_events(sandbox: Sandbox) -> None:
    subscriptions = [
        "conversation_created",
        "contact_created",
        "contact_updated",
        "conversation_typing_on",
        "conversation_typing_off",
    ]
    url = f"{sandbox.receiver.url}/account"
    body = {"url": url, "subscriptions": subscriptions}
    assert sandbox.api("POST", "/webhooks", body, headers=ADMIN).status_code == 200
    number = sandbox.start()
    path = f"/conversations/{number}/toggle_typing_status"
    sandbox.act(number, "/customer-typing", {"on": True})
    contact = sandbox.receiver.last("conversation_typing_on")
    sandbox.api("POST", path, {"typing_status": "on"}, headers=AGENT)
    human = sandbox.receiver.last("conversation_typing_on")
    sandbox.api("POST", path, {"typing_status": "off"})
    last = sandbox.receiver.last
    assert_same_shape(contact, "conversation_typing_on_contact")
    assert_same_shape(human, "conversation_typing_on_user")
    assert_same_shape(
        last("conversation_typing_off"), "conversation_typing_off_agent_bot"
    )
    assert_same_shape(last("conversation_created"), "conversation_created")
    assert_same_shape(last("contact_created"), "contact_created")
    assert_same_shape(last("contact_updated"), "contact_updated_last_activity_only")


def test_webwidget_triggered(sandbox: Sandbox) -> None:
    sandbox.start()
    body = sandbox.receiver.last("webwidget_triggered")
    assert_same_shape(body, "webwidget_triggered")
    expected = set(sample("webwidget_triggered")["event_info"])
    assert set(body["event_info"]) == expected


def test_rest_answers(sandbox: Sandbox) -> None:
    number = sandbox.start(custom_attributes={"order_number": "1"})
    path = f"/conversations/{number}"
    say = {"content": "x", "echo_id": "e1"}
    answers = {
        "message_create_response_200": sandbox.api("POST", f"{path}/messages", say),
        "labels_response_200": sandbox.api("POST", f"{path}/labels", {"labels": ["a"]}),
        "custom_attributes_response_200": sandbox.api(
            "POST", f"{path}/custom_attributes", {"custom_attributes": {"a": "b"}}
        ),
        "assignments_team_response_200": sandbox.api(
            "POST", f"{path}/assignments", {"team_id": 3}
        ),
        "conversation_show_response_200": sandbox.api("GET", path, headers=ADMIN),
        "assignments_agent_response_200": sandbox.api(
            "POST", f"{path}/assignments", {"assignee_id": 2}
        ),
        "toggle_status_response_200_bot_handoff": sandbox.api(
            "POST", f"{path}/toggle_status", {"status": "open"}
        ),
        "toggle_status_response_200": sandbox.api(
            "POST", f"{path}/toggle_status", {"status": "resolved"}
        ),
        "messages_list_response_200": sandbox.api(
            "GET", f"{path}/messages", headers=AGENT
        ),
        "contacts_search_response_200": sandbox.api(
            "GET", "/contacts/search?q=visitor", headers=AGENT
        ),
        "agent_bot_response_200_admin": sandbox.api(
            "GET", "/agent_bots/1", headers=ADMIN
        ),
        "webhook_create_response_200": sandbox.api(
            "POST",
            "/webhooks",
            {"url": "http://127.0.0.1:9/x", "subscriptions": ["contact_created"]},
            headers=ADMIN,
        ),
    }
    assert {name: row.status_code for name, row in answers.items()} == dict.fromkeys(
        answers, 200
    )
    found = {
        name: differences(shape(row.json()), shape(sample(f"api/{name}")))
        for name, row in answers.items()
    }
    assert found == dict.fromkeys(answers, [])


def test_attribute_definitions_have_the_sample_s_shape(sandbox: Sandbox) -> None:
    rows = sandbox.api("GET", "/custom_attribute_definitions", headers=AGENT).json()
    expected = sample("api/custom_attribute_definition_response_200")
    assert differences(shape(rows[0]), shape(expected)) == []
    made = sandbox.api(
        "POST",
        "/custom_attribute_definitions",
        {
            "attribute_key": "x1",
            "attribute_display_name": "X",
            "attribute_display_type": 7,
            "attribute_model": 1,
        },
        headers=ADMIN,
    ).json()
    assert made["attribute_display_type"] == "checkbox"
    assert made["attribute_model"] == "contact_attribute"
