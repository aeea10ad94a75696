"""Every recorded stream of three Dify versions, cut in every way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal

import pytest

from dify_api.failures import (
    DifyError,
    DifyRejected,
    DifyUnavailable,
    InvalidInputs,
)
from dify_api.payloads import Outcome
from dify_api.tests import recorded

TOGGLED = '{"ok": true, "path": "/api/toggle-status/42/", "code": 200}'
RETRIES = "Reached maximum retries (0) for URL http://127.0.0.1:8799/status/500"
RETRIES_1_14 = "Reached maximum retries for URL http://127.0.0.1:8799/status/500"


@dataclass(frozen=True)
class Reply:
    """A run that did not fail."""

    answer: str
    mode: str = "advanced-chat"
    outcome: Outcome = Outcome.ANSWERED
    partial: bool = False
    total_tokens: int = 0


@dataclass(frozen=True)
class Failed:
    """A run that failed with this class, code and excerpt."""

    kind: type[DifyError]
    code: str
    excerpt: str
    mode: str = "advanced-chat"


@dataclass(frozen=True)
class Unfinished:
    """A stream that does not tell how the run ended; `text` is what there is of it."""

    text: str
    has_begun: bool


SILENT = Unfinished("", has_begun=False)
STOPPED = Reply("slept:", outcome=Outcome.STOPPED)
NODE_500 = Failed(DifyRejected, "run_failed", RETRIES)
NODE_500_1_14 = Failed(DifyRejected, "run_failed", RETRIES_1_14)
SANDBOX_DOWN = Failed(
    DifyRejected, "run_failed", "Failed to execute code, which is likely a network"
)
MODEL_FAILED = "completion_request_error: [openai_api_compatible] Error: API request "
WORKFLOW = Reply('{"ok": true, "path": "/wf/7", "code": 200}', mode="workflow")

# The same in all three versions.
ALIKE: dict[str, Reply | Failed | Unfinished] = {
    "callback/02_callback_streaming": Reply(
        'bridge said 200: {"ok": true, "path": "/toggle-status/42", "code": 200}'
    ),
    "callback/04_bridge_500_streaming": NODE_500,
    "callback/12_failbranch_500_streaming": Reply(
        f"FAILED HttpRequestNodeError: {RETRIES}", partial=True
    ),
    "callback/15_retry_streaming_500": NODE_500,
    "chat/02_echo_streaming_first_turn": Reply("echo: Hello stream 🙂"),
    "chat/03_echo_streaming_second_turn": Reply("echo: second"),
    "chat/04_two_answers_streaming": Reply(
        "part one qpart two 200\n\n**bold** ünïcödé 🙂"
    ),
    "chat/09_ping_streaming_13s": Reply(
        'slept: {"ok": true, "path": "/slow/13", "code": 200}'
    ),
    "chat/11_empty_answer_streaming": Reply(""),
    "custom_tools/29_tool_node_chat_streaming": Reply(f"tool said {TOGGLED}"),
    "files/26_chat_file_streaming": Reply("echo: see"),
    "lifecycle/03_stopped_stream": STOPPED,
    "lifecycle/04_client_disconnect": Unfinished("slept: ", has_begun=True),
    "node_errors/02_template_no_sandbox_streaming": SANDBOX_DOWN,
    "workflow/02_run_streaming": WORKFLOW,
}
EXPECTED: dict[str, Reply | Failed | Unfinished] = {
    **{f"{v}/{n}": e for v in ("0.15.3", "1.12.1", "1.14.2") for n, e in ALIKE.items()},
    # A model was there in 0.15.3 only.
    "0.15.3/llm/03_chat_streaming": Reply(
        "LLM says: Hello streaming LLM 🙂", mode="chat", total_tokens=15
    ),
    "0.15.3/llm/06_agent_streaming": Reply(
        "LLM says: hi", mode="agent-chat", total_tokens=15
    ),
    # Its own total is 0.
    "0.15.3/llm/07_agent_tool_streaming": Reply(
        f"Tool result was: {TOGGLED}", mode="agent-chat", total_tokens=30
    ),
    "0.15.3/llm/09_flow_llm_streaming": Reply("LLM says: hi", total_tokens=15),
    "0.15.3/llm/11_chat_llm_500_streaming": Failed(
        DifyUnavailable,
        "model_call_failed",
        f"{MODEL_FAILED}failed with status code 500",
        mode="chat",
    ),
    "0.15.3/llm/13_chat_llm_429_streaming": Failed(
        DifyUnavailable,
        "model_call_failed",
        f"{MODEL_FAILED}failed with status code 429",
        mode="chat",
    ),
    "0.15.3/llm/14_flow_llm_500_streaming": Failed(
        DifyRejected,
        "run_failed",
        "[openai_api_compatible] Error: API request failed with status code 500",
    ),
    "1.12.1/node_errors/05_llm_no_plugin_daemon_streaming": Failed(
        DifyRejected, "run_failed", "Failed to request plugin daemon, url: plugin/"
    ),
    # 1.14.2 words the retries anew, fails before the graph, and hangs in silence.
    "1.14.2/callback/04_bridge_500_streaming": NODE_500_1_14,
    "1.14.2/callback/12_failbranch_500_streaming": Reply(
        f"FAILED HttpRequestNodeError: {RETRIES_1_14}", partial=True
    ),
    "1.14.2/callback/15_retry_streaming_500": NODE_500_1_14,
    "1.14.2/node_errors/05_llm_no_plugin_daemon_streaming": Failed(
        DifyUnavailable,
        "plugin_daemon",
        "invalid_param: Failed to request plugin daemon, url: plugin/",
    ),
    "1.14.2/conversations/02_wrong_user_chat_streaming": SILENT,
    "1.14.2/conversations/24_chat_deleted_streaming": SILENT,
    "1.14.2/conversations/29_unknown_conversation_streaming_to_the_end": SILENT,
    "1.14.2/inputs/19_missing_required_streaming": SILENT,
    "1.14.2/workflow/07_run_missing_input_streaming": SILENT,
    "composed/agent_stream": Reply(
        "Let me look that order up. Order 1042 has shipped and should arrive on 24 "
        "August.",
        mode="agent-chat",
        total_tokens=1551,
    ),
    "composed/chat_stream": Reply(
        "You can return an item within **30 days** – naïve café ✓.",
        mode="chat",
        total_tokens=831,
    ),
    "composed/chatflow_paused": Reply(
        "A colleague has to approve this first.", outcome=Outcome.PAUSED
    ),
    "composed/chatflow_stream": Reply(
        "Hi Ana, your parcel is on its way.", total_tokens=413
    ),
    "composed/stream_error": Failed(
        DifyUnavailable,
        "model_call_failed",
        "completion_request_error: [openai] Rate Limit Error",
        mode="chat",
    ),
    "composed/stream_error_chatflow_failed": Failed(
        DifyRejected, "run_failed", "Request failed with status code 404"
    ),
    "composed/stream_error_prerun_synthetic": Failed(
        InvalidInputs, "invalid_inputs", "channel is required in input form"
    ),
    "composed/stream_message_replace": Reply(
        "I cannot help with that.", mode="chat", total_tokens=96
    ),
    "composed/workflow_stream": Reply("refund", mode="workflow", total_tokens=89),
}
# What comes last of a run that is complete, for each order of events.
LAST_EVENT = {
    "0.15.3": "message_end",
    "1.12.1": "message_end",
    "1.14.2": "workflow_finished",
}


def test_each_recording_has_its_expectation() -> None:
    assert sorted(EXPECTED) == recorded.all_streams()


@pytest.mark.parametrize("size", [1, 7, 64, 0, 1 << 20])
@pytest.mark.parametrize("name", recorded.all_streams())
def test_stream_is_read_as_expected_however_it_is_cut(name: str, size: int) -> None:
    expected = EXPECTED[name]
    data = recorded.stream(name)
    mode = "advanced-chat" if isinstance(expected, Unfinished) else expected.mode

    collector = recorded.collect(data, mode=mode, size=size)

    assert asdict(collector.ids) == recorded.first_ids(data)
    if isinstance(expected, Unfinished):
        assert not collector.is_finished
        assert not collector.has_ended
        assert not collector.awaits_message_end
        assert collector.has_begun is expected.has_begun
        assert collector.text_so_far() == expected.text
        return
    assert collector.is_finished
    if isinstance(expected, Failed):
        with pytest.raises(DifyError) as caught:
            collector.result()
        assert type(caught.value) is expected.kind
        assert caught.value.code == expected.code
        assert caught.value.excerpt.startswith(expected.excerpt)
        assert caught.value.ids == collector.ids
        return
    reply = collector.result()
    assert reply.answer == expected.answer
    assert reply.outcome is expected.outcome
    assert reply.partial is expected.partial
    assert (reply.usage.total_tokens if reply.usage else 0) == expected.total_tokens
    assert reply.thinking == ""


@pytest.mark.parametrize("version", LAST_EVENT)
def test_chatflow_ends_with_the_later_event_of_either_order(version: str) -> None:
    data = recorded.stream(f"{version}/chat/02_echo_streaming_first_turn")

    reply = recorded.collect(data, mode="advanced-chat").result()

    assert reply.finished_by == LAST_EVENT[version]
    assert reply.outputs["answer"] == "echo: Hello stream 🙂"
    assert reply.usage is not None
    assert reply.usage.currency == "USD"


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat"])
@pytest.mark.parametrize("version", LAST_EVENT)
def test_chatflow_is_read_alike_under_any_chat_mode(version: str, mode: str) -> None:
    """Dify 0.15 does not tell the mode, so it may be stored as a plain chat."""
    data = recorded.stream(f"{version}/chat/04_two_answers_streaming")

    reply = recorded.collect(data, mode=mode).result()

    assert reply.answer == "part one qpart two 200\n\n**bold** ünïcödé 🙂"
    assert reply.finished_by == LAST_EVENT[version]


def test_agent_steps_are_kept_apart_from_the_answer() -> None:
    data = recorded.stream("0.15.3/llm/07_agent_tool_streaming")

    steps = recorded.collect(data, mode="agent-chat").result().steps

    assert [(step.position, step.tool) for step in steps] == [
        (1, "toggle_status"),
        (2, ""),
    ]
    assert "42" in steps[0].tool_input
    assert steps[0].observation.startswith('{"toggle_status":')


def test_agent_file_is_a_file_of_the_reply() -> None:
    data = recorded.stream("composed/agent_stream")

    reply = recorded.collect(data, mode="agent-chat").result()

    (file,) = reply.files
    assert file.id == "d8e6c4a2-0b1f-4d3e-95a7-8c6b4f2e1706"
    assert file.kind == "image"
    assert file.filename == "2b9d6f10-3e54-4c87-a9b1-0d8c7e6f5a07.png"
    assert file.url.endswith("sign=QU5PVEhFUl9TSUdOQVRVUkU")


def test_price_comes_from_message_end() -> None:
    reply = recorded.collect(
        recorded.stream("composed/chat_stream"), mode="chat"
    ).result()

    assert reply.usage is not None
    assert reply.usage.total_price == Decimal("0.0001332")
    assert reply.usage.prompt_tokens == 812
    assert reply.usage.completion_tokens == 19


def test_price_of_a_workflow_is_added_up_from_its_nodes() -> None:
    data = recorded.stream("composed/workflow_stream")

    reply = recorded.collect(data, mode="workflow").result()

    assert reply.usage is not None
    assert reply.usage.total_price == Decimal("0.0000138")
    assert reply.usage.currency == "USD"


def test_pause_says_what_it_waits_for() -> None:
    data = recorded.stream("composed/chatflow_paused")

    reply = recorded.collect(data, mode="advanced-chat").result()

    assert reply.paused
    assert not reply.is_answer
    (pause,) = reply.pauses
    assert pause.form_token == "hit_3kQ9ZpW7"
    assert pause.content == "Refund 20 EUR to Ana?"
    assert pause.actions == (("approve", "Approve"), ("reject", "Reject"))
