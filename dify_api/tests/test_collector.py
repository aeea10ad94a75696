"""Event orders that no recording shows."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_project.lib.errors import Unauthorized, UpstreamError
from dify_api.collector import StreamCollector
from dify_api.failures import DifyRejected, DifyUnexpectedReply
from dify_api.payloads import AppMode, DifyReply, Outcome, StreamIds

CHAT_IDS = {"task_id": "t", "conversation_id": "c", "message_id": "m"}
FLOW_IDS = {**CHAT_IDS, "workflow_run_id": "r"}
RUN_IDS = {"task_id": "t", "workflow_run_id": "r"}


def event(name: str, ids: dict[str, str] = CHAT_IDS, **own: Any) -> dict[str, Any]:
    return {"event": name, **ids, **own}


def finished(ids: dict[str, str] = FLOW_IDS, **data: Any) -> dict[str, Any]:
    return event("workflow_finished", ids, data={"status": "succeeded", **data})


def collect(
    *events: dict[str, Any], mode: str = "chat", answer_output: str = ""
) -> StreamCollector:
    collector = StreamCollector(mode=mode, answer_output=answer_output)
    for item in events:
        collector.feed(item)
    return collector


def reply(*events: dict[str, Any], mode: str = "chat", output: str = "") -> DifyReply:
    return collect(*events, mode=mode, answer_output=output).result()


def test_closing_copy_of_mode_agent_replaces() -> None:
    events = [
        event("agent_message", answer="Hel"),
        event("agent_message", answer="lo"),
        event("message", answer="Hello"),
        event("message_end"),
    ]

    assert reply(*events, mode="agent").answer == "Hello"


def test_empty_closing_copy_of_mode_agent_replaces_nothing() -> None:
    events = [
        event("agent_message", answer="Hello"),
        event("message", answer=""),
        event("message_end"),
    ]

    assert reply(*events, mode="agent").answer == "Hello"


def test_canned_reply_of_an_agent_is_added_up() -> None:
    events = [
        event("agent_message", answer="Hel"),
        event("message", answer="lo"),
        event("message_end"),
    ]

    assert reply(*events, mode="agent-chat").answer == "Hello"


def test_thoughts_are_never_part_of_the_answer() -> None:
    events = [
        event("agent_thought", id="1", position=1, thought="", tool=""),
        event("agent_message", answer="Hi"),
        event("agent_thought", id="1", position=1, thought="Hi", tool="look_up"),
        event("message_end"),
    ]

    result = reply(*events, mode="agent-chat")

    assert result.answer == "Hi"
    assert [(s.thought, s.tool) for s in result.steps] == [("Hi", "look_up")]


def test_text_in_the_disguise_of_a_file_is_text() -> None:
    """message_cycle_manager.py of 1.14: after a file, deltas come so."""
    events = [
        event("message", answer="See "),
        event("message_file", id="f", type="image", belongs_to="assistant", url="/f"),
        event("message_file", id="m", answer="this."),
        event("message_end", files=None),
    ]

    result = reply(*events)

    assert result.answer == "See this."
    assert [file.id for file in result.files] == ["f"]


def test_customers_own_uploads_are_no_files_of_the_reply() -> None:
    events = [
        event("message_file", id="u", type="image", belongs_to="user", url="/u"),
        event("message", answer="Nice."),
        event("message_end", files=[{"related_id": "u", "url": "/u", "type": "image"}]),
    ]

    assert reply(*events).files == ()


def test_files_of_a_chatflow_come_with_either_end() -> None:
    item = {"related_id": "f", "url": "/f", "type": "document", "filename": "a.pdf"}
    events = [
        event("workflow_started", FLOW_IDS, data={}),
        event("message_end", FLOW_IDS, files=[item]),
        finished(files=[item, {"related_id": "g", "url": "/g"}]),
    ]

    files = reply(*events, mode="advanced-chat").files

    assert [(file.id, file.filename) for file in files] == [("f", "a.pdf"), ("g", "")]


def test_replacement_drops_what_was_said_and_ends_nothing() -> None:
    events = [
        event("message", answer="Bad words"),
        event("message_replace", answer="I cannot say that.", reason=""),
    ]

    collector = collect(*events)

    assert collector.text_so_far() == "I cannot say that."
    assert not collector.is_finished


def test_replacement_between_the_two_ends_counts() -> None:
    """0.15 and 1.12 moderate after `workflow_finished`."""
    events = [
        event("workflow_started", FLOW_IDS, data={}),
        event("message", FLOW_IDS, answer="Bad words"),
        finished(),
        event("message_replace", FLOW_IDS, answer="I cannot say that."),
        event("message_end", FLOW_IDS),
    ]

    assert reply(*events, mode="advanced-chat").answer == "I cannot say that."


def test_canned_reply_of_a_chatflow_ends_with_message_end() -> None:
    """Annotation or moderation: no workflow events, and the socket stays open."""
    collector = collect(
        event("message", answer="We are closed."),
        event("message_end"),
        mode="advanced-chat",
    )

    assert collector.is_finished
    assert collector.result().answer == "We are closed."


def test_failure_made_up_after_a_canned_reply_changes_nothing() -> None:
    """Newest main appends a synthetic failed workflow to canned replies."""
    events = [
        event("message", answer="We are closed."),
        event("message_end"),
        event("workflow_started", RUN_IDS, data={}),
        finished(RUN_IDS, status="failed", error="ended without a terminal event"),
    ]

    result = reply(*events, mode="advanced-chat")

    assert result.is_answer
    assert result.ids == StreamIds(**CHAT_IDS)


def test_message_end_means_success_whatever_follows() -> None:
    events = [
        event("workflow_started", FLOW_IDS, data={}),
        event("message", FLOW_IDS, answer="Hi"),
        event("message_end", FLOW_IDS),
        finished(status="failed", error="late"),
    ]

    assert reply(*events, mode="advanced-chat").answer == "Hi"


def test_chatflow_waits_for_details_after_message_end() -> None:
    collector = collect(
        event("workflow_started", FLOW_IDS, data={}),
        event("message", FLOW_IDS, answer="Hi"),
        event("message_end", FLOW_IDS),
        mode="advanced-chat",
    )

    assert collector.has_ended
    assert not collector.is_finished
    assert collector.result().finished_by == "message_end"


def test_chatflow_waits_for_moderation_after_workflow_finished() -> None:
    collector = collect(
        event("workflow_started", FLOW_IDS, data={}),
        event("message", FLOW_IDS, answer="Hi"),
        finished(),
        mode="advanced-chat",
    )

    assert collector.awaits_message_end
    assert not collector.has_ended
    assert not collector.is_finished


@pytest.mark.parametrize(
    ("status", "error"),
    [("stopped", ""), ("failed", "Aborted: User requested stop")],
)
def test_stopped_run_is_no_answer(status: str, error: str) -> None:
    result = reply(
        event("message", FLOW_IDS, answer="Half of"),
        finished(status=status, error=error),
        mode="advanced-chat",
    )

    assert result.outcome is Outcome.STOPPED
    assert not result.is_answer
    assert result.answer == "Half of"


def test_unknown_status_of_a_workflow_is_refused() -> None:
    with pytest.raises(DifyUnexpectedReply, match="“exploded”"):
        collect(finished(status="exploded"), mode="advanced-chat")


def test_error_without_status_is_a_failure_of_the_server() -> None:
    collector = collect(event("error", code="", message="Oops"))

    with pytest.raises(UpstreamError) as caught:
        collector.result()
    assert caught.value.retryable


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("code", ["unauthorized", "app_not_found"])
def test_refusal_within_a_stream_is_not_that_of_the_key(status: int, code: str) -> None:
    """The key was accepted when the stream began."""
    collector = collect(event("error", code=code, status=status, message="no"))

    with pytest.raises(DifyRejected) as caught:
        collector.result()
    assert not isinstance(caught.value, Unauthorized)


def test_nothing_counts_after_the_end() -> None:
    collector = collect(event("message_end"), event("message", answer="late"))

    assert collector.result().answer == ""


def test_ids_grow_and_never_change() -> None:
    collector = collect(
        event("message", {"conversation_id": "c"}, answer=""),
        event("message", {**FLOW_IDS, "conversation_id": "other"}, answer=""),
    )

    assert collector.ids == StreamIds(**FLOW_IDS)


def test_pings_are_no_events() -> None:
    collector = collect({"event": "ping"}, {})

    assert not collector.has_begun


@pytest.mark.parametrize(
    "name", ["agent_log", "tts_message", "node_retry", "brand_new"]
)
def test_other_events_are_ignored(name: str) -> None:
    collector = collect(event(name, audio="", data={"status": 5}))

    assert collector.has_begun
    assert collector.text_so_far() == ""


def test_thinking_split_over_deltas_is_parted() -> None:
    deltas = ["<th", "ink>h", "m</thi", "nk>\n\nHel", "lo"]
    events = [event("message", answer=delta) for delta in deltas]

    result = reply(*events, event("message_end"))

    assert (result.answer, result.thinking) == ("Hello", "hm")


def test_separated_reasoning_is_thinking() -> None:
    events = [
        event("reasoning_chunk", FLOW_IDS, data={"reasoning": "h"}),
        event("reasoning_chunk", FLOW_IDS, data={"reasoning": "m"}),
        event("message", FLOW_IDS, answer="Hello"),
        event("message_end", FLOW_IDS),
    ]

    assert reply(*events, mode="advanced-chat").thinking == "hm"


@pytest.mark.parametrize(
    ("outputs", "wanted", "answer"),
    [
        ({"text": "a", "other": "b"}, "", "a"),
        ({"answer": "a", "other": "b"}, "", "a"),
        ({"result": "a", "code": 200}, "", "a"),
        ({"label": "refund", "score": 0.9}, "", "refund"),
        ({"text": "a", "label": "refund"}, "label", "refund"),
        ({"n": 5}, "n", "5"),
        ({"n": None}, "n", ""),
        ({"n": {"ü": 1}}, "n", '{"ü": 1}'),
        ({}, "", "chunks"),
        ({"score": 1}, "", "chunks"),
        ({"one": "a", "two": "b"}, "", "chunks"),
        ({"text": "<think>hm</think>a"}, "", "a"),
        ({"text": ""}, "", ""),
    ],
)
def test_answer_of_a_workflow(
    outputs: dict[str, Any], wanted: str, answer: str
) -> None:
    events = [
        event("workflow_started", RUN_IDS, data={}),
        event("text_chunk", RUN_IDS, data={"text": "gone"}),
        event("text_replace", RUN_IDS, data={"text": "chu"}),
        event("text_chunk", RUN_IDS, data={"text": "nks"}),
        finished(RUN_IDS, outputs=outputs),
    ]

    assert reply(*events, mode="workflow", output=wanted).answer == answer


@pytest.mark.parametrize(
    ("outputs", "wanted", "names"),
    [({"one": "a", "two": "b"}, "", "one, two"), ({}, "answer", "none")],
)
def test_unclear_answer_of_a_workflow_names_the_outputs(
    outputs: dict[str, Any], wanted: str, names: str
) -> None:
    collector = collect(
        finished(RUN_IDS, outputs=outputs), mode="workflow", answer_output=wanted
    )

    with pytest.raises(DifyUnexpectedReply, match=names) as caught:
        collector.result()
    assert caught.value.code == "answer_output"


def test_workflow_is_finished_at_once() -> None:
    collector = collect(finished(RUN_IDS, total_tokens=7), mode="workflow")

    assert collector.is_finished
    usage = collector.result().usage
    assert usage is not None
    assert usage.total_tokens == 7


def test_price_of_an_iteration_is_not_counted_twice() -> None:
    def node(kind: str, price: str) -> dict[str, Any]:
        metadata = {"total_price": price, "currency": "USD"}
        data = {"node_type": kind, "execution_metadata": metadata}
        return event("node_finished", RUN_IDS, data=data)

    result = reply(
        node("llm", "0.1"),
        node("llm", "0.2"),
        node("iteration", "0.3"),
        finished(RUN_IDS, outputs={}, total_tokens=7),
        mode="workflow",
    )

    assert result.usage is not None
    assert result.usage.total_price == Decimal("0.3")


@pytest.mark.parametrize("price", ["NaN", "Infinity", "1E+999", "free", None, [], True])
def test_odd_price_costs_nothing_and_loses_nothing(price: Any) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_price": price}

    result = reply(
        event("message", answer="Hi"), event("message_end", metadata={"usage": usage})
    )

    assert result.answer == "Hi"
    assert result.usage is not None
    assert result.usage.total_price == 0
    assert result.usage.total_tokens == 3


def test_what_cannot_be_stored_is_taken_out_of_outputs() -> None:
    result = reply(
        finished(RUN_IDS, outputs={"text": "a\x00b", "list": ["\ud83d", {"k\x00": 1}]}),
        mode="workflow",
    )

    assert result.answer == "ab"
    assert result.outputs == {"text": "ab", "list": ["�", {"k": 1}]}


@pytest.mark.parametrize(
    "data", [b"[DONE]", b"[]", b"5", b"\xff", b'{"event": ', b"[" * 100_000]
)
def test_data_that_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(DifyUnexpectedReply):
        StreamCollector(mode="chat").feed_data(data)


def test_answer_that_is_no_text_is_refused() -> None:
    with pytest.raises(DifyUnexpectedReply, match="`answer` is not a text"):
        collect(event("message", answer={"text": "Hi"}))


def test_node_events_are_skipped_only_once_the_ids_are_known() -> None:
    collector = StreamCollector(mode="advanced-chat")
    node = json.dumps(event("node_started", FLOW_IDS, data={})).encode()
    broken = b'{"event":"node_finished","data":{'

    with pytest.raises(DifyUnexpectedReply):
        collector.feed_data(broken)
    collector.feed_data(node)
    collector.feed_data(broken)

    assert collector.ids == StreamIds(**FLOW_IDS)


def test_failure_of_a_flow_keeps_the_reason_for_operators_only() -> None:
    collector = collect(
        finished(status="failed", error="http://10.0.0.1 refused"),
        mode="advanced-chat",
    )

    with pytest.raises(DifyRejected) as caught:
        collector.result()
    assert caught.value.excerpt == "http://10.0.0.1 refused"
    assert "10.0.0.1" not in str(caught.value)
    assert caught.value.ids == StreamIds(**FLOW_IDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    ),
    max_leaves=3,
)
NAMES = st.sampled_from(
    [
        *("message", "agent_message", "message_end", "message_file", "message_replace"),
        *("agent_thought", "workflow_started", "workflow_finished", "workflow_paused"),
        *("human_input_required", "text_chunk", "text_replace", "node_finished"),
        *("reasoning_chunk", "error", "ping"),
    ]
)
KEYS = st.sampled_from(
    [
        *("answer", "data", "files", "metadata", "id", "status", "code", "message"),
        *("task_id", "conversation_id", "message_id", "workflow_run_id", "url"),
    ]
)
DATA_KEYS = st.sampled_from(
    ["status", "outputs", "error", "text", "reasons", "files", "total_tokens"]
)
EVENTS = st.builds(
    lambda name, own: {**own, "event": name},
    NAMES,
    st.dictionaries(
        KEYS, JSON | st.dictionaries(DATA_KEYS, JSON, max_size=3), max_size=4
    ),
)


# No deadline: a busy machine is no failure.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(EVENTS, max_size=4), mode=st.sampled_from(list(AppMode)))
def test_junk_gives_a_reply_or_an_error_of_ours(
    events: list[dict[str, Any]], mode: AppMode
) -> None:
    collector = StreamCollector(mode=mode)
    try:
        for item in events:
            collector.feed_data(json.dumps(item).encode())
        result = collector.result()
    except UpstreamError:
        return
    assert isinstance(result.answer, str)
    result.answer.encode()
