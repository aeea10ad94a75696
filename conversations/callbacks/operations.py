"""Each operation of the API: its arguments, what it does, what the flow is told.

The work itself is in `conversations.actions`. Keys that the bridge before this one
answered are kept beside the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from django.utils import timezone

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.message_calls import Upload
from conversations.actions import contacts, messages, reading, typing_sign
from conversations.actions.changes import change
from conversations.actions.outcome import Outcome
from conversations.actions.target import Target
from conversations.callbacks import answers
from conversations.callbacks.answers import Answer
from conversations.callbacks.serving import Operation
from conversations.models import Callback
from dify_api.arguments import as_bool

CHANGE_FIELDS = (
    "status",
    "snoozed_until",
    "priority",
    "team",
    "assignee",
    "labels_add",
    "labels_remove",
    "labels_set",
    "custom_attributes",
    "custom_attributes_remove",
    "contact_attributes",
    "contact_attributes_remove",
    "note",
)
MESSAGE_FIELDS = (
    "content",
    "private",
    "reply_to",
    "content_type",
    "items",
    "button_label",
    "attachment_urls",
    "files",
    "even_if_open",
)
CONTACT_FIELDS = (
    "name",
    "email",
    "phone_number",
    "identifier",
    "custom_attributes",
    "custom_attributes_remove",
)


# Chatwoot sends webhooks in the background, and repeats one after 3 s.
NEWS_TAKE = timedelta(seconds=15)


def _one(target: Target, wanted: JsonObject) -> Outcome:
    """Change a single field."""
    [outcome] = change(target, wanted)
    return outcome


def _set_status(target: Target, wanted: JsonObject) -> Answer:
    names = ("status", "snoozed_until")
    outcome = _one(target, {name: wanted.get(name) for name in names})
    return answers.of_one(
        outcome,
        number=target.number,
        new_status=outcome.after,
        previous_status=outcome.before,
    )


def _set_priority(target: Target, wanted: JsonObject) -> Answer:
    outcome = _one(target, {"priority": wanted.get("priority")})
    return answers.of_one(outcome, number=target.number, priority=outcome.after)


def _assign_team(target: Target, wanted: JsonObject) -> Answer:
    outcome = _one(target, {"team": wanted.get("team")})
    return answers.of_one(outcome, number=target.number, team=outcome.after)


def _assign_agent(target: Target, wanted: JsonObject) -> Answer:
    outcome = _one(target, {"assignee": wanted.get("agent")})
    return answers.of_one(outcome, number=target.number, assignee=outcome.after)


def _unassign(target: Target, wanted: JsonObject) -> Answer:
    what = str(wanted.get("what", "")).strip().lower()
    fields = {"agent": ("assignee",), "team": ("team",), "both": ("team", "assignee")}
    if what not in fields:
        return answers.refusal(
            "bad_value",
            f"“{what}” cannot be unassigned. Possible: agent, team, both.",
            conversation_id=target.number,
            possible=list(fields),
        )
    outcomes = change(target, dict.fromkeys(fields[what], "clear"))
    return answers.of_several(outcomes, number=target.number)


def _update_labels(target: Target, wanted: JsonObject) -> Answer:
    outcome = _one(target, {"labels_add": wanted.get("labels")})
    return answers.of_one(outcome, number=target.number, labels=outcome.after)


def _update_attributes(target: Target, wanted: JsonObject) -> Answer:
    names = ("custom_attributes", "custom_attributes_remove")
    outcomes = change(target, {name: wanted[name] for name in names if name in wanted})
    if len(outcomes) > 1:
        return answers.of_several(outcomes, number=target.number)
    return answers.of_one(
        outcomes[0], number=target.number, custom_attributes=outcomes[0].after
    )


def _update_conversation(target: Target, wanted: JsonObject) -> Answer:
    fields = {name: wanted[name] for name in CHANGE_FIELDS if name in wanted}
    return answers.of_several(change(target, fields), number=target.number)


def _send_simple(target: Target, wanted: JsonObject) -> Answer:
    outcome = messages.send_message(
        target,
        {
            "content": wanted.get("message"),
            "private": wanted.get("is_private"),
            "even_if_open": wanted.get("even_if_open"),
        },
    )
    return answers.of_one(
        outcome, number=target.number, message="Message sent successfully"
    )


def _send_message(
    target: Target, wanted: JsonObject, *, files: Sequence[Upload] = ()
) -> Answer:
    fields = {name: wanted[name] for name in MESSAGE_FIELDS if name in wanted}
    return answers.of_one(
        messages.send_message(target, fields, files=files), number=target.number
    )


def sending(files: Sequence[Upload]) -> Operation:
    """Return the operation that sends a message with files that came along."""
    return replace(SEND_MESSAGE, perform=partial(_send_message, files=files))


def _set_typing(target: Target, wanted: JsonObject) -> Answer:
    outcome = typing_sign.set_typing(
        target, on=wanted.get("typing"), private=wanted.get("private")
    )
    return answers.of_one(outcome, number=target.number)


def _update_contact(target: Target, wanted: JsonObject) -> Answer:
    fields = {name: wanted[name] for name in CONTACT_FIELDS if name in wanted}
    return answers.of_one(contacts.update_contact(target, fields), number=target.number)


def _get_contact(target: Target, wanted: JsonObject) -> Answer:
    return _told(target, contact=contacts.read_contact(target))


def _get_conversation(target: Target, wanted: JsonObject) -> Answer:
    fresh = as_bool(wanted.get("refresh")) or _was_changed_just_now(target)
    found = reading.read_conversation(target, fresh=fresh)
    return _told(target, conversation=found)


def _was_changed_just_now(target: Target) -> bool:
    """Tell whether Chatwoot's news of a flow's change may still be on their way.

    The mirror knows of it from them; whoever set a label must see it.
    """
    return Callback.objects.filter(
        conversation=target.conversation,
        created_at__gt=timezone.now() - NEWS_TAKE,
        once_key__isnull=False,
    ).exists()


def _list_messages(target: Target, wanted: JsonObject) -> Answer:
    found = reading.read_messages(
        target,
        before=wanted.get("before"),
        after=wanted.get("after"),
        limit=wanted.get("limit"),
    )
    return _told(target, **found)


def _told(target: Target, **found: JsonValue) -> Answer:
    return Answer(body={"status": "success", **found, "conversation_id": target.number})


SET_STATUS = Operation(
    name="set_status", perform=_set_status, fields=("status", "snoozed_until")
)
SET_PRIORITY = Operation(
    name="set_priority", perform=_set_priority, fields=("priority",)
)
ASSIGN_TEAM = Operation(
    name="assign_team",
    perform=_assign_team,
    fields=("team",),
    aliases=(("team_id", "team"), ("team_name", "team")),
    old_when_not_set=(("team", "None"),),
)
ASSIGN_AGENT = Operation(
    name="assign_agent",
    perform=_assign_agent,
    fields=("agent",),
    aliases=(("agent_id", "agent"), ("assignee", "agent"), ("assignee_id", "agent")),
)
UNASSIGN = Operation(name="unassign", perform=_unassign, fields=("what",))
UPDATE_LABELS = Operation(
    name="update_labels", perform=_update_labels, fields=("labels",)
)
UPDATE_ATTRIBUTES = Operation(
    name="update_custom_attributes",
    perform=_update_attributes,
    fields=("custom_attributes", "custom_attributes_remove"),
)
UPDATE_CONVERSATION = Operation(
    name="update_conversation", perform=_update_conversation, fields=CHANGE_FIELDS
)
SEND_SIMPLE = Operation(
    name="send_message_simple",
    perform=_send_simple,
    fields=("message", "is_private", "even_if_open"),
    aliases=(("content", "message"), ("private", "is_private")),
    adds=True,
)
SEND_MESSAGE = Operation(
    name="send_message",
    perform=_send_message,
    fields=MESSAGE_FIELDS,
    aliases=(("message", "content"), ("is_private", "private")),
    adds=True,
)
SET_TYPING = Operation(
    name="set_typing", perform=_set_typing, fields=("typing", "private")
)
UPDATE_CONTACT = Operation(
    name="update_contact", perform=_update_contact, fields=CONTACT_FIELDS
)
GET_CONTACT = Operation(name="get_contact", perform=_get_contact, changes=False)
GET_CONVERSATION = Operation(
    name="get_conversation",
    perform=_get_conversation,
    fields=("refresh",),
    changes=False,
)
LIST_MESSAGES = Operation(
    name="list_messages",
    perform=_list_messages,
    fields=("before", "after", "limit"),
    changes=False,
)
