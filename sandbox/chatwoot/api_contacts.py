"""REST: contacts, their labels and inboxes."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse, Response

from sandbox.chatwoot import errors
from sandbox.chatwoot.api_conversations import check_attributes
from sandbox.chatwoot.records import Contact
from sandbox.chatwoot.server import Call, Router, find
from sandbox.json_types import Json

PAGE_SIZE = 15
_ONE = "/contacts/{contact_id:int}"
_PLAIN = ("name", "email", "phone_number", "identifier", "blocked")
_E164 = re.compile(r"\+[1-9]\d{1,14}$")


def register(router: Router) -> None:
    router.add("GET", "/contacts", list_contacts)
    router.add("POST", "/contacts", create_contact)
    router.add("GET", "/contacts/search", search_contacts)
    router.add("GET", _ONE, show_contact)
    router.add("PUT", _ONE, update_contact)
    router.add("PATCH", _ONE, update_contact)
    router.add("DELETE", _ONE, delete_contact, admin_only=True)
    router.add("POST", f"{_ONE}/destroy_custom_attributes", destroy_custom_attributes)
    router.add("GET", f"{_ONE}/labels", contact_labels)
    router.add("POST", f"{_ONE}/labels", set_contact_labels)
    router.add("GET", f"{_ONE}/contactable_inboxes", contactable_inboxes)
    router.add("POST", f"{_ONE}/contact_inboxes", create_contact_inbox)


def _contact(call: Call) -> Contact:
    return find(call.server.store.contacts, call.path_id("contact_id"))


def _page(call: Call, rows: list[Contact]) -> JSONResponse:
    start = (call.page() - 1) * PAGE_SIZE
    page = rows[start : start + PAGE_SIZE]
    meta = {
        "count": len(page),
        "current_page": call.page(),
        "has_more": len(rows) > start + PAGE_SIZE,
    }
    payload = [call.server.shapes.contact_with_inboxes(row) for row in page]
    return JSONResponse({"meta": meta, "payload": payload})


async def list_contacts(call: Call) -> Response:
    """Identified contacts only, as Chatwoot's list."""
    rows = call.server.store.contacts.values()
    return _page(call, [r for r in rows if r.email or r.phone_number or r.identifier])


async def search_contacts(call: Call) -> Response:
    text = call.query.get("q", "").strip().lower()
    if not text:
        body = {"error": "Specify search string with parameter q"}
        raise errors.ApiError(422, body)
    rows = [
        row
        for row in call.server.store.contacts.values()
        if any(
            text in (value or "").lower()
            for value in (row.name, row.email, row.phone_number, row.identifier)
        )
    ]
    return _page(call, rows)


async def show_contact(call: Call) -> Response:
    shape = call.server.shapes.contact_with_inboxes(_contact(call))
    return JSONResponse({"payload": shape})


async def create_contact(call: Call) -> Response:
    store, body = call.server.store, call.parameters("contact")
    _check(call, body, own_id=0)
    contact = store.new_contact(str(body.get("name") or ""))
    _write(contact, body)
    call.server.lifecycle.publish_contact("contact_created", contact=contact)
    contact_inbox: Json = {"inbox": None, "source_id": None}
    if body.get("inbox_id"):
        inbox = find(store.inboxes, int(body["inbox_id"]))
        row = store.new_contact_inbox(
            contact_id=contact.id, inbox_id=inbox.id, source_id=body.get("source_id")
        )
        contact_inbox = {
            "inbox": call.server.shapes.inbox(inbox),
            "source_id": row.source_id,
        }
    shape = call.server.shapes.contact_with_inboxes(contact)
    payload = {"contact": shape, "contact_inbox": contact_inbox}
    return JSONResponse({"payload": payload})


async def update_contact(call: Call) -> Response:
    contact, body = _contact(call), call.parameters("contact")
    _check(call, body, own_id=contact.id)
    before = {name: getattr(contact, name) for name in _PLAIN}
    before["custom_attributes"] = dict(contact.custom_attributes)
    _write(contact, body)
    changes = [
        {name: {"previous_value": old, "current_value": getattr(contact, name)}}
        for name, old in before.items()
        if old != getattr(contact, name)
    ]
    if changes:
        call.server.lifecycle.publish_contact(
            "contact_updated", contact=contact, changes=changes
        )
    shape = call.server.shapes.contact_with_inboxes(contact)
    return JSONResponse({"payload": shape})


def _check(call: Call, body: Json, *, own_id: int) -> None:
    check_attributes(body.get("custom_attributes") or {})
    phone = body.get("phone_number")
    if phone and not _E164.match(str(phone)):
        text = "Phone number should be in e164 format"
        raise errors.invalid_record(text, "phone_number")
    for name, label in (
        ("email", "Email"),
        ("phone_number", "Phone number"),
        ("identifier", "Identifier"),
    ):
        for row in call.server.store.contacts.values():
            if body.get(name) and row.id != own_id and getattr(row, name) == body[name]:
                raise errors.invalid_record(f"{label} has already been taken", name)


def _write(contact: Contact, body: Json) -> None:
    """Plain fields are set; both attribute objects are merged."""
    for name in _PLAIN:
        if name in body:
            setattr(contact, name, body[name])
    for name in ("custom_attributes", "additional_attributes"):
        getattr(contact, name).update(body.get(name) or {})


async def delete_contact(call: Call) -> Response:
    contact = _contact(call)
    store = call.server.store
    for row in store.conversations_of_contact(contact.id):
        del store.conversations[row.id]
    del store.contacts[contact.id]
    return Response(status_code=200)


async def destroy_custom_attributes(call: Call) -> Response:
    contact = _contact(call)
    for name in call.body.get("custom_attributes") or []:
        contact.custom_attributes.pop(name, None)
    shape = call.server.shapes.contact_with_inboxes(contact)
    return JSONResponse({"payload": shape})


async def contact_labels(call: Call) -> Response:
    return JSONResponse({"payload": list(_contact(call).labels)})


async def set_contact_labels(call: Call) -> Response:
    contact = _contact(call)
    contact.labels = [str(name) for name in call.body.get("labels") or []]
    return JSONResponse({"payload": list(contact.labels)})


async def contactable_inboxes(call: Call) -> Response:
    """A web widget counts only while the contact has no conversation there."""
    contact, store = _contact(call), call.server.store
    talked = {row.inbox_id for row in store.conversations_of_contact(contact.id)}
    payload = []
    for row in store.contact_inboxes.values():
        inbox = store.inboxes[row.inbox_id]
        is_widget = inbox.channel == "Channel::WebWidget"
        if row.contact_id == contact.id and not (is_widget and inbox.id in talked):
            shape = call.server.shapes.inbox(inbox)
            payload.append({"inbox": shape, "source_id": row.source_id})
    return JSONResponse({"payload": payload})


async def create_contact_inbox(call: Call) -> Response:
    contact, store = _contact(call), call.server.store
    inbox = find(store.inboxes, int(call.body.get("inbox_id") or 0))
    row = store.new_contact_inbox(
        contact_id=contact.id,
        inbox_id=inbox.id,
        source_id=call.body.get("source_id"),
    )
    return JSONResponse(call.server.shapes.contact_inbox(row))
