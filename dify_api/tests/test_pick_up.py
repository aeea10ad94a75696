"""What is made of a run that was cut off."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from responses import RequestsMock

from dify_api import pick_up as pick_up_module
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.failures import (
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    DifyUnexpectedReply,
    InvalidInputs,
    RunAborted,
    RunTooLong,
)
from dify_api.payloads import DifyReply, Outcome, StreamIds, Usage
from dify_api.pick_up import pick_up
from dify_api.tests import recorded

API = "http://dify.test/v1"
FLOW = StreamIds(task_id="t", conversation_id="c", message_id="m", workflow_run_id="r")
CHAT = StreamIds(task_id="t", conversation_id="c", message_id="m")
WORKFLOW = StreamIds(task_id="t", workflow_run_id="r")
NOT_FOUND = {"code": "not_found", "message": "Workflow run not found.", "status": 404}
GONE = {"code": "not_found", "message": "Conversation Not Exists.", "status": 404}
NOT_WORKFLOW = {"code": "not_workflow_app", "message": "Please …", "status": 400}
AFTER_CUT = "lifecycle/05_messages_after_disconnect"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pick_up_module, "POLL_EVERY_S", 0.01)
    monkeypatch.setattr(pick_up_module, "ASK_EVERY_S", 0.005)


def look(
    ids: StreamIds,
    *,
    mode: str = "advanced-chat",
    answer_output: str = "",
    until: float | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> DifyReply | None:
    connection = DifyConnection(
        API, "app-key", mode=mode, answer_output=answer_output, total_timeout_s=5.0
    )
    return pick_up(
        DifyClient(connection), ids, user="u", until=until, should_stop=should_stop
    )


def run_is(
    wire: RequestsMock,
    status: str = "succeeded",
    *,
    version: str = "1.14.2",
    **own: Any,
) -> None:
    body = {"id": "r", "status": status, "outputs": {}, "error": None, **own}
    wire.get(f"{API}/workflows/run/r", json=body, headers={"X-Version": version})


def message_is(wire: RequestsMock, answer: str, **own: Any) -> None:
    others = [
        {"id": "newer", "answer": "of another turn", "status": "normal"},
        {"id": "older", "answer": "of an earlier turn", "status": "normal"},
    ]
    item = {"id": "m", "answer": answer, "status": "normal", **own}
    wire.get(f"{API}/messages", json={"data": [others[0], item, others[1]]})


def moderation_is(wire: RequestsMock, *, enabled: bool) -> None:
    wire.get(
        f"{API}/parameters",
        json={"user_input_form": [], "sensitive_word_avoidance": {"enabled": enabled}},
    )


@pytest.mark.parametrize(
    ("mode", "ids"),
    [
        ("chat", StreamIds()),
        ("chat", StreamIds(task_id="t", conversation_id="c")),
        ("completion", StreamIds(task_id="t", message_id="m")),
        ("workflow", StreamIds(task_id="t")),
    ],
)
def test_run_without_its_ids_is_asked_again(
    wire: RequestsMock, mode: str, ids: StreamIds
) -> None:
    assert look(ids, mode=mode) is None
    assert len(wire.calls) == 0


# --- Chats ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "agent"])
def test_chat_that_was_over_is_answered(wire: RequestsMock, mode: str) -> None:
    message_is(wire, "<think>hm</think>Hello")

    assert look(CHAT, mode=mode) == DifyReply(
        answer="Hello",
        thinking="hm",
        outcome=Outcome.ANSWERED,
        finished_by="pick_up",
        ids=CHAT,
    )


def test_files_of_the_reply_come_along(wire: RequestsMock) -> None:
    files = [{"id": "f", "belongs_to": "assistant", "url": "/files/f.png"}]
    message_is(wire, "See", message_files=files)

    reply = look(CHAT, mode="chat")

    assert reply is not None
    assert [file.url for file in reply.files] == ["/files/f.png"]


@pytest.mark.parametrize("status", ["normal", "unheard-of"])
def test_chat_without_an_answer_is_asked_again(wire: RequestsMock, status: str) -> None:
    message_is(wire, "" if status == "normal" else "?", status=status)

    assert look(CHAT, mode="chat") is None


def test_answer_of_another_message_is_never_taken(wire: RequestsMock) -> None:
    data = [{"id": "newer", "answer": "of another turn", "status": "normal"}]
    wire.get(f"{API}/messages", json={"data": data})

    assert look(CHAT, mode="chat") is None


def test_vanished_conversation_is_asked_anew(wire: RequestsMock) -> None:
    wire.get(f"{API}/messages", json=GONE, status=404)

    assert look(CHAT, mode="chat") is None


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            "[openai_api_compatible] Error: API request failed with status code 500",
            DifyUnavailable,
            "model_call_failed",
        ),
        (
            "Internal Server Error, please contact support.",
            DifyUnavailable,
            "unavailable",
        ),
        ("Incorrect API key provided", DifyRejected, "rejected"),
        ("Run failed: no such tool", DifyRejected, "run_failed"),
    ],
)
def test_failed_chat_fails_as_its_stream_did(
    wire: RequestsMock, error: str, kind: type[Exception], code: str
) -> None:
    message_is(wire, "half", status="error", error=error)

    with pytest.raises(kind) as caught:
        look(CHAT, mode="chat")

    failure = caught.value
    assert isinstance(failure, DifyUnavailable | DifyRejected)
    assert (failure.code, failure.ids, failure.status) == (code, CHAT, None)


# --- Runs of workflows ----------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.15.3", "1.12.1", "1.14.2"])
def test_finished_workflow_is_answered(wire: RequestsMock, version: str) -> None:
    body = recorded.body(f"{version}/workflow/04_run_detail")
    ids = StreamIds(task_id="t", workflow_run_id=body["id"])
    wire.get(
        f"{API}/workflows/run/{body['id']}",
        json=body,
        headers={"X-Version": version},
    )

    answer = '{"ok": true, "path": "/wf/7", "code": 200}'
    assert look(ids, mode="workflow") == DifyReply(
        answer=answer,
        outcome=Outcome.ANSWERED,
        finished_by="pick_up",
        ids=ids,
        usage=Usage(total_tokens=0),
        outputs={"result": answer, "code": 200},
    )


def test_workflow_without_an_answer_is_not_run_again(wire: RequestsMock) -> None:
    """It may have done what it is for."""
    run_is(wire, outputs={"done": 1}, total_tokens=7)

    reply = look(WORKFLOW, mode="workflow")

    assert reply is not None
    assert (reply.answer, reply.is_answer, reply.usage) == ("", True, Usage(0, 0, 7))


def test_workflow_whose_answer_only_the_stream_tells_is_run_again(
    wire: RequestsMock,
) -> None:
    run_is(wire, outputs={"one": "1", "two": "2"})

    assert look(WORKFLOW, mode="workflow") is None


def test_partial_success_is_a_success(wire: RequestsMock) -> None:
    run_is(wire, "partial-succeeded", outputs={"text": "Hi"})

    reply = look(WORKFLOW, mode="workflow")

    assert reply is not None
    assert (reply.answer, reply.partial) == ("Hi", True)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("Request failed with status code 404", DifyRejected, "run_failed"),
        ("channel is required in input form", InvalidInputs, "invalid_inputs"),
    ],
)
def test_failed_run_fails_as_its_stream_did(
    wire: RequestsMock, error: str, kind: type[Exception], code: str
) -> None:
    run_is(wire, "failed", error=error)

    with pytest.raises(DifyRejected) as caught:
        look(FLOW)

    failure = caught.value
    assert type(failure) is kind
    assert (failure.code, failure.ids, failure.status) == (code, FLOW, None)
    assert failure.excerpt == error


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        ("stopped", "Stopped by user.", Outcome.STOPPED),
        ("failed", "Aborted: User requested stop", Outcome.STOPPED),
        ("paused", None, Outcome.PAUSED),
    ],
)
def test_run_without_an_end_of_its_own_is_no_answer(
    wire: RequestsMock, status: str, error: str | None, outcome: Outcome
) -> None:
    run_is(wire, status, error=error)

    reply = look(FLOW)

    assert reply is not None
    assert (reply.outcome, reply.answer, reply.is_answer) == (outcome, "", False)


def test_unknown_status_is_unexpected(wire: RequestsMock) -> None:
    run_is(wire, "exploded")

    with pytest.raises(DifyUnexpectedReply, match="“exploded”") as caught:
        look(FLOW)
    assert caught.value.ids == FLOW


@pytest.mark.parametrize("mode", ["workflow", "advanced-chat"])
def test_unknown_run_is_asked_again(wire: RequestsMock, mode: str) -> None:
    wire.get(f"{API}/workflows/run/r", json=NOT_FOUND, status=404)

    assert look(FLOW, mode=mode) is None


def test_another_run_is_never_taken(wire: RequestsMock) -> None:
    run_is(wire, id="other", outputs={"text": "of another turn"})

    assert look(WORKFLOW, mode="workflow") is None


def test_wrong_address_is_found_out_by_asking_again(wire: RequestsMock) -> None:
    wire.get(f"{API}/workflows/run/r", body="<html>", status=404)

    assert look(FLOW) is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (502, "", DifyUnavailable),
        (401, "unauthorized", DifyUnauthorized),
    ],
)
def test_look_up_that_fails_is_told(
    wire: RequestsMock, status: int, code: str, kind: type[Exception]
) -> None:
    wire.get(f"{API}/workflows/run/r", json={"code": code}, status=status)

    with pytest.raises(kind) as caught:
        look(FLOW)
    assert isinstance(caught.value, DifyUnavailable | DifyUnauthorized)
    assert caught.value.ids == FLOW


# --- Waiting for a run --------------------------------------------------------------


def test_run_at_work_is_waited_for(wire: RequestsMock) -> None:
    for _ in range(3):
        run_is(wire, "running")
    run_is(wire, outputs={"text": "Done"})

    reply = look(WORKFLOW, mode="workflow", until=monotonic() + 5)

    assert reply is not None
    assert reply.answer == "Done"
    assert len(wire.calls) == 4


def test_run_at_work_is_waited_for_no_longer_than_told(wire: RequestsMock) -> None:
    run_is(wire, "running")

    with pytest.raises(RunTooLong) as caught:
        look(FLOW, until=monotonic())

    assert caught.value.ids == FLOW
    assert len(wire.calls) == 1


def test_total_limit_of_the_app_holds_if_nothing_is_told(
    wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pick_up_module, "POLL_EVERY_S", 0.2)
    run_is(wire, "running")
    client = DifyClient(DifyConnection(API, "k", mode="workflow", total_timeout_s=0.1))

    with pytest.raises(RunTooLong):
        pick_up(client, WORKFLOW, user="u", until=None)


@pytest.mark.parametrize("version", ["0.15.3", "1.12.1"])
@pytest.mark.parametrize("mode", ["workflow", "advanced-chat"])
def test_old_dify_says_running_for_ever_so_it_is_asked_again(
    wire: RequestsMock, version: str, mode: str
) -> None:
    run_is(wire, "running", version=version)

    assert look(FLOW, mode=mode) is None
    assert len(wire.calls) == 1


def test_waiting_is_given_up_when_the_caller_says_so(wire: RequestsMock) -> None:
    run_is(wire, "running")
    asked = iter([False, False, False, True])

    with pytest.raises(RunAborted) as caught:
        look(FLOW, should_stop=lambda: next(asked))

    assert caught.value.ids == FLOW
    assert not caught.value.retryable
    assert list(asked) == []


# --- Chatflows: the message before the run --------------------------------------------


def test_chatflow_is_answered_by_its_message(wire: RequestsMock) -> None:
    """The message has passed moderation, the run's output has not."""
    run_is(wire, outputs={"answer": "a rude word"}, total_tokens=9)
    message_is(wire, "moderated")

    reply = look(FLOW)

    assert reply is not None
    assert (reply.answer, reply.usage) == ("moderated", Usage(total_tokens=9))


def test_recorded_chatflow_of_1_14_is_picked_up(wire: RequestsMock) -> None:
    body = recorded.body(f"1.14.2/{AFTER_CUT}")
    ids = StreamIds(
        **recorded.first_ids(recorded.stream("1.14.2/lifecycle/04_client_disconnect"))
    )
    wire.get(
        f"{API}/workflows/run/{ids.workflow_run_id}",
        json={"id": ids.workflow_run_id, "status": "succeeded", "outputs": {}},
    )
    wire.get(f"{API}/messages", json=body)

    reply = look(ids)

    assert reply is not None
    assert reply.answer == 'slept: {"ok": true, "path": "/slow/5", "code": 200}'


def test_empty_message_of_1_12_is_made_good_by_the_run(wire: RequestsMock) -> None:
    ids = StreamIds(
        **recorded.first_ids(recorded.stream("1.12.1/lifecycle/04_client_disconnect"))
    )
    wire.get(
        f"{API}/workflows/run/{ids.workflow_run_id}",
        json={
            "id": ids.workflow_run_id,
            "status": "succeeded",
            "outputs": '{"answer": "<think>hm</think>slept", "files": []}',
        },
        headers={"X-Version": "1.12.1"},
    )
    wire.get(f"{API}/messages", json=recorded.body(f"1.12.1/{AFTER_CUT}"))
    moderation_is(wire, enabled=False)

    reply = look(ids)

    assert reply is not None
    assert (reply.answer, reply.thinking) == ("slept", "hm")


def test_chatflow_of_0_15_tells_nothing_so_it_is_asked_again(
    wire: RequestsMock,
) -> None:
    ids = StreamIds(
        **recorded.first_ids(recorded.stream("0.15.3/lifecycle/04_client_disconnect"))
    )
    run = f"{API}/workflows/run/{ids.workflow_run_id}"
    wire.get(run, json=NOT_WORKFLOW, status=400)
    wire.get(f"{API}/messages", json=recorded.body(f"0.15.3/{AFTER_CUT}"))

    assert look(ids, mode="chat") is None
    assert len(wire.calls) == 2


@pytest.mark.parametrize("message", ["empty", "missing"])
def test_what_moderation_would_replace_is_never_taken(
    wire: RequestsMock, message: str
) -> None:
    run_is(wire, outputs={"answer": "a rude word"})
    if message == "empty":
        message_is(wire, "")
    else:
        wire.get(f"{API}/messages", json=GONE, status=404)
    moderation_is(wire, enabled=True)

    assert look(FLOW) is None


def test_chatflow_that_answers_nothing_is_known_to(wire: RequestsMock) -> None:
    run_is(wire, outputs={"answer": ""})
    message_is(wire, "")

    reply = look(FLOW)

    assert reply is not None
    assert (reply.answer, reply.is_answer) == ("", True)


@pytest.mark.parametrize("outputs", [{}, {"answer": None}, {"text": "no answer"}, None])
def test_chatflow_whose_answer_is_not_known_is_asked_again(
    wire: RequestsMock, outputs: object
) -> None:
    run_is(wire, outputs=outputs)
    message_is(wire, "")

    assert look(FLOW) is None


def test_failed_message_of_a_good_run_is_asked_again(wire: RequestsMock) -> None:
    run_is(wire, outputs={"answer": "Hi"})
    message_is(wire, "Hi", status="error", error="?")

    assert look(FLOW) is None
