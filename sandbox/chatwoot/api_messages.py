"""REST: messages of a conversation."""

from __future__ import annotations

import json

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from sandbox.chatwoot import errors
from sandbox.chatwoot.drafts import Draft, Upload
from sandbox.chatwoot.message_rules import MAX_ATTACHMENTS
from sandbox.chatwoot.records import INCOMING, OUTGOING, Actor, Conversation, Message
from sandbox.chatwoot.server import Call, Router
from sandbox.json_types import Json

_TRUE = (True, "true", "1", 1, "t")
LATEST, BEFORE, AFTER, BETWEEN = 20, 20, 100, 1000


def register(router: Router) -> None:
    messages = "/conversations/{conversation_id:int}/messages"
    router.add("GET", messages, list_messages)
    router.add("POST", messages, create_message)
    router.add("DELETE", messages + "/{message_id:int}", delete_message)
    router.add("PATCH", messages + "/{message_id:int}", update_message)
    router.add("POST", messages + "/{message_id:int}/retry", retry_message)


async def list_messages(call: Call) -> Response:
    conversation = call.conversation()
    server = call.server
    contact = server.store.contact_of(conversation)
    meta = {
        "labels": list(conversation.labels),
        "additional_attributes": dict(conversation.additional_attributes),
        "contact": server.lifecycle.payloads.contact_push(contact),
        "agent_last_seen_at": conversation.agent_last_seen_at
        and int(conversation.agent_last_seen_at),
        "assignee_last_seen_at": conversation.assignee_last_seen_at
        and int(conversation.assignee_last_seen_at),
    }
    page = _page(
        conversation, before=call.query.get("before"), after=call.query.get("after")
    )
    payload = [server.shapes.message(message) for message in page]
    return JSONResponse({"meta": meta, "payload": payload})


def _page(
    conversation: Conversation, *, before: str | None, after: str | None
) -> list[Message]:
    """Oldest first: latest 20; before 20; after 100; between 1000 (message_finder)."""
    rows = conversation.messages
    if after and before:
        low, high = int(after), int(before)
        return [m for m in rows if low <= m.id < high][:BETWEEN]
    if before:
        return [m for m in rows if m.id < int(before)][-BEFORE:]
    if after:
        return [m for m in rows if m.id > int(after)][:AFTER]
    return rows[-LATEST:]


async def create_message(call: Call) -> Response:
    conversation = call.conversation()
    fields, uploads = await _fields(call)
    draft = _draft(call, fields=fields, uploads=uploads, conversation=conversation)
    message = call.server.messages.create(draft, conversation=conversation)
    echo_id = fields.get("echo_id")
    return JSONResponse(call.server.shapes.message(message, echo_id=echo_id))


async def _fields(call: Call) -> tuple[Json, list[Upload]]:
    """Fields and files of a JSON or multipart body."""
    content_type = call.request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        return call.parameters("message"), []
    fields: Json = {}
    uploads: list[Upload] = []
    async with call.request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                uploads.append(await _upload(value))
            else:
                fields[name] = value
    return fields, uploads


async def _upload(part: UploadFile) -> Upload:
    return Upload(
        name=part.filename or "file",
        content_type=part.content_type or "application/octet-stream",
        data=await part.read(),
    )


def _draft(
    call: Call, *, fields: Json, uploads: list[Upload], conversation: Conversation
) -> Draft:
    message_type = fields.get("message_type") or "outgoing"
    if message_type not in ("incoming", "outgoing"):
        raise errors.refused(f"'{message_type}' is not a valid message_type")
    inbox = call.server.store.inbox_of(conversation)
    if message_type == "incoming" and inbox.channel != "Channel::Api":
        raise errors.refused("Incoming messages are only allowed in Api inboxes")
    if len(uploads) > MAX_ATTACHMENTS:
        raise errors.refused("Validation failed: Too many attachments")
    incoming = message_type == "incoming"
    content = fields.get("content")
    return Draft(
        content=None if content is None else str(content),
        message_type=INCOMING if incoming else OUTGOING,
        actor=_actor(call, fields=fields, conversation=conversation, incoming=incoming),
        private=fields.get("private") in _TRUE,
        content_type=fields.get("content_type") or "text",
        content_attributes=_attributes(fields.get("content_attributes")),
        additional_attributes=_attributes(fields.get("additional_attributes")),
        source_id=fields.get("source_id"),
        uploads=uploads,
        request=call.request.scope.get("sandbox.request_times"),
    )


def _actor(
    call: Call, *, fields: Json, conversation: Conversation, incoming: bool
) -> Actor:
    if incoming:
        contact = call.server.store.contact_of(conversation)
        return Actor(kind="Contact", id=contact.id, name=contact.name)
    # A user's token may post in the name of a bot.
    if call.caller.agent and fields.get("sender_type") == "AgentBot":
        bot = call.server.store.bots.get(int(fields.get("sender_id") or 0))
        if bot is not None:
            return Actor(kind="AgentBot", id=bot.id, name=bot.name)
    return call.caller.actor()


def _attributes(value: object) -> Json:
    """An object, or JSON text of one as multipart bodies carry it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, dict) else {}


def _message(call: Call) -> Message:
    message_id = call.path_id("message_id")
    return call.server.message(call.conversation(), message_id=message_id)


async def delete_message(call: Call) -> Response:
    message = _message(call)
    call.server.messages.delete(message)
    return JSONResponse(call.server.shapes.message(message))


async def update_message(call: Call) -> Response:
    message = _message(call)
    inbox = call.server.store.inboxes[message.inbox_id]
    if inbox.channel != "Channel::Api":
        text = "Message status update is only allowed for API inboxes"
        raise errors.ApiError(403, {"error": text})
    changes: Json = {"status": call.body.get("status", message.status)}
    if external_error := call.body.get("external_error"):
        attributes = {**message.content_attributes, "external_error": external_error}
        changes["content_attributes"] = attributes
    call.server.messages.update(message, changes=changes)
    return JSONResponse(call.server.shapes.message(message))


async def retry_message(call: Call) -> Response:
    message = _message(call)
    call.server.messages.update(message, changes={"status": "sent"})
    return JSONResponse(call.server.shapes.message(message))
