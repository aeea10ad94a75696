"""What may be changed of a conversation, to the letter, and with whose token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from bridge_project.lib.errors import (
    OutcomeUnknown,
    UnexpectedReply,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.refusals import NotOpenToBots
from chatwoot_api.tests.wired import ADMIN, BOT, NOT_FOR_BOTS, ONE, ROOT, client, sent

Call = Callable[[ChatwootClient], Any]
WRITES: list[tuple[Call, str, JsonObject]] = [
    (
        lambda c: c.toggle_status(133, status="resolved"),
        "toggle_status",
        {"status": "resolved"},
    ),
    (
        lambda c: c.toggle_status(133, status="snoozed", snoozed_until=1781600400),
        "toggle_status",
        {"status": "snoozed", "snoozed_until": 1781600400},
    ),
    (
        lambda c: c.toggle_priority(133, priority="urgent"),
        "toggle_priority",
        {"priority": "urgent"},
    ),
    (
        lambda c: c.toggle_priority(133, priority=""),
        "toggle_priority",
        {"priority": None},
    ),
    (lambda c: c.assign_team(133, team_id=7), "assignments", {"team_id": 7}),
    (lambda c: c.assign_team(133, team_id=None), "assignments", {"team_id": 0}),
    (lambda c: c.assign_agent(133, agent_id=21), "assignments", {"assignee_id": 21}),
    (lambda c: c.assign_agent(133, agent_id=None), "assignments", {"assignee_id": 0}),
    (
        lambda c: c.set_typing(133, on=True, private=True),
        "toggle_typing_status",
        {"typing_status": "on", "is_private": True},
    ),
]


@pytest.mark.parametrize(("call", "endpoint", "body"), WRITES)
def test_writes_as_the_bot(
    wire: responses.RequestsMock, call: Call, endpoint: str, body: JsonObject
) -> None:
    wire.post(f"{ONE}/{endpoint}", body="")

    call(client())

    assert sent(wire) == [("POST", f"/conversations/133/{endpoint}", BOT, body)]


@pytest.mark.parametrize(("call", "endpoint", "body"), WRITES)
def test_writes_as_the_administrator_where_bots_may_not(
    wire: responses.RequestsMock, call: Call, endpoint: str, body: JsonObject
) -> None:
    wire.post(f"{ONE}/{endpoint}", status=401, json=NOT_FOR_BOTS)
    wire.post(f"{ONE}/{endpoint}", body="")

    call(client())

    path = f"/conversations/133/{endpoint}"
    assert sent(wire) == [("POST", path, BOT, body), ("POST", path, ADMIN, body)]


@pytest.mark.parametrize(
    ("answer", "number"),
    [({"id": 7, "name": "sales"}, 7), (None, None), ({}, None), ([], None)],
)
def test_returns_who_has_it_now(
    wire: responses.RequestsMock, answer: Any, number: int | None
) -> None:
    wire.post(f"{ONE}/assignments", json=answer)

    assert client().assign_team(133, team_id=7) == number
    assert client().assign_agent(133, agent_id=7, is_bot=True) == number
    body = {"assignee_id": 7, "assignee_type": "AgentBot"}
    assert sent(wire)[1] == ("POST", "/conversations/133/assignments", BOT, body)


def test_customers_see_nobody_but_the_bot_typing(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/toggle_typing_status", status=401, json=NOT_FOR_BOTS)

    with pytest.raises(NotOpenToBots):
        client().set_typing(133, on=False)

    body = {"typing_status": "off", "is_private": False}
    path = "/conversations/133/toggle_typing_status"
    assert sent(wire) == [("POST", path, BOT, body)]


def test_reads_the_labels_with_the_token_that_no_team_bothers(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    wire.get(f"{ONE}/labels", json=payload("api/labels_response_200"))

    assert client().labels_of(133) == ["return", "vip"]
    assert client(admin_token="").labels_of(133) == ["return", "vip"]
    path = "/conversations/133/labels"
    assert sent(wire) == [("GET", path, ADMIN, None), ("GET", path, BOT, None)]


def test_replaces_the_labels(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/labels", json={"payload": ["vip", 7, "return"]})

    assert client().set_labels(133, ("vip", "return")) == ["vip", "return"]
    body = {"labels": ["vip", "return"]}
    assert sent(wire) == [("POST", "/conversations/133/labels", BOT, body)]


def test_replaces_the_custom_attributes(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    answer = payload("api/custom_attributes_response_200")
    wire.post(f"{ONE}/custom_attributes", json=answer)
    wanted: JsonObject = {"order_number": "88123", "vip": None}

    stored = client().set_custom_attributes(133, wanted)

    assert stored == {"order_number": "88123", "dify_summary": "Torn seam"}
    body = {"custom_attributes": wanted}
    assert sent(wire) == [("POST", "/conversations/133/custom_attributes", BOT, body)]


@pytest.mark.parametrize("answer", [None, [], {}, {"payload": None}])
def test_labels_in_another_shape_are_no_labels(
    wire: responses.RequestsMock, answer: Any
) -> None:
    wire.get(f"{ONE}/labels", json=answer)
    wire.post(f"{ONE}/labels", json=answer)

    with pytest.raises(UnexpectedReply):
        client().labels_of(133)
    with pytest.raises(UnexpectedReply):
        client().set_labels(133, ["vip"])


def test_attributes_in_another_shape_are_no_attributes(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/custom_attributes", json=["x"])

    with pytest.raises(UnexpectedReply):
        client().set_custom_attributes(133, {})


def test_what_chatwoot_refuses_is_not_tried_with_the_other_token(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/toggle_priority", status=422, json={"error": "no"})

    with pytest.raises(UpstreamRejected):
        client().toggle_priority(133, priority="high")
    assert len(wire.calls) == 1


def test_waits_no_longer_than_a_flow_does(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/assignments", body="null")
    wire.get(f"{ROOT}/teams", json=[])

    client().assign_team(133, team_id=1)
    client().teams()

    timeouts = [call.request.req_kwargs["timeout"] for call in wire.calls]  # type: ignore[attr-defined]
    assert timeouts == [(3.0, 8.0)] * 2


def test_starts_a_conversation_as_the_bot(wire: responses.RequestsMock) -> None:
    wire.post(f"{ROOT}/conversations", json={"id": 501})

    number = client().create_conversation(
        inbox_id=11,
        contact_id=640,
        status="pending",
        custom_attributes={"region": "Berlin"},
        message={"content": "Use {{ code }}", "content_type": "text"},
    )

    assert number == 501
    expected = {
        "inbox_id": 11,
        "contact_id": 640,
        "status": "pending",
        "custom_attributes": {"region": "Berlin"},
        "message": {
            "content": 'Use {{ "{" }}{ code }}',
            "content_type": "text",
        },
    }
    assert sent(wire) == [("POST", "/conversations", BOT, expected)]


def test_only_the_bot_says_the_first_word(wire: responses.RequestsMock) -> None:
    refused = {"error": "Invalid Access Token"}
    wire.post(f"{ROOT}/conversations", status=401, json=refused)
    message: JsonObject = {"content": "Hello"}

    with pytest.raises(UpstreamRejected):
        client().create_conversation(inbox_id=1, contact_id=2, message=message)
    assert len(wire.calls) == 1

    wire.replace(responses.POST, f"{ROOT}/conversations", json={"id": 9})
    silent = client(bot_token="").create_conversation(inbox_id=1, contact_id=2)
    assert silent == 9
    body = {"inbox_id": 1, "contact_id": 2}
    assert sent(wire)[1] == ("POST", "/conversations", ADMIN, body)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # A bot's answer about a conversation with a team; it was started all the same.
        (500, "{}", OutcomeUnknown),
        (504, "", OutcomeUnknown),
        (503, "", UpstreamUnavailable),
        (422, "{}", UpstreamRejected),
        (200, "{}", OutcomeUnknown),
        (200, "[]", OutcomeUnknown),
        (200, "<html>", OutcomeUnknown),
    ],
)
def test_a_conversation_is_not_started_twice_on_a_guess(
    wire: responses.RequestsMock, status: int, body: str, kind: type[Exception]
) -> None:
    wire.post(f"{ROOT}/conversations", status=status, body=body)

    with pytest.raises(kind) as caught:
        client().create_conversation(inbox_id=1, contact_id=2)
    assert type(caught.value) is kind


def test_a_lost_connection_leaves_open_whether_it_was_started(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ROOT}/conversations", body=requests.ReadTimeout())

    with pytest.raises(OutcomeUnknown):
        client().create_conversation(inbox_id=1, contact_id=2)
