"""Reads the body of a run request, with the validation texts of each version."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sandbox.dify import errors
from sandbox.dify.server import user_of
from sandbox.dify.versions import Version
from sandbox.json_types import Json, JsonList

_UUID_TEXT = "conversation_id must be a valid UUID"


@dataclass
class RunRequest:
    """One generation as asked for; ``is_first_turn`` is filled in later."""

    user: str
    query: str
    inputs: Json
    streaming: bool
    mode_was_given: bool
    conversation_id: str
    files: JsonList
    auto_generate_name: bool
    is_first_turn: bool = False


def read_request(
    body: Json, *, version: Version, model: str, needs_query: bool
) -> RunRequest:
    """Checks in the order of the real servers: inputs, query, mode, id, user."""

    def refuse(field: str, text: str, *, kind: str, value: object) -> errors.DifyError:
        shown = f"input_value={value!r}, input_type={type(value).__name__}"
        return errors.field_error(
            model=model,
            field=field,
            text=text,
            kind=kind,
            value=shown,
            version=version,
        )

    inputs = body.get("inputs")
    if "inputs" not in body:
        raise refuse("inputs", "Field required", kind="missing", value=body)
    if not isinstance(inputs, dict):
        if not version.is_old:
            text = "Input should be a valid dictionary"
            raise refuse("inputs", text, kind="dict_type", value=inputs)
        inputs = {}
    query = body.get("query")
    if needs_query and "query" not in body:
        raise refuse("query", "Field required", kind="missing", value=body)
    if query is not None and not isinstance(query, str):
        if not version.is_old:
            text = "Input should be a valid string"
            raise refuse("query", text, kind="string_type", value=query)
        query = str(query)
    mode = body.get("response_mode")
    if mode not in (None, "blocking", "streaming"):
        text = "Input should be 'blocking' or 'streaming'"
        if version.is_old:
            text = f"{mode} is not a valid choice"
        raise refuse("response_mode", text, kind="literal_error", value=mode)
    conversation_id = body.get("conversation_id") or ""
    if conversation_id and not _is_uuid(conversation_id):
        text = f"Value error, {_UUID_TEXT}"
        if version.is_old:
            text = f"{conversation_id} is not a valid uuid."
        raise refuse("conversation_id", text, kind="value_error", value=conversation_id)
    files = body.get("files")
    return RunRequest(
        user=user_of(body),
        query=(query or "").replace("\x00", ""),
        inputs=inputs,
        streaming=mode == "streaming",
        mode_was_given=mode is not None,
        conversation_id=str(conversation_id),
        files=files if isinstance(files, list) else [],
        auto_generate_name=body.get("auto_generate_name", True) is not False,
    )


def _is_uuid(text: object) -> bool:
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True
