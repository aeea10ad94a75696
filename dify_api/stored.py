"""Parses what Dify has stored of a run, for picking up one that was cut off."""

from __future__ import annotations

from json import loads

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.outputs import select_answer
from dify_api.payloads import StoredMessage, StoredRun
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
            )
    return None


def parse_run(body: JsonValue, *, answer_output: str) -> StoredRun:
    """Parse GET /workflows/run/:id; the answer is "" unless the run succeeded."""
    run = as_object(body, name="/workflows/run")
    outputs = _outputs(run.get("outputs"))
    status = required_text(run, "status")
    answer = thinking = ""
    if status in {"succeeded", "partial-succeeded"}:
        answer, thinking = split_thinking(select_answer(outputs, wanted=answer_output))
    return StoredRun(
        id=required_text(run, "id"),
        status=status,
        answer=answer,
        thinking=thinking,
        outputs=as_object(scrub(outputs), name="outputs"),
        error=clean_text(text(run, "error")),
        total_tokens=integer(run, "total_tokens"),
    )


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
