"""Parses what Dify has stored of a run, for picking up one that was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from json import loads

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.failures import DifyUnexpectedReply
from dify_api.outputs import select_answer
from dify_api.payloads import DifyFile, StoredMessage, StoredRun, parse_file
from dify_api.reading import (
    as_object,
    clean_text,
    integer,
    malformed,
    objects,
    required_text,
    scrub,
    text,
)
from dify_api.thinking import split_thinking


def parse_message(body: JsonValue, *, message_id: str) -> StoredMessage | None:
    """Return one message of GET /messages, None when it is not on the page."""
    page = as_object(body, name="/messages")
    if not isinstance(page.get("data"), list):
        raise malformed("/messages has no list `data`")
    for item in objects(page["data"]):
        if text(item, "id") == message_id:
            answer, thinking = split_thinking(required_text(item, "answer"))
            return StoredMessage(
                id=message_id,
                answer=answer,
                thinking=thinking,
                status=text(item, "status"),
                error=clean_text(text(item, "error")),
                files=_files(_made_by_the_app(item.get("message_files"))),
            )
    return None


def parse_run(
    body: JsonValue,
    *,
    answer_output: str,
    is_workflow: bool = True,
    may_be_stuck: bool = False,
) -> StoredRun:
    """Parse GET /workflows/run/:id; the answer is "" unless the run succeeded."""
    run = as_object(body, name="/workflows/run")
    outputs = _outputs(run.get("outputs"))
    status = required_text(run, "status")
    found: str | None = ""
    if status in {"succeeded", "partial-succeeded"}:
        select = _workflow_answer if is_workflow else _chatflow_answer
        found = select(outputs, wanted=answer_output)
    answer, thinking = (None, "") if found is None else split_thinking(found)
    return StoredRun(
        id=required_text(run, "id"),
        status=status,
        answer=answer,
        thinking=thinking,
        outputs=as_object(scrub(outputs), name="outputs"),
        error=clean_text(text(run, "error")),
        total_tokens=integer(run, "total_tokens"),
        files=_files(_files_among(outputs)),
        may_be_stuck=may_be_stuck,
    )


def _workflow_answer(outputs: JsonObject, *, wanted: str) -> str | None:
    """Choose as for a stream; None where only streamed text could tell."""
    try:
        return select_answer(outputs, wanted=wanted)
    except DifyUnexpectedReply:
        if wanted:
            raise
        return None


def _chatflow_answer(outputs: JsonObject, *, wanted: str) -> str | None:
    """Return the one output that chatflows have, whatever output is wanted."""
    answer = outputs.get("answer")
    return answer if isinstance(answer, str) else None


def _files(found: Iterator[JsonObject]) -> tuple[DifyFile, ...]:
    return tuple(file for item in found if (file := parse_file(item)) is not None)


def _made_by_the_app(files: JsonValue) -> Iterator[JsonObject]:
    """Yield the files of a message without the customer's own."""
    for item in objects(files):
        if text(item, "belongs_to") == "assistant":
            yield item


def _files_among(outputs: JsonObject) -> Iterator[JsonObject]:
    for value in outputs.values():
        for item in objects(value if isinstance(value, list) else [value]):
            if text(item, "dify_model_identity") == "__dify__file__":
                yield item


def _outputs(value: JsonValue) -> JsonObject:
    """Return the outputs; 0.15 sends them as JSON text (recording workflow/04)."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError as err:
            raise malformed("`outputs` is not JSON") from err
    return as_object(value, name="outputs")
