"""What a callback asked for, how it ended and what it changed, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, badge
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models import Callback

# By the operationId of the API. One that is missing here is shown as it is.
OPERATIONS: Mapping[str, str | Promise] = {
    "send_message": _("send a message"),
    "send_message_simple": _("send a message (old form)"),
    "update_conversation": _("change the conversation"),
    "set_status": _("set the status"),
    "set_priority": _("set the priority"),
    "assign_team": _("assign a team"),
    "assign_agent": _("assign an agent"),
    "unassign": _("unassign"),
    "update_labels": _("add labels"),
    "update_custom_attributes": _("set attributes"),
    "update_contact": _("change the contact"),
    "set_typing": _("show “is typing”"),
    "start_conversation": _("start a conversation"),
    "refresh_teams": _("read the teams anew"),
    "get_conversation": _("read the conversation"),
    "dialogue_info": _("read the conversation (old form)"),
    "find_by_dify_id": _("find a conversation by Dify's number"),
    "list_messages": _("read the messages"),
    "get_contact": _("read the contact"),
    "list_teams": _("list the teams"),
    "list_labels": _("list the labels"),
    "list_attribute_definitions": _("list the attributes"),
}
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
    "contact_attributes": _("contact's attributes"),
    "note": _("private note"),
    "content": _("text"),
    "message_id": _("message"),
}
# What became of each field of one request that asked for several.
RESULTS: Mapping[str, tuple[str | Promise, str]] = {
    "applied": (_("done"), "good"),
    "unchanged": (_("was so already"), "calm"),
    "skipped": (_("not set"), "calm"),
    "refused": (_("refused"), "bad"),
    "failed": (_("failed"), "bad"),
}
ENDINGS: Mapping[str, str | Promise] = {
    Callback.Status.RUNNING: _(
        "It is being served. If it stays so for more than a minute, a restart cut it "
        "off; then look in Chatwoot whether it was done."
    ),
    Callback.Status.SUCCESS: _("It was done."),
    Callback.Status.SKIPPED: _(
        "What the flow passed on was not set, so there was nothing to do and Chatwoot "
        "was left alone. If that is unexpected, look at the variables of the node."
    ),
    Callback.Status.PARTIAL: _(
        "Some of it was done and some not; the answer says for each field what became "
        "of it."
    ),
    Callback.Status.ERROR: _(
        "It was not done. The flow was told why, in the sentence below; it can go on "
        "by itself, or its author has to look at the node."
    ),
}
# What happens in good order: a human came first. All other refusals are worth a look.
EXPECTED_REFUSALS = frozenset({"human_in_charge"})


def operation_words(operation: str) -> str:
    """Return what was asked for as a person says it."""
    return str(OPERATIONS.get(operation, operation))


def caller_words(callback: Callback) -> str:
    """Say who called, and how we know."""
    if callback.caller == Callback.Caller.NOBODY:
        return gettext(
            "Somebody who reaches the bridge's address called; nobody was asked for a "
            "token (CALLBACK_AUTH=none)."
        )
    bot = callback.bot or gettext("(deleted)")
    if callback.caller == Callback.Caller.CONVERSATION_TOKEN:
        return gettext(
            "A flow of the bot “%(bot)s” called with the conversation token of its "
            "run, which opens this one conversation only."
        ) % {"bot": bot}
    return gettext("A flow of the bot “%(bot)s” called with the bot's token.") % {
        "bot": bot
    }


def repeat_words(callback: Callback) -> str:
    """Say what a repeat of the request gets; "" where it is simply served again."""
    if callback.repeats:
        return ngettext(
            "The same request came again %(count)d time and got this same answer; "
            "nothing was done twice.",
            "The same request came again %(count)d times and got this same answer; "
            "nothing was done twice.",
            callback.repeats,
        ) % {"count": callback.repeats}
    if not callback.once_key:
        return ""
    if callback.once_key.startswith("key:"):
        return gettext(
            "It carried an Idempotency-Key: a repeat with the same key within a day "
            "gets this same answer, and nothing is done twice."
        )
    return gettext(
        "The same request of the same run within a minute gets this same answer, and "
        "nothing is done twice."
    )


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
    # An object without members has nothing to be told one by one.
    before = {name: old for name, old in _flat(callback.before, FIELDS) if old != {}}
    after = {name: new for name, new in _flat(callback.after, FIELDS) if new != {}}
    return [
        Change(name, readable(before.get(name)), readable(after.get(name)))
        for name in dict.fromkeys((*before, *after))
    ]


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


def _flat(
    fields: JsonObject, words: Mapping[str, str | Promise]
) -> Iterator[tuple[str, JsonValue]]:
    """Name each member of an object by itself: `attributes · region`."""
    for name, value in fields.items():
        title = str(words.get(name, name))
        if isinstance(value, dict) and value:
            for inner, member in value.items():
                yield f"{title} · {inner}", member
        else:
            yield title, value
