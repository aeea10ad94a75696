"""What a callback was asked to change and what it changed: a table, and one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, badge, shortened
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.admin.callback_words import UNCHANGED, is_cut_off
from conversations.models import Callback

FIELDS: Mapping[str, str | Promise] = {
    "status": _("status"),
    "snoozed_until": _("snoozed until"),
    "priority": _("priority"),
    "team": _("team"),
    "team_id": _("team's number"),
    "assignee": _("assignee"),
    "labels": _("labels"),
    "labels_add": _("labels, added to"),
    "labels_remove": _("labels, taken from"),
    "labels_set": _("labels, replaced"),
    "custom_attributes": _("attributes"),
    "custom_attributes_remove": _("attributes, removed"),
    "contact_attributes": _("contact's attributes"),
    "contact_attributes_remove": _("contact's attributes, removed"),
    "note": _("private note"),
    "message": _("message"),
    "contact": _("contact"),
    "typing": _("“is typing”"),
}
# What became of each field of one request that asked for several.
RESULTS: Mapping[str, tuple[str | Promise, str]] = {
    "applied": (_("done"), "good"),
    "unchanged": (_("was so already"), "calm"),
    "skipped": (_("not set"), "calm"),
    "refused": (_("refused"), "bad"),
    "failed": (_("failed"), "bad"),
}
# In one line the values say by themselves what was added or taken away.
_SHORT_FIELDS: Mapping[str, str | Promise] = {
    **FIELDS,
    "labels_add": _("labels"),
    "labels_remove": _("labels"),
    "labels_set": _("labels"),
    "custom_attributes_remove": _("attributes"),
    "contact_attributes_remove": _("contact's attributes"),
}
# The arguments that hold what is to be said.
_TEXTS = ("content", "message", "note")
START = "start_conversation"
MAX_TEXT_CHARS = 60
MAX_VALUE_CHARS = 40
MAX_LINE_CHARS = 200


@dataclass(frozen=True)
class Change:
    """One line of the table: what something was, and what it is now."""

    name: str
    before: str
    after: str

    @property
    def is_change(self) -> bool:
        return self.before != self.after


def changes(callback: Callback) -> list[Change]:
    """Return what was before and after, attributes one by one."""
    return _changes(callback.before, callback.after, words=FIELDS)


def is_unchanged(callback: Callback, *, answer: JsonObject) -> bool:
    """Tell whether all that was asked for was so already."""
    if callback.status != Callback.Status.SUCCESS or callback.operation == START:
        return False
    if answer.get("result") == "unchanged":
        return True
    fields = answer.get("fields")
    if not isinstance(fields, dict):
        return False
    results = {one.get("result") for one in fields.values() if isinstance(one, dict)}
    return "unchanged" in results and results <= {"unchanged", "skipped"}


def in_short(callback: Callback, *, answer: JsonObject) -> str:
    """Say in one line what changed, or else what the flow was told."""
    if is_cut_off(callback):
        return gettext("The process was stopped while it served the request.")
    told = shortened(callback.message)
    if callback.status in {Callback.Status.ERROR, Callback.Status.SKIPPED}:
        return told or NOTHING
    if is_unchanged(callback, answer=answer):
        return _unchanged_in_short(callback)
    parts = list(_parts(callback, answer=answer))
    if not parts and callback.status == Callback.Status.RUNNING:
        parts = [_quoted(text) for text in _texts(callback.arguments)]
    return shortened("; ".join(parts), max_chars=MAX_LINE_CHARS) or told or NOTHING


def conversation_number(answer: JsonObject) -> int | None:
    """Return Chatwoot's number of the conversation that the answer is about."""
    number = answer.get("conversation_id")
    return number if isinstance(number, int) else None


def field_results(callback: Callback) -> list[tuple[str, SafeString, str]]:
    """Return name, result and sentence of each field that one request named."""
    fields = callback.answer.get("fields")
    if not isinstance(fields, dict):
        return []
    found = []
    for name, told in fields.items():
        if isinstance(told, dict):
            result = str(told.get("result", ""))
            words, tone = RESULTS.get(result, (result, "calm"))
            title, sentence = str(FIELDS.get(name, name)), str(told.get("message", ""))
            found.append((title, badge(words, tone=tone), sentence))
    return found


def arguments(callback: Callback) -> list[tuple[str, str]]:
    """Return what the flow passed on, under the names that it used."""
    return [(name, readable(value)) for name, value in _flat(callback.arguments, {})]


def readable(value: JsonValue) -> str:
    """Return a value as a person reads it."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list) and not any(
        isinstance(item, list | dict) for item in value
    ):
        return ", ".join(readable(item) for item in value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def _parts(callback: Callback, *, answer: JsonObject) -> Iterator[str]:
    """Say each change by itself; what was said comes in quotes."""
    number = conversation_number(answer)
    if callback.operation == START and number is not None:
        yield gettext("started #%(number)s") % {"number": number}
    before, after = dict(callback.before), dict(callback.after)
    if "message" in after:
        yield _quoted(after.pop("message"))
    note = after.pop("note", None)
    if note is not None:
        yield f"{FIELDS['note']} {_quoted(note)}"
    for name in ("message", "note"):
        before.pop(name, None)
    # One by one, as several of them have the same short name.
    for name in dict.fromkeys((*before, *after)):
        was, is_now = {name: before.get(name)}, {name: after.get(name)}
        for change in _changes(was, is_now, words=_SHORT_FIELDS):
            if change.is_change:
                yield f"{change.name} {_cut(change.before)} → {_cut(change.after)}"


def _unchanged_in_short(callback: Callback) -> str:
    known = _changes({}, callback.after, words=_SHORT_FIELDS)
    if not known:
        return str(UNCHANGED)
    names = "; ".join(f"{change.name} {_cut(change.after)}" for change in known)
    line = shortened(names, max_chars=MAX_LINE_CHARS)
    return gettext("%(what)s: was so already") % {"what": line}


def _texts(given: JsonObject) -> Iterator[str]:
    """Return what a request that is not answered yet wants to say."""
    for name in _TEXTS:
        text = given.get(name)
        if isinstance(text, str) and text.strip():
            yield text


def _quoted(text: JsonValue) -> str:
    if not isinstance(text, str) or not text.strip():
        return gettext("(no text)")
    return f"“{shortened(text, max_chars=MAX_TEXT_CHARS)}”"


def _cut(value: str) -> str:
    return shortened(value, max_chars=MAX_VALUE_CHARS)


def _changes(
    before: JsonObject, after: JsonObject, *, words: Mapping[str, str | Promise]
) -> list[Change]:
    # An object without members has nothing to be told one by one.
    was = {name: old for name, old in _flat(before, words) if old != {}}
    is_now = {name: new for name, new in _flat(after, words) if new != {}}
    return [
        Change(name, readable(was.get(name)), readable(is_now.get(name)))
        for name in dict.fromkeys((*was, *is_now))
    ]


def _flat(
    fields: JsonObject, words: Mapping[str, str | Promise]
) -> Iterator[tuple[str, JsonValue]]:
    """Name each member of an object by itself: `attributes · region`."""
    for name, value in fields.items():
        title = str(words.get(name, name))
        if isinstance(value, dict) and value:
            # What is inside is named by the customer's own words.
            for inner, member in _flat(value, {}):
                yield f"{title} · {inner}", member
        else:
            yield title, value
