"""What a run's text and files say: plain text, or a JSON answer with choices. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from bridge_project.lib.redact import mask_ours_within
from bridge_project.lib.types import JsonObject, JsonValue
from conversations import rich
from conversations.answers import places
from conversations.answers.answer import Answer, AnswerFile
from conversations.models import Bot, PipelineRun
from conversations.rich import BadItems, Rich
from dify_api.arguments import Misread, as_text

# ```json … ``` around the whole of it: models like to add it.
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(?P<inside>.*)\n[ \t]*```", re.S | re.I)
_RICH = ("buttons", "cards", "form")


def read(run: PipelineRun, *, bot: Bot) -> Answer:
    """Return what a run answered.

    A JSON answer `{"text": …, "buttons": […]}` gets its choices; one with items that
    Chatwoot would refuse becomes its text alone, with a note.
    """
    text, choices, notes = _understood(run.answer)
    files = tuple(_files_of(run))
    in_text = {places.key_of(file.url) for file in files}
    found = (
        AnswerFile(url=place.url, name=place.file_name)
        for place in places.places_in(text)
        if places.key_of(place.url) not in in_text
    )
    return Answer(
        text=text,
        files=(*files, *_without_repeats(found)),
        choices=choices,
        suggestions=tuple(
            question for question in run.suggestions if isinstance(question, str)
        ),
        notes=notes,
    )


def _understood(answer: str) -> tuple[str, Rich | None, tuple[str, ...]]:
    found = _json_answer(answer)
    if found is None:
        return answer, None, ()
    text = ""
    try:
        text = as_text(found.get("text")) or ""
        choices = _choices_of(found)
    except (BadItems, Misread) as err:
        note = f"The JSON answer's items were left out. {err.message}"
        return (text or answer), None, (note,)
    if choices is None and not text:
        return answer, None, ()
    return text, choices, ()


def _json_answer(answer: str) -> JsonObject | None:
    """Return the object that the whole answer is, None if it is none of ours."""
    bare = answer.strip()
    fenced = _FENCED.fullmatch(bare) if bare.startswith("```") else None
    bare = fenced["inside"].strip() if fenced else bare
    if not (bare.startswith("{") and bare.endswith("}")):
        return None
    try:
        # What was masked in the text may have been spelt with JSON's escapes.
        found = mask_ours_within(json.loads(bare))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return found if any(found.get(key) for key in ("text", *_RICH)) else None


def _choices_of(found: JsonObject) -> Rich | None:
    if found.get("buttons"):
        return rich.read({"content_type": "input_select", "items": found["buttons"]})
    if found.get("cards"):
        return rich.read({"content_type": "cards", "items": found["cards"]})
    if found.get("form"):
        return _form_of(found["form"])
    return None


def _form_of(form: JsonValue) -> Rich | None:
    wanted: JsonObject = {"content_type": "form", "items": form}
    if isinstance(form, dict):
        wanted["items"] = form.get("fields") or form.get("items")
        wanted["button_label"] = form.get("button") or form.get("button_label")
    return rich.read(wanted)


def _files_of(run: PipelineRun) -> Iterator[AnswerFile]:
    for item in run.files:
        if isinstance(item, dict) and isinstance(item.get("url"), str) and item["url"]:
            yield AnswerFile(
                url=item["url"],
                name=str(item.get("filename") or ""),
                mime_type=str(item.get("mime_type") or ""),
            )


def _without_repeats(files: Iterator[AnswerFile]) -> tuple[AnswerFile, ...]:
    return tuple({places.key_of(file.url): file for file in files}.values())
