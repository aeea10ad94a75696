"""Picks the answer out of a workflow's outputs, which have no fixed names."""

from __future__ import annotations

from json import dumps

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.failures import DifyUnexpectedReply

# Names that authors give to the answer, the likeliest first.
USUAL_NAMES = ("text", "answer", "result", "output", "reply", "response", "message")


def select_answer(outputs: JsonObject, *, wanted: str = "", streamed: str = "") -> str:
    """Return the text to answer with; "" when the workflow has none.

    The output `wanted` by the configuration counts alone. Without it: the first of the
    usual names, else the only text there is, else what was `streamed` as text chunks.
    Raises DifyUnexpectedReply when only an operator can tell which one is meant.
    """
    if wanted:
        if wanted not in outputs:
            raise _unclear(f"has no output “{wanted}”", outputs)
        return _as_text(outputs[wanted])
    found = {name: value for name, value in outputs.items() if isinstance(value, str)}
    for name in USUAL_NAMES:
        if name in found:
            return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    if found and not streamed:
        raise _unclear("has several text outputs", outputs)
    return streamed


def _as_text(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)


def _unclear(what: str, outputs: JsonObject) -> DifyUnexpectedReply:
    names = ", ".join(sorted(outputs)) or "none"
    return DifyUnexpectedReply(
        f"The workflow {what} (it gave: {names}), so the answer could not be told. Set "
        "“answer output” of the Dify app to one of them.",
        service="dify",
        code="answer_output",
    )
