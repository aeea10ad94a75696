"""REST of the played Chatwoot: tokens, statuses, wrappers, life cycle."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.json_types import Json
from sandbox.tests.conftest import ADMIN, AGENT, Sandbox

REFUSED = {"error": "Access to this endpoint is not authorized for bots"}
CRASHED = {"status": 500, "error": "Internal Server Error"}


# Tokens.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/conversations/{id}/messages"),
        ("GET", "/conversations"),
        ("GET", "/conversations/meta"),
        ("POST", "/conversations/filter"),
        ("DELETE", "/conversations/{id}"),
        ("POST", "/conversations/{id}/mute"),
        ("POST", "/conversations/{id}/update_last_seen"),
        ("GET", "/contacts"),
        ("GET", "/contacts/search?q=a"),
        ("GET", "/contacts/101"),
        ("PATCH", "/contacts/101"),
        ("GET", "/contacts/101/conversations"),
        ("GET", "/teams"),
        ("GET", "/labels"),
        ("GET", "/agents"),
        ("GET", "/inboxes"),
        ("GET", "/agent_bots"),
        ("GET", "/webhooks"),
        ("GET", "/custom_attribute_definitions"),
        ("GET", "/canned_responses"),
    ],
)
def test_bot_token_is_refused(sandbox: Sandbox, method: str, path: str) -> None:
    number = sandbox.start()
    response = sandbox.api(method, path.format(id=number), {})
    assert (response.status_code, response.json()) == (401, REFUSED)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/conversations/1/messages", {"content": "x"}),
        ("POST", "/conversations", {"inbox_id": 1, "contact_id": 101}),
        ("POST", "/conversations/1/toggle_status", {"status": "open"}),
        ("POST", "/conversations/1/toggle_priority", {"priority": "high"}),
        ("POST", "/conversations/1/assignments", {"assignee_id": 2}),
        ("PATCH", "/conversations/1", {"priority": "low"}),
        ("POST", "/conversations/1/custom_attributes", {"custom_attributes": {}}),
        ("POST", "/conversations/1/toggle_typing_status", {"typing_status": "on"}),
        ("GET", "/conversations/1", None),
        ("GET", "/conversations/1/labels", None),
        ("POST", "/conversations/1/labels", {"labels": []}),
    ],
)
def test_bot_token_is_accepted(
    sandbox: Sandbox, method: str, path: str, body: Json | None
) -> None:
    assert sandbox.start() == 1
    assert sandbox.api(method, path, body).status_code == 200


def test_tokens_and_accounts(sandbox: Sandbox) -> None:
    path = "/api/v1/accounts/1/teams"
    unknown = sandbox.client.get(path, headers={"api_access_token": "x"})
    assert (unknown.status_code, unknown.json()) == (
        401,
        {"error": "Invalid Access Token"},
    )
    nothing = sandbox.client.get(path)
    text = "You need to sign in or sign up before continuing."
    assert (nothing.status_code, nothing.json()) == (401, {"errors": [text]})
    dashed = {"api-access-token": "sandbox-admin-token"}
    assert sandbox.client.get(path, headers=dashed).status_code == 200
    foreign = sandbox.client.get(
        "/api/v1/accounts/9/conversations/1",
        headers={"api_access_token": "sandbox-bot-token"},
    )
    expected = {"error": "Bot is not authorized to access this account"}
    assert (foreign.status_code, foreign.json()) == (401, expected)


def test_agent_role_may_not_administrate(sandbox: Sandbox) -> None:
    refused = sandbox.api("POST", "/teams", {"name": "x"}, headers=AGENT)
    expected = {"error": "You are not authorized to do this action"}
    assert (refused.status_code, refused.json()) == (401, expected)
    assert len(sandbox.api("GET", "/teams", headers=AGENT).json()) == 3


def test_team_bug_can_be_switched_off(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/assignments", {"team_id": 1})
    broken = sandbox.api("GET", f"/conversations/{number}")
    assert (broken.status_code, broken.json()) == (500, CRASHED)
    patched = sandbox.api("PATCH", f"/conversations/{number}", {"priority": "high"})
    assert patched.status_code == 500
    assert sandbox.state(number)["priority"] == "high"
    path = f"/conversations/{number}"
    assert sandbox.api("GET", path, headers=ADMIN).json()["meta"]["team"]["id"] == 1
    sandbox.set(bot_team_bug=False)
    fixed = sandbox.api("GET", path).json()
    assert fixed["meta"]["team"]["is_member"] is False


# Life cycle.


def test_new_conversations_are_pending_whatever_was_asked(sandbox: Sandbox) -> None:
    contact = sandbox.api("POST", "/contacts", {"name": "A"}, headers=AGENT).json()
    contact_id = contact["payload"]["contact"]["id"]
    wish = {"inbox_id": 1, "contact_id": contact_id, "status": "open"}
    assert sandbox.api("POST", "/conversations", wish).json()["status"] == "pending"
    plain = wish | {"inbox_id": 3}
    assert sandbox.api("POST", "/conversations", plain).json()["status"] == "open"


def test_resolved_returns_to_the_bot_and_keeps_everything(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}"
    sandbox.api("POST", f"{path}/labels", {"labels": ["vip"]})
    sandbox.api("POST", f"{path}/custom_attributes", {"custom_attributes": {"a": 1}})
    sandbox.act(number, "/assign", {"assignee_id": 2})
    sandbox.act(number, "/status", {"status": "resolved"})
    sandbox.receiver.received.clear()
    sandbox.say(number, "me again")
    state = sandbox.state(number)
    assert state["status"] == "pending"
    assert state["assignee"] == {"id": 2, "name": "Marta Keller"}
    assert state["labels"] == ["vip"]
    assert state["custom_attributes"] == {"a": 1}
    created = sandbox.receiver.last("message_created")
    assert created["conversation"]["status"] == "pending"
    assert sorted(set(sandbox.receiver.events())) == [
        "conversation_status_changed",
        "conversation_updated",
        "message_created",
    ]


@pytest.mark.parametrize(
    ("inbox_id", "before", "after"),
    [(1, "snoozed", "open"), (3, "resolved", "open"), (1, "open", "open")],
)
def test_status_after_a_customer_message(
    sandbox: Sandbox, inbox_id: int, before: str, after: str
) -> None:
    number = sandbox.start(inbox_id=inbox_id)
    sandbox.act(number, "/status", {"status": before})
    sandbox.say(number, "hello?")
    assert sandbox.state(number)["status"] == after


def test_human_reply_does_not_open(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.act(number, "/reply", {"content": "I am human"})
    state = sandbox.state(number)
    assert state["status"] == "pending"
    assert state["waiting_since"] is None
    assert state["first_reply_created_at"] is not None


def test_handoff_and_toggling(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}/toggle_status"
    sandbox.receiver.received.clear()
    handed = sandbox.api("POST", path, {"status": "open"}).json()["payload"]
    assert handed == {
        "success": None,
        "conversation_id": number,
        "current_status": "open",
        "snoozed_until": None,
    }
    assert sorted(sandbox.receiver.events()) == [
        "conversation_opened",
        "conversation_status_changed",
        "conversation_updated",
    ]
    sandbox.receiver.received.clear()
    again = sandbox.api("POST", path, {"status": "open"}).json()["payload"]
    assert again["success"] is True
    assert sandbox.receiver.received == []
    toggled = sandbox.api("POST", path).json()["payload"]
    assert toggled["current_status"] == "resolved"
    bad = sandbox.api("POST", path, {"status": "closed"})
    assert (bad.status_code, bad.json()) == (500, CRASHED)
    wish = {"status": "snoozed", "snoozed_until": 1795333445}
    snoozed = sandbox.api("POST", path, wish).json()["payload"]
    assert snoozed["snoozed_until"] == "2026-11-22T07:44:05.000Z"


def test_agent_who_opens_gets_the_conversation(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}/toggle_status"
    sandbox.api("POST", path, {"status": "open"}, headers=ADMIN)
    assert sandbox.state(number)["assignee"] is None
    sandbox.api("POST", path, {"status": "resolved"}, headers=AGENT)
    sandbox.api("POST", path, {"status": "open"}, headers=AGENT)
    assert sandbox.state(number)["assignee"] == {"id": 2, "name": "Marta Keller"}


def test_assignments_take_one_of_two(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}/assignments"
    both = sandbox.api("POST", path, {"assignee_id": 2, "team_id": 1})
    assert both.json()["id"] == 2
    assert sandbox.state(number)["team"] is None
    assert sandbox.api("POST", path, {"team_id": 3}).json()["name"] == "returns"
    # Marta is not in returns: the team takes her off.
    assert sandbox.state(number)["assignee"] is None
    for nobody in (0, None, 99):
        sandbox.api("POST", path, {"assignee_id": 3})
        gone = sandbox.api("POST", path, {"assignee_id": nobody})
        assert (gone.status_code, gone.json()) == (200, None)
        assert sandbox.state(number)["assignee"] is None
    assert sandbox.api("POST", path, {"team_id": 0}).json() is None
    assert sandbox.state(number)["team"] is None


def test_attributes_and_labels_are_replaced(sandbox: Sandbox) -> None:
    number = sandbox.start(custom_attributes={"old": "1"})
    path = f"/conversations/{number}"
    wish = {"custom_attributes": {"new": "2"}}
    made = sandbox.api("POST", f"{path}/custom_attributes", wish)
    assert made.json() == {"custom_attributes": {"new": "2"}}
    too_long = {"custom_attributes": {"new": "x" * 1501}}
    refused = sandbox.api("POST", f"{path}/custom_attributes", too_long)
    assert refused.status_code == 422
    assert sandbox.api("POST", f"{path}/custom_attributes", {}).status_code == 500
    sandbox.api("POST", f"{path}/labels", {"labels": ["a", "b"]})
    labels = sandbox.api("POST", f"{path}/labels", {"labels": ["c"]})
    assert labels.json() == {"payload": ["c"]}
    assert sandbox.state(number)["custom_attributes"] == {"new": "2"}


def test_priority(sandbox: Sandbox) -> None:
    number = sandbox.start()
    path = f"/conversations/{number}/toggle_priority"
    made = sandbox.api("POST", path, {"priority": "urgent"})
    assert (made.status_code, made.content) == (200, b"")
    assert sandbox.state(number)["priority"] == "urgent"
    assert sandbox.api("POST", path, {"priority": "sky-high"}).status_code == 500
    sandbox.api("POST", path, {"priority": None})
    assert sandbox.state(number)["priority"] is None


def test_lists_and_filters(sandbox: Sandbox) -> None:
    first, second = sandbox.start(), sandbox.start()
    sandbox.act(second, "/status", {"status": "open"})
    shown = sandbox.api("GET", "/conversations", headers=ADMIN).json()["data"]
    assert [row["id"] for row in shown["payload"]] == [second]
    assert shown["meta"]["all_count"] == 1
    everything = sandbox.api("GET", "/conversations?status=all", headers=ADMIN).json()
    assert len(everything["data"]["payload"]) == 2
    condition = {
        "attribute_key": "status",
        "filter_operator": "equal_to",
        "values": ["pending"],
        "query_operator": None,
    }
    wish = {"payload": [condition]}
    found = sandbox.api("POST", "/conversations/filter", wish, headers=ADMIN).json()
    assert [row["id"] for row in found["payload"]] == [first]
    bad = {"payload": [condition | {"attribute_key": "colour"}]}
    refused = sandbox.api("POST", "/conversations/filter", bad, headers=ADMIN)
    assert refused.status_code == 422


def test_settings_objects(sandbox: Sandbox) -> None:
    team = sandbox.api("POST", "/teams", {"name": "VIP Care"}, headers=ADMIN).json()
    assert (team["name"], team["allow_auto_assign"]) == ("vip care", True)
    twice = sandbox.api("POST", "/teams", {"name": "vip care"}, headers=ADMIN)
    assert (twice.status_code, twice.json()) == (
        422,
        {"message": "Name has already been taken", "attributes": ["name"]},
    )
    contact = sandbox.api(
        "POST", "/contacts", {"name": "B", "custom_attributes": {"a": 1}}, headers=AGENT
    ).json()["payload"]["contact"]
    path = f"/contacts/{contact['id']}"
    wish = {"custom_attributes": {"b": 2}}
    merged = sandbox.api("PATCH", path, wish, headers=AGENT).json()["payload"]
    assert merged["custom_attributes"] == {"a": 1, "b": 2}
    disconnected = sandbox.api(
        "POST", "/inboxes/1/set_agent_bot", {"agent_bot": None}, headers=ADMIN
    )
    assert (disconnected.status_code, disconnected.content) == (200, b"")
    assert sandbox.state(sandbox.start())["status"] == "open"
    missing = sandbox.api("GET", "/contacts/9999", headers=AGENT)
    expected = {"error": "Resource could not be found"}
    assert (missing.status_code, missing.json()) == (404, expected)


def test_team_members_are_added_set_and_removed(sandbox: Sandbox) -> None:
    path = "/teams/3/team_members"

    def asked(method: str, *ids: int, headers: Any = ADMIN) -> tuple[int, Any]:
        body = {"user_ids": list(ids)} if method != "GET" else None
        answer = sandbox.api(method, path, body, headers=headers)
        rows = answer.json() if answer.content else []
        return answer.status_code, (
            [row["id"] for row in rows] if isinstance(rows, list) else rows["error"]
        )

    assert asked("PATCH", 1, 2) == (200, [1, 2])
    assert asked("POST", 2, 3) == (200, [3])
    assert asked("GET") == (200, [1, 2, 3])
    assert asked("DELETE", 1, 3) == (200, [])
    assert asked("GET") == (200, [2])
    assert asked("PATCH", 2, 99) == (401, "Invalid User IDs")
    assert asked("PATCH")[0] == 500
    assert asked("PATCH", 1, headers=AGENT)[0] == 401
    assert asked("GET") == (200, [2])


def test_a_team_that_is_deleted_leaves_its_conversations(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/assignments", {"team_id": 1})

    assert sandbox.api("DELETE", "/teams/1", headers=ADMIN).status_code == 200

    assert sandbox.state(number)["team"] is None


def test_labels_are_changed_and_deleted(sandbox: Sandbox) -> None:
    made = sandbox.api("POST", "/labels", {"title": "Night"}, headers=ADMIN).json()
    path = f"/labels/{made['id']}"

    changed = sandbox.api(
        "PATCH", path, {"color": "#112233", "show_on_sidebar": False}, headers=ADMIN
    ).json()
    assert changed == {
        **made,
        "title": "night",
        "color": "#112233",
        "show_on_sidebar": False,
    }
    taken = sandbox.api("PATCH", path, {"title": "VIP"}, headers=ADMIN)
    assert (taken.status_code, taken.json()["attributes"]) == (422, ["title"])
    assert sandbox.api("DELETE", path, headers=ADMIN).status_code == 200
    assert sandbox.api("DELETE", path, headers=ADMIN).status_code == 404
