"""Teams, agents, labels, attributes, inboxes: read leniently, changed to the letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from bridge_project.lib.errors import (
    ConfigurationError,
    UnexpectedReply,
    UpstreamRejected,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.settings_payloads import (
    AgentRow,
    DefinitionRow,
    InboxRow,
    LabelRow,
    TeamRow,
)
from chatwoot_api.tests.wired import ADMIN, ROOT, client, sent

DEFINITIONS = "custom_attribute_definitions"
JUNK: list[Any] = [None, 7, "x", [], {}, {"id": None}, {"id": "x"}, {"id": -1}]


def test_reads_teams(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    row = payload("api/assignments_team_response_200")
    wire.get(f"{ROOT}/teams", json=[row, *JUNK, {"id": 8, "name": None}])

    assert client().teams() == [
        TeamRow(
            id=7,
            name="returns",
            description="Handles returns",
            allow_auto_assign=False,
        ),
        TeamRow(id=8),
    ]
    assert sent(wire) == [("GET", "/teams", ADMIN, None)]


def test_reads_agents(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    row = payload("api/assignments_agent_response_200")
    odd = {"id": "22", "name": ["x"], "role": "r" * 99, "email": "a\x00b"}
    wire.get(f"{ROOT}/agents", json=[row, *JUNK, odd])

    one, other = client().agents()

    assert one == AgentRow(
        id=int(str(row["id"])),
        name=str(row["name"]),
        available_name=str(row["available_name"]),
        email=str(row["email"]),
        role=str(row["role"]),
    )
    assert other == AgentRow(id=22, role="r" * 50, email="a\ufffdb")
    assert sent(wire) == [("GET", "/agents", ADMIN, None)]


def test_reads_labels(wire: responses.RequestsMock) -> None:
    full = {
        "id": 1,
        "title": "vip",
        "description": "Care",
        "color": "#7C3AED",
        "show_on_sidebar": False,
    }
    wire.get(f"{ROOT}/labels", json={"payload": [full, *JUNK, {"id": 2}]})

    assert client().account_labels() == [
        LabelRow(
            id=1,
            title="vip",
            description="Care",
            color="#7C3AED",
            show_on_sidebar=False,
        ),
        LabelRow(id=2),
    ]
    assert sent(wire) == [("GET", "/labels", ADMIN, None)]


def test_reads_attribute_definitions(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    row = payload("api/custom_attribute_definition_response_200")
    newer = {
        "id": 32,
        "attribute_key": "place",
        "attribute_display_type": "map",
        "attribute_model": "deal_attribute",
        "attribute_values": ["A", 7, None, {"x": 1}],
    }
    by_number = {
        "id": 33,
        "attribute_key": "region",
        "attribute_display_type": 6,
        "attribute_model": 1,
    }
    unknown = {
        "id": 34,
        "attribute_key": "x",
        "attribute_display_type": 99,
        "attribute_model": True,
    }
    rows = [row, *JUNK, {"id": 31}, newer, by_number, unknown]
    wire.get(f"{ROOT}/{DEFINITIONS}", json=rows)

    assert client().attribute_definitions() == [
        DefinitionRow(
            id=31,
            key="dify_summary",
            display_name="Dify summary",
            model="conversation_attribute",
            display_type="text",
            description="Set by the bridge",
        ),
        DefinitionRow(
            id=32,
            key="place",
            model="deal_attribute",
            display_type="map",
            values=("A", "7"),
        ),
        DefinitionRow(
            id=33, key="region", model="contact_attribute", display_type="list"
        ),
        DefinitionRow(id=34, key="x", model="", display_type="99"),
    ]
    assert sent(wire) == [("GET", f"/{DEFINITIONS}", ADMIN, None)]


def test_reads_inboxes(wire: responses.RequestsMock) -> None:
    web = {"id": 11, "name": "Website", "channel_type": "Channel::WebWidget"}
    wire.get(f"{ROOT}/inboxes", json={"payload": [web, *JUNK, {"id": 12}]})

    assert client().inboxes() == [
        InboxRow(id=11, name="Website", channel="Channel::WebWidget"),
        InboxRow(id=12),
    ]
    assert client().inbox_ids() == {11, 12}
    assert sent(wire) == [("GET", "/inboxes", ADMIN, None)] * 2


def test_reads_sets_and_empties_the_members_of_a_team(
    wire: responses.RequestsMock,
) -> None:
    members = f"{ROOT}/teams/5/team_members"
    wire.get(members, json=[{"id": 21, "email": "m@shop.test"}, *JUNK])
    wire.patch(members, json=[])
    wire.delete(members, body="")

    assert client().team_members(5) == [AgentRow(id=21, email="m@shop.test")]
    client().set_team_members(5, [21, 22])
    client().remove_team_members(5, [21])

    path = "/teams/5/team_members"
    assert sent(wire) == [
        ("GET", path, ADMIN, None),
        ("PATCH", path, ADMIN, {"user_ids": [21, 22]}),
        ("DELETE", path, ADMIN, {"user_ids": [21]}),
    ]


def test_an_unknown_member_says_nothing_against_the_token(
    wire: responses.RequestsMock,
) -> None:
    body = {"error": "Invalid User IDs"}
    wire.patch(f"{ROOT}/teams/5/team_members", status=401, json=body)

    with pytest.raises(UpstreamRejected) as caught:
        client().set_team_members(5, [99])

    assert type(caught.value) is UpstreamRejected


def test_counts_conversations_in_whatever_status(wire: responses.RequestsMock) -> None:
    wire.get(f"{ROOT}/conversations/meta", json={"meta": {"all_count": 4}})
    assert client().conversations_with(team_id=5) == 4
    assert client().conversations_with(label="vip") == 4
    wire.upsert(responses.GET, f"{ROOT}/conversations/meta", json=[])
    assert client().conversations_with(label="vip") is None

    queries = [path for _method, path, _token, _body in sent(wire)]
    asked = "/conversations/meta?status=all&assignee_type=all"
    assert queries[:2] == [f"{asked}&team_id=5", f"{asked}&labels%5B%5D=vip"]


LISTS: list[tuple[str, Callable[[ChatwootClient], object]]] = [
    ("teams", lambda c: c.teams()),
    ("agents", lambda c: c.agents()),
    ("labels", lambda c: c.account_labels()),
    (DEFINITIONS, lambda c: c.attribute_definitions()),
    ("inboxes", lambda c: c.inboxes()),
]


@pytest.mark.parametrize(("endpoint", "call"), LISTS)
def test_no_list_is_not_an_empty_one(
    wire: responses.RequestsMock,
    endpoint: str,
    call: Callable[[ChatwootClient], object],
) -> None:
    wire.get(f"{ROOT}/{endpoint}", json={"error": "?"})

    with pytest.raises(UnexpectedReply):
        call(client())
    with pytest.raises(ConfigurationError, match="administrator"):
        call(client(admin_token=""))
    assert len(wire.calls) == 1


FIELDS: JsonObject = {"any": "field"}
KINDS: list[tuple[str, str, JsonObject]] = [
    ("teams", "team", {"id": 5, "name": "x"}),
    ("labels", "label", {"id": 5, "title": "x"}),
    (DEFINITIONS, "definition", {"id": 5, "attribute_key": "x"}),
]


@pytest.mark.parametrize(("endpoint", "word", "row"), KINDS)
def test_makes_changes_and_deletes_as_the_administrator(
    wire: responses.RequestsMock, endpoint: str, word: str, row: JsonObject
) -> None:
    wire.post(f"{ROOT}/{endpoint}", json=row)
    wire.patch(f"{ROOT}/{endpoint}/5", json=row)
    wire.delete(f"{ROOT}/{endpoint}/5", status=204)

    made = getattr(client(), f"create_{word}")(FIELDS)
    changed = getattr(client(), f"update_{word}")(5, FIELDS)
    getattr(client(), f"delete_{word}")(5)

    assert (made.id, changed.id) == (5, 5)
    assert sent(wire) == [
        ("POST", f"/{endpoint}", ADMIN, FIELDS),
        ("PATCH", f"/{endpoint}/5", ADMIN, FIELDS),
        ("DELETE", f"/{endpoint}/5", ADMIN, None),
    ]


@pytest.mark.parametrize(("endpoint", "word", "_row"), KINDS)
def test_an_answer_without_the_row_is_none(
    wire: responses.RequestsMock, endpoint: str, word: str, _row: JsonObject
) -> None:
    wire.post(f"{ROOT}/{endpoint}", json=[])

    with pytest.raises(UnexpectedReply):
        getattr(client(), f"create_{word}")(FIELDS)
