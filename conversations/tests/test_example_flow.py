"""The example chatflow hangs together, and its nodes do what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from conversations.callbacks.document import flow_document

Node = dict[str, Any]

EXAMPLES = Path(settings.BASE_DIR) / "examples"
FILE = EXAMPLES / "dify" / "region-handover.yml"
# A variable as Dify's nodes recognize it in a text.
VARIABLE = re.compile(
    r"\{\{#([a-zA-Z0-9_]{1,50})\.([a-zA-Z_][a-zA-Z0-9_]{0,29})#\}\}", re.ASCII
)
BASE = "{{#start.bridge_api_url#}}"
SYSTEM = {"query", "files", "conversation_id", "user_id", "dialogue_count"}
HTTP_OUTPUTS = {"status_code", "body", "headers", "files"}


@pytest.fixture(scope="module")
def flow() -> Node:
    loaded: Node = yaml.safe_load(FILE.read_text())
    return loaded


@pytest.fixture(scope="module")
def nodes(flow: Node) -> dict[str, Node]:
    rows = flow["workflow"]["graph"]["nodes"]
    found = {row["id"]: row["data"] for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def edges(flow: Node) -> list[Node]:
    return list(flow["workflow"]["graph"]["edges"])


def test_it_is_a_chatflow_that_dify_0_15_takes(flow: Node) -> None:
    assert flow["kind"] == "app"
    assert flow["version"] == "0.1.5"
    assert flow["app"]["mode"] == "advanced-chat"
    assert flow["dependencies"] == []


def test_edges_join_nodes_that_exist(nodes: dict[str, Node], edges: list[Node]) -> None:
    for edge in edges:
        source, target = nodes[edge["source"]], nodes[edge["target"]]
        assert edge["data"]["sourceType"] == source["type"]
        assert edge["data"]["targetType"] == target["type"]
        assert edge["sourceHandle"] in _handles(source), edge["id"]
        assert edge["targetHandle"] == "target"
        assert edge["type"] == "custom"
    assert len({edge["id"] for edge in edges}) == len(edges)


def _handles(node: Node) -> set[str]:
    if node["type"] == "if-else":
        return {case["case_id"] for case in node["cases"]} | {"false"}
    return {"source"} if node["type"] != "answer" else set()


def test_every_way_leads_from_the_start_to_an_answer(
    nodes: dict[str, Node], edges: list[Node]
) -> None:
    ways = {(edge["source"], edge["sourceHandle"]) for edge in edges}
    wanted = {(name, handle) for name in nodes for handle in _handles(nodes[name])}
    assert ways == wanted
    assert set(nodes) == {"start"} | {edge["target"] for edge in edges}
    assert [name for name in nodes if nodes[name]["type"] == "start"] == ["start"]


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from VARIABLE.findall(value)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key.endswith("_selector"):
                node, name = member
                yield node, name
            else:
                yield from _references(member)


def _outputs(node: Node) -> set[str]:
    if node["type"] == "start":
        return {row["variable"] for row in node["variables"]}
    if node["type"] == "code":
        return set(node["outputs"])
    return HTTP_OUTPUTS if node["type"] == "http-request" else set()


def test_every_variable_exists_before_it_is_used(
    nodes: dict[str, Node], edges: list[Node]
) -> None:
    for name, node in nodes.items():
        for source, variable in _references(node):
            if source == "sys":
                assert variable in SYSTEM
                continue
            assert variable in _outputs(nodes[source]), (name, source, variable)
            assert source in _before(name, edges), (name, source)


def _before(name: str, edges: list[Node]) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        at = left.pop()
        for edge in edges:
            if edge["target"] == at and edge["source"] not in found:
                found.add(edge["source"])
                left.append(edge["source"])
    return found


def test_templates_are_all_variables(nodes: dict[str, Node]) -> None:
    """A misspelt one would reach the customer, or the bridge, as it stands."""
    text = yaml.safe_dump(nodes, allow_unicode=True)
    assert len(VARIABLE.findall(text)) == text.count("{{#") == text.count("{{")


def _http_nodes(nodes: dict[str, Node]) -> list[Node]:
    return [node for node in nodes.values() if node["type"] == "http-request"]


def test_requests_are_operations_of_the_bridge(nodes: dict[str, Node]) -> None:
    document: Node = json.loads(json.dumps(flow_document()))
    [node] = _http_nodes(nodes)
    path = node["url"].removeprefix(BASE).replace("/current", "/{conversation_id}")
    operation = document["paths"][f"/api/v1{path}"][node["method"]]
    assert operation["operationId"] == "update_conversation"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    known = document["components"]["schemas"][name]["properties"]
    body = _body(node, region="Berlin", team="sales")
    assert set(body) <= set(known)
    assert body == {
        "custom_attributes": {"region": "Berlin"},
        "team": "sales",
        "note": "Region: Berlin. Handed over by the flow.",
        "status": "open",
    }


def _body(node: Node, **values: str) -> Node:
    [part] = node["body"]["data"]
    text = VARIABLE.sub(lambda match: values[match[2]], part["value"])
    loaded: Node = json.loads(text)
    return loaded


def test_requests_carry_the_conversation_token(nodes: dict[str, Node]) -> None:
    for node in _http_nodes(nodes):
        assert node["headers"] == "Authorization:Bearer {{#start.conversation_token#}}"
        assert node["url"].startswith(f"{BASE}/")
        assert node["body"]["type"] == "json"
        # On, each 4xx would be called four times and then fail the run.
        assert node["retry_config"]["retry_enabled"] is False


def test_no_text_of_the_customer_gets_into_a_request(nodes: dict[str, Node]) -> None:
    for node in _http_nodes(nodes):
        assert not [source for source, _ in _references(node) if source == "sys"]


def test_regions_and_teams_are_those_of_the_other_examples(
    nodes: dict[str, Node],
) -> None:
    scope: dict[str, Any] = {}
    exec(nodes["which_region"]["code"], scope)  # noqa: S102 - our own file
    attributes = yaml.safe_load((EXAMPLES / "attributes.yaml").read_text())
    teams = yaml.safe_load((EXAMPLES / "teams.yaml").read_text())
    [region] = [row for row in attributes if row["key"] == "region"]
    assert [row[0] for row in scope["REGIONS"].values()] == region["values"]
    assert {row[1] for row in scope["REGIONS"].values()} <= {t["name"] for t in teams}


def _main(node: Node) -> Callable[..., dict[str, str]]:
    scope: dict[str, Any] = {}
    exec(node["code"], scope)  # noqa: S102 - our own file
    main: Callable[..., dict[str, str]] = scope["main"]
    return main


@pytest.mark.parametrize(
    ("query", "region", "team"),
    [
        ("I live in BERLIN.", "Berlin", "sales"),
        ("hamburg", "Hamburg", "support"),
        ("hello", "", ""),
        ("two hamburgers", "", ""),
    ],
)
def test_which_region(
    nodes: dict[str, Node], query: str, region: str, team: str
) -> None:
    node = nodes["which_region"]
    assert _main(node)(query=query) == {"region": region, "team": team}
    assert set(node["outputs"]) == {"region", "team"}


STATUS_SET = {"result": "applied", "before": "pending", "after": "open"}


@pytest.mark.parametrize(
    ("status_code", "body", "handed_over", "code"),
    [
        (200, {"status": "success", "fields": {"status": STATUS_SET}}, "yes", ""),
        (
            200,
            {
                "status": "partial",
                "code": "unknown_team",
                "fields": {"status": STATUS_SET, "team": {"result": "refused"}},
            },
            "yes",
            "unknown_team",
        ),
        (200, {"status": "error", "code": "human_in_charge"}, "no", "human_in_charge"),
        (401, {"status": "error", "code": "token_expired"}, "no", "token_expired"),
        (502, "<html>", "no", ""),
        (200, [1], "no", ""),
    ],
)
def test_what_came_of_it(
    nodes: dict[str, Node], status_code: int, body: Any, handed_over: str, code: str
) -> None:
    node = nodes["outcome"]
    text = body if isinstance(body, str) else json.dumps(body)
    told = _main(node)(status_code=status_code, body=text)
    assert (told["handed_over"], told["code"]) == (handed_over, code)
    assert set(told) == set(node["outputs"])
