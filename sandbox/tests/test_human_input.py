"""A run that waits for a form, its answer, and how it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.json_types import Json
from sandbox.tests.conftest import Sandbox, events_of, names_of

USER = "u1"


def ask(sandbox: Sandbox, query: str) -> list[Json]:
    return [event for event in events_of(sandbox.ask(query).text) if event]


def required(events: list[Json]) -> dict[str, Any]:
    (event,) = [one for one in events if one["event"] == "human_input_required"]
    data = event["data"]
    assert isinstance(data, dict)
    return {**data, "run_id": event["workflow_run_id"]}


def submit(sandbox: Sandbox, token: str, **body: Any) -> Any:
    answer: Json = {"inputs": {}, "action": "approve", "user": USER, **body}
    return sandbox.dify("POST", f"/form/human_input/{token}", answer)


def test_pauses_for_a_form(sandbox: Sandbox) -> None:
    events = ask(sandbox, "/form")

    assert names_of(events)[-2:] == ["human_input_required", "workflow_paused"]
    form = required(events)
    assert [action["id"] for action in form["actions"]] == ["approve", "reject"]
    shown = sandbox.dify("GET", f"/form/human_input/{form['form_token']}").json()
    assert shown["user_actions"] == form["actions"]


def test_goes_on_after_the_answer(sandbox: Sandbox) -> None:
    form = required(ask(sandbox, "/form 2"))
    given = {"note": "fine", "priority": "low"}

    taken = submit(sandbox, form["form_token"], inputs=given)

    assert (taken.status_code, taken.json()) == (200, {})
    path = f"/workflow/{form['run_id']}/events?user={USER}"
    events = events_of(sandbox.dify("GET", path).text)
    assert names_of(events)[-1] == "workflow_finished"
    data = events[-1]["data"]
    assert isinstance(data, dict)
    assert data["outputs"]["answer"] == (
        "Somebody has to approve this first.The answer was “approve”.\nnote: fine\n"
        "priority: low"
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [({"action": "maybe"}, 400), ({"inputs": {}}, 400), ({"user": ""}, 400)],
)
def test_refuses_what_does_not_fit(
    body: dict[str, Any], status: int, sandbox: Sandbox
) -> None:
    form = required(ask(sandbox, "/form 1"))

    assert submit(sandbox, form["form_token"], **body).status_code == status


def test_takes_one_answer(sandbox: Sandbox) -> None:
    form = required(ask(sandbox, "/form"))
    submit(sandbox, form["form_token"])

    again = submit(sandbox, form["form_token"])

    assert again.status_code == 412
    assert again.json()["code"] == "human_input_form_submitted"
    assert submit(sandbox, "hit_unknown").status_code == 404
