"""Answers of real Dify servers become our types."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.failures import DifyUnexpectedReply
from dify_api.payloads import (
    AppInfo,
    FileUpload,
    InputField,
    InputFile,
    parse_info,
    parse_parameters,
)
from dify_api.reading import malformed
from dify_api.stored import parse_message, parse_run
from dify_api.tests import recorded


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("0.15.3/meta/01_info", AppInfo(name="echo", mode="")),
        ("0.15.3/llm/18_info_chat", AppInfo(name="chat_llm", mode="")),
        ("1.12.1/meta/01_info", AppInfo(name="echo", mode="advanced-chat")),
        ("1.14.2/meta/01_info", AppInfo(name="echo", mode="advanced-chat")),
        ("1.14.2/workflow/06_info", AppInfo(name="wf", mode="workflow")),
    ],
)
def test_info(name: str, info: AppInfo) -> None:
    assert parse_info(recorded.body(name)) == info


def _field(variable: str, kind: str, **own: Any) -> InputField:
    return InputField(variable=variable, label=variable, kind=kind, **own)


def test_parameters_of_a_chatflow() -> None:
    parameters = parse_parameters(recorded.body("1.14.2/meta/02_parameters"))

    assert parameters.inputs == (
        _field("chatwoot_conversation_id", "text-input", max_length=48),
        _field("contact_name", "text-input", max_length=48),
        _field("score", "number", max_length=48),
        _field("flag", "checkbox", max_length=48),
        _field("extra", "json_object", max_length=48),
        _field("long_text", "paragraph"),
    )
    assert parameters.file_upload == FileUpload(
        enabled=True,
        kinds=("image", "document", "custom"),
        extensions=(".txt", ".md", ".bin"),
        methods=("local_file", "remote_url"),
        max_files=3,
    )
    assert parameters.opening_statement == "Hi, I am echo."


@pytest.mark.parametrize("version", ["0.15.3", "1.12.1", "1.14.2"])
def test_required_inputs_are_told_in_all_versions(version: str) -> None:
    body = recorded.body(f"{version}/meta/08_parameters_inputs")

    required = [f.variable for f in parse_parameters(body).inputs if f.required]

    assert required == ["chatwoot_conversation_id"]


def test_parameters_of_a_chat_app() -> None:
    parameters = parse_parameters(recorded.body("0.15.3/llm/19_parameters_chat"))

    assert parameters.inputs[0] == _field(
        "contact_name", "text-input", max_length=48, default=""
    )
    assert parameters.file_upload == FileUpload(
        enabled=False,
        kinds=("image",),
        methods=("remote_url", "local_file"),
        max_files=3,
    )


def test_parameters_are_the_same_after_being_stored() -> None:
    parameters = parse_parameters(recorded.body("1.14.2/meta/02_parameters"))

    assert parse_parameters(parameters.raw) == parameters


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"user_input_form": {}},
        {"user_input_form": [5]},
        {"user_input_form": [{}]},
        {"user_input_form": [{"text-input": 5}]},
        {"user_input_form": [{"text-input": {"variable": 5}}]},
    ],
)
def test_malformed_parameters_are_refused(body: Any) -> None:
    with pytest.raises(DifyUnexpectedReply):
        parse_parameters(body)


@pytest.mark.parametrize(
    "body", [None, "x", {}, {"name": 5}, {"name": "a", "mode": []}]
)
def test_malformed_info_is_refused(body: Any) -> None:
    with pytest.raises(DifyUnexpectedReply):
        parse_info(body)


@pytest.mark.parametrize(
    ("version", "answer", "is_answer"),
    [
        # The client had gone away; only 1.14 went on to store the answer.
        ("0.15.3", "", False),
        ("1.12.1", "", False),
        ("1.14.2", 'slept: {"ok": true, "path": "/slow/5", "code": 200}', True),
    ],
)
def test_stored_message_of_a_cut_off_run(
    version: str, answer: str, is_answer: bool
) -> None:
    body = recorded.body(f"{version}/lifecycle/05_messages_after_disconnect")
    message_id = body["data"][0]["id"]

    message = parse_message(body, message_id=message_id)

    assert message is not None
    assert (message.answer, message.status) == (answer, "normal")
    assert message.is_answer is is_answer
    assert parse_message(body, message_id="other") is None


def test_failed_message_is_no_answer() -> None:
    item: JsonObject = {
        "id": "m",
        "answer": "<think>a</think>b",
        "status": "error",
        "error": "e",
    }

    message = parse_message({"data": [item]}, message_id="m")

    assert message is not None
    assert (message.answer, message.thinking, message.error) == ("b", "a", "e")
    assert not message.is_answer


@pytest.mark.parametrize("version", ["0.15.3", "1.12.1", "1.14.2"])
def test_stored_workflow_run(version: str) -> None:
    """0.15 sends `outputs` as JSON text, newer versions as an object."""
    run = parse_run(
        recorded.body(f"{version}/workflow/04_run_detail"), answer_output=""
    )

    assert run.answer == '{"ok": true, "path": "/wf/7", "code": 200}'
    assert run.outputs == {"result": run.answer, "code": 200}
    assert run.is_answer
    assert run.is_finished


@pytest.mark.parametrize(
    ("status", "is_finished"),
    [("running", False), ("paused", False), ("failed", True), ("stopped", True)],
)
def test_stored_run_without_success_is_no_answer(
    status: str, is_finished: bool
) -> None:
    body: JsonObject = {"id": "r", "status": status, "outputs": None, "error": "e"}

    run = parse_run(body, answer_output="answer")

    assert (run.answer, run.error, run.is_answer) == ("", "e", False)
    assert run.is_finished is is_finished


def test_files_of_a_stored_message_are_those_of_the_app() -> None:
    files: list[JsonValue] = [
        {"id": "up", "belongs_to": "user", "url": "/files/up"},
        {"id": "own", "belongs_to": "assistant", "url": "/files/own"},
    ]
    item: JsonObject = {"id": "m", "answer": "b", "message_files": files}

    message = parse_message({"data": [item]}, message_id="m")

    assert message is not None
    assert [file.id for file in message.files] == ["own"]


def test_files_of_a_stored_run_are_found_among_its_outputs() -> None:
    def file(name: str) -> JsonObject:
        return {"dify_model_identity": "__dify__file__", "id": name, "url": f"/{name}"}

    outputs: JsonObject = {
        "files": [file("a"), file("b")],
        "cover": file("c"),
        "other": {"id": "d", "url": "/d"},
        "text": "Here",
    }

    run = parse_run(
        {"id": "r", "status": "succeeded", "outputs": outputs}, answer_output=""
    )

    assert [found.id for found in run.files] == ["a", "b", "c"]


def test_answer_that_only_the_stream_could_tell_is_none() -> None:
    body: JsonObject = {
        "id": "r",
        "status": "succeeded",
        "outputs": {"one": "1", "two": "2"},
    }

    assert parse_run(body, answer_output="").answer is None
    assert parse_run(body, answer_output="two").answer == "2"
    with pytest.raises(DifyUnexpectedReply, match="has no output “three”"):
        parse_run(body, answer_output="three")


@pytest.mark.parametrize("enabled", [True, False])
def test_moderation_is_known(enabled: bool) -> None:
    body = recorded.body("1.14.2/meta/02_parameters")
    body["sensitive_word_avoidance"] = {"enabled": enabled, "config": {"words": "x"}}

    read = parse_parameters(body)

    assert read.moderated is enabled
    assert read.raw["sensitive_word_avoidance"] == {"enabled": enabled}


@pytest.mark.parametrize("body", [None, {"data": {}}, {}])
def test_malformed_page_of_messages_is_refused(body: Any) -> None:
    with pytest.raises(DifyUnexpectedReply):
        parse_message(body, message_id="m")


@pytest.mark.parametrize("outputs", ["{", "[]", [], 5])
def test_malformed_outputs_of_a_run_are_refused(outputs: Any) -> None:
    with pytest.raises(DifyUnexpectedReply):
        parse_run(
            {"id": "r", "status": "succeeded", "outputs": outputs}, answer_output=""
        )


def test_files_are_sent_by_id_or_address() -> None:
    assert InputFile(kind="image", upload_file_id="f").to_json() == {
        "type": "image",
        "transfer_method": "local_file",
        "upload_file_id": "f",
    }
    assert InputFile(kind="audio", url="https://x/y").to_json() == {
        "type": "audio",
        "transfer_method": "remote_url",
        "url": "https://x/y",
    }


def test_an_error_that_quotes_dify_can_be_stored() -> None:
    error = malformed("the status is “\x00\ud800”")

    assert "\x00" not in str(error)
    str(error).encode()
