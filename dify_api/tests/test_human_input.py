"""Forms of paused runs: what is read of them, submitted, and followed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import requests
import responses
from responses import matchers

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.types import JsonObject
from dify_api.connection import DifyConnection
from dify_api.human_input import (
    FormExpired,
    FormTaken,
    HumanInputClient,
    NoFormApi,
    still_waits,
)
from dify_api.payloads import DifyReply, FormField, Outcome, StreamIds, parse_pause
from dify_api.tests import recorded

BASE = "https://dify.test/v1"
TOKEN = "hit_3kQ9ZpW7"
RUN = "5d7f9b1d-3e5a-4c7e-8f90-1a2b3c4d5e66"
SUBMIT = f"{BASE}/form/human_input/{TOKEN}"
EVENTS = f"{BASE}/workflow/{RUN}/events"
IDS = StreamIds(
    task_id="task-1",
    conversation_id="dify-conversation-1",
    message_id="dify-message-1",
    workflow_run_id=RUN,
)
_HEAD: JsonObject = {
    "conversation_id": "dify-conversation-1",
    "message_id": "dify-message-1",
    "task_id": "task-1",
    "workflow_run_id": RUN,
}


def client(
    calls: list[FinishedCall] | None = None, *, mode: str = "advanced-chat"
) -> HumanInputClient:
    return HumanInputClient(
        DifyConnection("https://dify.test", "app-key-000", mode=mode),
        form_token=TOKEN,
        call_log=None if calls is None else calls.append,
    )


def stream(*events: JsonObject) -> str:
    return "".join(f"data: {json.dumps({**_HEAD, **event})}\n\n" for event in events)


def paused() -> DifyReply:
    data = recorded.stream("composed/chatflow_paused")
    return recorded.collect(data, mode="advanced-chat").result()


def finished(**outputs: str) -> JsonObject:
    return {
        "event": "workflow_finished",
        "data": {"id": RUN, "status": "succeeded", "outputs": {**outputs}},
    }


def test_reads_all_that_the_guide_shows() -> None:
    pause = parse_pause(
        {
            "form_id": "f-1",
            "node_title": "Review",
            "form_content": "Please review {{#$output.feedback#}}",
            "inputs": [
                {
                    "type": "paragraph",
                    "output_variable_name": "feedback",
                    "default": {"type": "variable", "selector": ["a", "b"]},
                },
                {
                    "type": "select",
                    "output_variable_name": "priority",
                    "option_source": {"type": "constant", "value": ["low", "high"]},
                },
                {"type": "paragraph"},
            ],
            "user_actions": [{"id": "approve", "title": "Approve"}, {"id": "no"}],
            "resolved_default_values": {"feedback": "fine"},
            "form_token": TOKEN,
            "expiration_time": 1745510400,
            "display_in_ui": False,
        }
    )

    assert pause.fields == (
        FormField(name="feedback", kind="paragraph", default="fine"),
        FormField(name="priority", kind="select", options=("low", "high")),
    )
    assert pause.actions == (("approve", "Approve"), ("no", "no"))
    assert pause.expires_at == datetime(2025, 4, 24, 16, 0, tzinfo=UTC)
    assert not pause.display_in_ui
    assert TOKEN not in repr(pause)


def test_the_recorded_pause_has_its_fields() -> None:
    (pause,) = paused().pauses

    assert pause.fields == (FormField(name="note", kind="paragraph"),)
    assert pause.form_token == TOKEN
    assert pause.expires_at == datetime(2026, 8, 24, 11, 3, 20, tzinfo=UTC)


def test_submits_just_what_dify_wants(wire: responses.RequestsMock) -> None:
    wire.post(
        SUBMIT,
        json={},
        match=[
            matchers.json_params_matcher(
                {"inputs": {"note": "ok"}, "action": "approve", "user": "u-1"}
            ),
            matchers.header_matcher({"Authorization": "Bearer app-key-000"}),
        ],
    )

    client().submit(action="approve", inputs={"note": "ok"}, user="u-1")

    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (412, "human_input_form_submitted", FormTaken),
        (412, "human_input_form_expired", FormExpired),
        (404, "not_found", NoFormApi),
    ],
)
def test_tells_the_ends_of_a_form_apart(
    status: int, code: str, kind: type[UpstreamError], wire: responses.RequestsMock
) -> None:
    body = {"code": code, "message": f"see {SUBMIT}", "status": status}
    wire.post(SUBMIT, json=body, status=status)
    calls: list[FinishedCall] = []

    with pytest.raises(kind) as caught:
        client(calls).submit(action="approve", inputs={}, user="u-1")

    assert TOKEN not in f"{caught.value} {caught.value.path} {caught.value.excerpt}"
    (call,) = calls
    assert TOKEN not in f"{call}"
    assert call.path.startswith("/form/human_input/")


def test_a_lost_connection_names_the_token_nowhere(
    wire: responses.RequestsMock,
) -> None:
    wire.post(SUBMIT, body=requests.ConnectionError(f"lost {SUBMIT}"))
    calls: list[FinishedCall] = []

    with pytest.raises(UpstreamError) as caught:
        client(calls).submit(action="approve", inputs={}, user="u-1")

    assert TOKEN not in f"{caught.value} {caught.value.path} {caught.value.excerpt}"
    assert TOKEN not in f"{calls}"


def test_follows_the_run_to_its_end(wire: responses.RequestsMock) -> None:
    wire.get(
        EVENTS,
        body=stream(
            {"event": "message", "answer": "Approved."},
            {"event": "message_end", "metadata": {}},
            finished(answer="Wait. Approved."),
        ),
        content_type="text/event-stream",
        match=[matchers.query_param_matcher({"user": "u-1"})],
    )

    reply = client().follow(IDS, user="u-1")

    assert (reply.answer, reply.outcome) == ("Approved.", Outcome.ANSWERED)
    assert reply.ids == IDS


def test_takes_from_dify_what_the_stream_missed(wire: responses.RequestsMock) -> None:
    """The run was over before we listened: its one event has the whole text."""
    wire.get(
        EVENTS,
        body=f"data: {json.dumps({**finished(answer='Wait. It is done.')})}\n\n",
        content_type="text/event-stream",
    )
    wire.get(
        f"{BASE}/workflows/run/{RUN}",
        json={
            "id": RUN,
            "status": "succeeded",
            "outputs": {"answer": "Wait. It is done."},
            "total_tokens": 1,
        },
    )
    wire.get(
        f"{BASE}/messages",
        json={
            "data": [
                {
                    "id": "dify-message-1",
                    "answer": "Wait. It is done.",
                    "status": "normal",
                    "error": None,
                    "message_files": [],
                }
            ]
        },
    )
    asked = client()

    reply = asked.follow(IDS, user="u-1")
    whole = asked.whole(reply, user="u-1", said_before="Wait.")

    assert whole.answer == "It is done."


def test_a_run_that_waits_for_the_same_form_still_is_not_awake() -> None:
    reply = paused()

    assert still_waits(reply, form_id="f0f0f0f0-1111-4222-8333-444455556666")
    assert not still_waits(reply, form_id="another")
