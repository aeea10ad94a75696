"""Control API: what customers and human agents do in conversations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import acts, control_views, times
from sandbox.chatwoot.drafts import Upload
from sandbox.chatwoot.records import (
    PRIORITIES,
    STATUSES,
    Actor,
    ContactInbox,
    Conversation,
)
from sandbox.chatwoot.seed import WEBSITE_INBOX_ID
from sandbox.control_errors import ControlError
from sandbox.json_types import Json
from sandbox.world import World


def _conversation(world: World, request: Request) -> Conversation:
    row = world.chatwoot.store.conversations.get(request.path_params["id"])
    if row is None:
        raise ControlError("There is no such conversation.", status=404)
    return row


def _shown(world: World, row: Conversation, *, status: int = 200) -> Response:
    return JSONResponse(control_views.conversation(world, row), status_code=status)


def _agent(world: World, body: Json) -> Actor:
    """Who acts: ``agent_id``, Marta unless told."""
    agent_id = body.get("agent_id", acts.DEFAULT_AGENT_ID)
    try:
        return acts.agent(world.chatwoot, agent_id)
    except (KeyError, TypeError) as err:
        raise ControlError(f"There is no agent {agent_id!r}.") from err


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(f"{name} must be a text that is not empty.")
    return value


# Customers.


async def create_conversation(world: World, request: Request, body: Json) -> Response:
    """A visitor opens the widget, and maybe says something at once.

    Keys: inbox_id, name, email, language, custom_attributes, contact_attributes,
    contact_id (an existing one), message. 201 and the whole conversation.
    """
    lifecycle = world.chatwoot.lifecycle
    contact_inbox, info = _visitor(world, body)
    if info and body.get("opens_widget", True):
        lifecycle.publish_widget_opened(
            contact_inbox,
            info={**info, "widget_language": info["browser_language"]},
        )
    row = lifecycle.create_conversation(
        contact_inbox,
        status="open",
        values={
            "custom_attributes": dict(body.get("custom_attributes") or {}),
            "additional_attributes": info,
        },
    )
    if body.get("message"):
        acts.say(world.chatwoot, row, content=str(body["message"]))
    return _shown(world, row, status=201)


async def open_widget(world: World, request: Request, body: Json) -> Response:
    """A visitor opens the widget and says nothing yet.

    Keys as for a conversation, without message. 201 and who it is.
    """
    contact_inbox, info = _visitor(world, body)
    if not info:
        raise ControlError("Only a website inbox has a widget.")
    world.chatwoot.lifecycle.publish_widget_opened(
        contact_inbox, info={**info, "widget_language": info["browser_language"]}
    )
    shape = {
        "contact_id": contact_inbox.contact_id,
        "contact_inbox_id": contact_inbox.id,
        "source_id": contact_inbox.source_id,
    }
    return JSONResponse(shape, status_code=201)


def _visitor(world: World, body: Json) -> tuple[ContactInbox, Json]:
    """Who opens a conversation or widget, and what a widget tells of them."""
    store, lifecycle = world.chatwoot.store, world.chatwoot.lifecycle
    inbox = store.inboxes.get(body.get("inbox_id", WEBSITE_INBOX_ID))
    if inbox is None:
        raise ControlError(f"There is no inbox {body.get('inbox_id')!r}.")
    if "contact_id" in body:
        contact = store.contacts.get(body["contact_id"])
        if contact is None:
            raise ControlError(f"There is no contact {body['contact_id']!r}.")
    else:
        contact = store.new_contact(str(body.get("name") or "Visitor"))
        contact.email = body.get("email")
        contact.custom_attributes.update(body.get("contact_attributes") or {})
        lifecycle.publish_contact("contact_created", contact=contact)
    found = store.find_contact_inbox(inbox_id=inbox.id, contact_id=contact.id)
    contact_inbox = found or store.new_contact_inbox(
        contact_id=contact.id, inbox_id=inbox.id
    )
    if inbox.channel != "Channel::WebWidget":
        return contact_inbox, {}
    language = str(body.get("language") or "en")
    return contact_inbox, widget_info(language, base_url=world.settings.base_url())


def widget_info(language: str, *, base_url: str) -> Json:
    """additional_attributes of a conversation that began in a web widget."""
    return {
        "browser_language": language,
        "browser": {
            "browser_name": "Firefox",
            "browser_version": "139.0",
            "device_name": "Unknown",
            "platform_name": "Linux",
            "platform_version": "0",
        },
        "initiated_at": {"timestamp": times.iso(times.now())},
        "referer": f"{base_url}/",
    }


async def set_contact(world: World, request: Request, body: Json) -> Response:
    """A pre-chat form's second request: custom_attributes of the contact, merged."""
    row = _conversation(world, request)
    attributes = body.get("custom_attributes")
    if not isinstance(attributes, dict):
        raise ControlError("Send custom_attributes, an object.")
    contact = world.chatwoot.store.contact_of(row)
    before = dict(contact.custom_attributes)
    contact.custom_attributes.update(attributes)
    if contact.custom_attributes != before:
        change = {"previous_value": before, "current_value": contact.custom_attributes}
        world.chatwoot.lifecycle.publish_contact(
            "contact_updated",
            contact=contact,
            changes=[{"custom_attributes": change}],
        )
    return _shown(world, row)


async def say(world: World, request: Request, body: Json) -> Response:
    """Keys: content, attachments [{name, content_type, base64}]; 201, message."""
    row = _conversation(world, request)
    uploads = [_upload(item) for item in body.get("attachments") or []]
    content = body.get("content") or None
    if content is None and not uploads:
        raise ControlError("Send content or attachments.")
    said = acts.say(world.chatwoot, row, content=content, uploads=uploads)
    return JSONResponse(control_views.message(world, said), status_code=201)


def _upload(item: Json) -> Upload:
    try:
        data = base64.b64decode(item["base64"], validate=True)
    except (KeyError, TypeError, binascii.Error) as err:
        raise ControlError("attachments need name, content_type and base64.") from err
    return Upload(
        name=str(item.get("name", "file")),
        content_type=str(item.get("content_type", "application/octet-stream")),
        data=data,
    )


async def customer_typing(world: World, request: Request, body: Json) -> Response:
    row = _conversation(world, request)
    actor = acts.customer_of(world.chatwoot, row)
    world.chatwoot.set_typing(
        row, actor=actor, on=bool(body.get("on")), is_private=False
    )
    return JSONResponse({"typing": row.typing})


async def seen(world: World, request: Request, body: Json) -> Response:
    """The visitor looks: one message_updated for each message not seen before."""
    row = _conversation(world, request)
    count = world.chatwoot.messages.seen_by_contact(row)
    return JSONResponse({"read": count})


async def submit(world: World, request: Request, body: Json) -> Response:
    """The visitor answers a rich message: message_id and submitted values."""
    row = _conversation(world, request)
    message = world.chatwoot.message(row, message_id=int(body.get("message_id", 0)))
    values: Json = {
        name: body[name]
        for name in ("submitted_values", "submitted_email")
        if name in body
    }
    if not values:
        raise ControlError("Send submitted_values or submitted_email.")
    world.chatwoot.messages.submit(message, values=values)
    return JSONResponse(control_views.message(world, message))


async def end(world: World, request: Request, body: Json) -> Response:
    """The visitor ends the conversation: resolved."""
    row = _conversation(world, request)
    world.chatwoot.lifecycle.set_status(
        row, status="resolved", actor=acts.customer_of(world.chatwoot, row)
    )
    return _shown(world, row)


# Human agents.


async def reply(world: World, request: Request, body: Json) -> Response:
    return _write(world, request, body, private=False)


async def note(world: World, request: Request, body: Json) -> Response:
    return _write(world, request, body, private=True)


def _write(world: World, request: Request, body: Json, *, private: bool) -> Response:
    row = _conversation(world, request)
    content, actor = _text(body, "content"), _agent(world, body)
    message = acts.write(
        world.chatwoot, row, content=content, actor=actor, private=private
    )
    return JSONResponse(control_views.message(world, message), status_code=201)


async def set_status(world: World, request: Request, body: Json) -> Response:
    row, actor = _conversation(world, request), _agent(world, body)
    status = body.get("status")
    if status not in STATUSES:
        raise ControlError(f"status must be one of {', '.join(STATUSES)}.")
    acts.set_status(world.chatwoot, row, status=status, actor=actor)
    return _shown(world, row)


async def assign(world: World, request: Request, body: Json) -> Response:
    """assignee_id null unassigns; the actor is agent_id."""
    row, actor = _conversation(world, request), _agent(world, body)
    assignee_id = body.get("assignee_id")
    if assignee_id is not None and assignee_id not in world.chatwoot.store.agents:
        raise ControlError(f"There is no agent {assignee_id!r}.")
    world.chatwoot.lifecycle.assign_agent(row, agent_id=assignee_id, actor=actor)
    return _shown(world, row)


async def set_team(world: World, request: Request, body: Json) -> Response:
    row, actor = _conversation(world, request), _agent(world, body)
    team_id = body.get("team_id")
    if team_id is not None and team_id not in world.chatwoot.store.teams:
        raise ControlError(f"There is no team {team_id!r}.")
    world.chatwoot.lifecycle.assign_team(row, team_id=team_id, actor=actor)
    return _shown(world, row)


async def set_fields(world: World, request: Request, body: Json) -> Response:
    """labels, custom_attributes (both replace) and priority in one call."""
    row, actor = _conversation(world, request), _agent(world, body)
    if body.get("priority") not in (None, *PRIORITIES):
        raise ControlError(f"priority must be null or one of {', '.join(PRIORITIES)}.")
    for name in ("labels", "custom_attributes", "priority"):
        if name in body:
            world.chatwoot.lifecycle.save(row, actor=actor, changes={name: body[name]})
    return _shown(world, row)


async def agent_typing(world: World, request: Request, body: Json) -> Response:
    row, actor = _conversation(world, request), _agent(world, body)
    world.chatwoot.set_typing(
        row, actor=actor, on=bool(body.get("on")), is_private=False
    )
    return JSONResponse({"typing": row.typing})


async def delete_message(world: World, request: Request, body: Json) -> Response:
    row = _conversation(world, request)
    message_id = request.path_params["message_id"]
    message = world.chatwoot.message(row, message_id=message_id)
    world.chatwoot.messages.delete(message)
    return _shown(world, row)


# Reading.


async def list_conversations(world: World, request: Request, body: Json) -> Response:
    """full=1: everything about each of them, as `show` has it."""
    if request.query_params.get("full") == "1":
        return JSONResponse({"conversations": control_views.all_conversations(world)})
    return JSONResponse({"conversations": control_views.conversation_list(world)})


async def show(world: World, request: Request, body: Json) -> Response:
    return _shown(world, _conversation(world, request))


_ONE = "/conversations/{id:int}"
ENDPOINTS: list[
    tuple[str, str, Callable[[World, Request, Json], Awaitable[Response]]]
] = [
    ("GET", "/conversations", list_conversations),
    ("POST", "/conversations", create_conversation),
    ("POST", "/widget-openings", open_widget),
    ("GET", _ONE, show),
    ("PATCH", f"{_ONE}/contact", set_contact),
    ("POST", f"{_ONE}/customer-messages", say),
    ("POST", f"{_ONE}/customer-typing", customer_typing),
    ("POST", f"{_ONE}/seen", seen),
    ("POST", f"{_ONE}/submit", submit),
    ("POST", f"{_ONE}/end", end),
    ("POST", f"{_ONE}/reply", reply),
    ("POST", f"{_ONE}/note", note),
    ("POST", f"{_ONE}/status", set_status),
    ("POST", f"{_ONE}/assign", assign),
    ("POST", f"{_ONE}/team", set_team),
    ("PATCH", _ONE, set_fields),
    ("POST", f"{_ONE}/agent-typing", agent_typing),
    ("DELETE", f"{_ONE}/messages/{{message_id:int}}", delete_message),
]
