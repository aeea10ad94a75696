"""REST: a single conversation, its status, attributes, labels and assignee."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from sandbox import times
from sandbox.chatwoot import errors
from sandbox.chatwoot.drafts import Draft
from sandbox.chatwoot.records import (
    PRIORITIES,
    STATUSES,
    ContactInbox,
    Conversation,
)
from sandbox.chatwoot.server import Call, Router, find
from sandbox.json_types import Json

MAX_ATTRIBUTE_CHARS = 1500
MAX_ATTRIBUTE_INT = 9_999_999_999
_ONE = "/conversations/{conversation_id:int}"


def register(router: Router) -> None:
    router.add("POST", "/conversations", create_conversation)
    router.add("GET", _ONE, show_conversation)
    router.add("PATCH", _ONE, update_conversation)
    router.add("DELETE", _ONE, delete_conversation, admin_only=True)
    router.add("POST", f"{_ONE}/toggle_status", toggle_status)
    router.add("POST", f"{_ONE}/toggle_priority", toggle_priority)
    router.add("POST", f"{_ONE}/toggle_typing_status", toggle_typing_status)
    router.add("POST", f"{_ONE}/custom_attributes", custom_attributes)
    router.add("GET", f"{_ONE}/labels", list_labels)
    router.add("POST", f"{_ONE}/labels", set_labels)
    router.add("POST", f"{_ONE}/assignments", assign)
    router.add("POST", f"{_ONE}/mute", mute)
    router.add("POST", f"{_ONE}/unmute", unmute)
    router.add("POST", f"{_ONE}/update_last_seen", update_last_seen)


def shown(call: Call, conversation: Conversation) -> JSONResponse:
    return JSONResponse(
        call.server.shapes.conversation(
            conversation,
            caller=call.caller,
            team_bug=call.server.settings.bot_team_bug,
        )
    )


async def show_conversation(call: Call) -> Response:
    return shown(call, call.conversation())


async def update_conversation(call: Call) -> Response:
    conversation = call.conversation()
    if "priority" in call.body:
        _set_priority(call, conversation, priority=call.body["priority"])
    return shown(call, conversation)


async def delete_conversation(call: Call) -> Response:
    conversation = call.conversation()
    del call.server.store.conversations[conversation.id]
    for message in conversation.messages:
        call.server.store.messages.pop(message.id, None)
    return Response(status_code=200)


async def create_conversation(call: Call) -> Response:
    contact_inbox = _contact_inbox(call)
    inbox = call.server.store.inboxes[contact_inbox.inbox_id]
    if inbox.lock_to_single_conversation:
        for row in call.server.store.conversations_of_contact(contact_inbox.contact_id):
            if row.contact_inbox_id == contact_inbox.id:
                return shown(call, row)
    body = call.body
    status = body.get("status") or "open"
    if status not in STATUSES:
        raise errors.crashed()
    conversation = call.server.lifecycle.create_conversation(
        contact_inbox,
        status=status,
        values={
            "custom_attributes": dict(body.get("custom_attributes") or {}),
            "additional_attributes": dict(body.get("additional_attributes") or {}),
            "assignee_id": body.get("assignee_id"),
            "team_id": body.get("team_id"),
        },
    )
    message = body.get("message")
    if isinstance(message, dict) and message.get("content"):
        draft = Draft(content=message["content"], actor=call.caller.actor())
        call.server.messages.create(draft, conversation=conversation)
    return shown(call, conversation)


def _contact_inbox(call: Call) -> ContactInbox:
    """By inbox and contact (made when new), or by source_id alone (the old way)."""
    store, body = call.server.store, call.body
    source_id = body.get("source_id")
    if not body.get("contact_id"):
        rows = store.contact_inboxes.values()
        row = next((r for r in rows if r.source_id == source_id), None)
        if row is None:
            raise errors.not_found()
        return row
    inbox = find(store.inboxes, int(body.get("inbox_id") or 0))
    contact = find(store.contacts, int(body["contact_id"]))
    if source_id:
        owner = store.find_contact_inbox(inbox_id=inbox.id, source_id=source_id)
        if owner is not None and owner.contact_id != contact.id:
            raise errors.refused("source_id should be unique")
        if owner is not None:
            return owner
    else:
        existing = store.find_contact_inbox(inbox_id=inbox.id, contact_id=contact.id)
        if existing is not None:
            return existing
    return store.new_contact_inbox(
        contact_id=contact.id, inbox_id=inbox.id, source_id=source_id
    )


async def toggle_status(call: Call) -> Response:
    conversation = call.conversation()
    lifecycle, actor = call.server.lifecycle, call.caller.actor()
    wanted = call.body.get("status") or _toggled(conversation.status)
    if wanted not in STATUSES:
        raise errors.crashed()
    success: bool | None = True
    if call.caller.bot and conversation.status == "pending" and wanted == "open":
        lifecycle.hand_off(conversation, actor=actor)
        success = None  # bot_handoff! gives the controller nothing to answer with
    else:
        until = call.body.get("snoozed_until")
        lifecycle.set_status(
            conversation,
            status=wanted,
            actor=actor,
            snoozed_until=float(until) if until else None,
        )
        _assign_opener(call, conversation)
    payload = {
        "success": success,
        "conversation_id": conversation.id,
        "current_status": conversation.status,
        "snoozed_until": times.iso(conversation.snoozed_until),
    }
    return JSONResponse({"payload": payload})


def _toggled(status: str) -> str:
    return "resolved" if status == "open" else "open"


def _assign_opener(call: Call, conversation: Conversation) -> None:
    """A human with the agent role who opens a conversation gets it."""
    agent = call.caller.agent
    if agent and agent.role == "agent" and conversation.status == "open":
        call.server.lifecycle.assign_agent(
            conversation, agent_id=agent.id, actor=call.caller.actor()
        )


async def toggle_priority(call: Call) -> Response:
    _set_priority(call, call.conversation(), priority=call.body.get("priority"))
    return Response(status_code=200)


def _set_priority(call: Call, conversation: Conversation, *, priority: object) -> None:
    wanted = priority or None
    if wanted is not None and wanted not in PRIORITIES:
        raise errors.crashed()
    call.server.lifecycle.save(
        conversation, actor=call.caller.actor(), changes={"priority": wanted}
    )


async def toggle_typing_status(call: Call) -> Response:
    state = call.body.get("typing_status")
    if state in ("on", "off"):
        actor = call.caller.actor()
        call.server.set_typing(
            call.conversation(),
            actor=actor,
            on=state == "on",
            is_private=call.body.get("is_private") in (True, "true"),
        )
    else:
        call.conversation()
    return Response(status_code=200)


async def custom_attributes(call: Call) -> Response:
    conversation = call.conversation()
    wanted = call.body.get("custom_attributes")
    if not isinstance(wanted, dict):
        raise errors.crashed()
    check_attributes(wanted)
    call.server.lifecycle.save(
        conversation,
        actor=call.caller.actor(),
        changes={"custom_attributes": dict(wanted)},
    )
    return JSONResponse({"custom_attributes": conversation.custom_attributes})


def check_attributes(values: Json) -> None:
    for name, value in values.items():
        if isinstance(value, str) and len(value) > MAX_ATTRIBUTE_CHARS:
            raise errors.invalid_record(
                f"{name} length should be < {MAX_ATTRIBUTE_CHARS}", "custom_attributes"
            )
        too_big = isinstance(value, int) and value > MAX_ATTRIBUTE_INT
        if too_big and not isinstance(value, bool):
            raise errors.invalid_record(
                f"{name} value should be < {MAX_ATTRIBUTE_INT}", "custom_attributes"
            )


async def list_labels(call: Call) -> Response:
    return JSONResponse({"payload": list(call.conversation().labels)})


async def set_labels(call: Call) -> Response:
    conversation = call.conversation()
    labels = call.body.get("labels")
    names = [str(name) for name in labels] if isinstance(labels, list) else []
    call.server.lifecycle.save(
        conversation,
        actor=call.caller.actor(),
        changes={"labels": list(dict.fromkeys(names))},
    )
    return JSONResponse({"payload": list(conversation.labels)})


async def assign(call: Call) -> Response:
    """One of assignee and team; an assignee key makes the team key be ignored."""
    conversation = call.conversation()
    if "assignee_id" in call.body:
        answer = _assign_assignee(call, conversation)
    elif "team_id" in call.body:
        answer = _assign_team(call, conversation)
    else:
        answer = None
    return JSONResponse(answer)


def _assign_assignee(call: Call, conversation: Conversation) -> Json | None:
    store, lifecycle = call.server.store, call.server.lifecycle
    actor, wanted = call.caller.actor(), _row_id(call.body["assignee_id"])
    if call.body.get("assignee_type") == "AgentBot" and wanted in store.bots:
        lifecycle.assign_bot(conversation, bot_id=wanted, actor=actor)
        return call.server.shapes.slim_bot(store.bots[wanted])
    agent = store.agents.get(wanted)
    agent_id = agent.id if agent else None
    lifecycle.assign_agent(conversation, agent_id=agent_id, actor=actor)
    return call.server.shapes.agent(agent) if agent else None


def _assign_team(call: Call, conversation: Conversation) -> Json | None:
    team = call.server.store.teams.get(_row_id(call.body["team_id"]))
    call.server.lifecycle.assign_team(
        conversation, team_id=team.id if team else None, actor=call.caller.actor()
    )
    return call.server.shapes.team_row(team) if team else None


def _row_id(value: object) -> int:
    """0 for everything that cannot be an id: unassigns."""
    text = str(value)
    return int(text) if text.isdigit() else 0


async def mute(call: Call) -> Response:
    conversation = call.conversation()
    conversation.muted = True
    call.server.store.contact_of(conversation).blocked = True
    call.server.lifecycle.set_status(
        conversation, status="resolved", actor=call.caller.actor()
    )
    return Response(status_code=200)


async def unmute(call: Call) -> Response:
    conversation = call.conversation()
    conversation.muted = False
    call.server.store.contact_of(conversation).blocked = False
    return Response(status_code=200)


async def update_last_seen(call: Call) -> Response:
    conversation = call.conversation()
    conversation.agent_last_seen_at = times.now()
    return shown(call, conversation)
