"""REST: labels, agents, inboxes, webhooks, attribute definitions."""

from __future__ import annotations

import re
import secrets

from starlette.responses import JSONResponse, Response

from sandbox import times
from sandbox.chatwoot import errors
from sandbox.chatwoot.records import (
    AttributeDefinition,
    CannedResponse,
    Label,
)
from sandbox.chatwoot.server import Call, Router, find
from sandbox.chatwoot.webhooks import SUBSCRIPTIONS
from sandbox.json_types import Json

DISPLAY_TYPES = (
    "text",
    "number",
    "currency",
    "percent",
    "link",
    "date",
    "list",
    "checkbox",
)
ATTRIBUTE_MODELS = ("conversation_attribute", "contact_attribute", "company_attribute")
_STANDARD_KEYS = {
    "status",
    "priority",
    "assignee_id",
    "inbox_id",
    "team_id",
    "labels",
    "referer",
    "created_at",
    "last_activity_at",
    "name",
    "email",
    "phone_number",
    "identifier",
    "city",
    "country_code",
}


def register(router: Router) -> None:
    add = router.add
    add("GET", "/labels", list_account_labels)
    add("POST", "/labels", create_label, admin_only=True)
    add("PATCH", "/labels/{id:int}", update_label, admin_only=True)
    add("DELETE", "/labels/{id:int}", delete_label, admin_only=True)
    add("GET", "/agents", list_agents)
    add("GET", "/inboxes", list_inboxes)
    add("GET", "/inboxes/{id:int}", show_inbox)
    add("PATCH", "/inboxes/{id:int}", update_inbox, admin_only=True)
    add("GET", "/webhooks", list_webhooks, admin_only=True)
    add("POST", "/webhooks", create_webhook, admin_only=True)
    add("PATCH", "/webhooks/{id:int}", update_webhook, admin_only=True)
    add("DELETE", "/webhooks/{id:int}", delete_webhook, admin_only=True)
    definitions = "/custom_attribute_definitions"
    add("GET", definitions, list_definitions)
    add("POST", definitions, create_definition, admin_only=True)
    add("PATCH", definitions + "/{id:int}", update_definition, admin_only=True)
    add("DELETE", definitions + "/{id:int}", delete_definition, admin_only=True)
    add("GET", "/canned_responses", list_canned_responses)
    add("POST", "/canned_responses", create_canned_response)


# Labels, agents, inboxes.


async def list_account_labels(call: Call) -> Response:
    rows = call.server.store.labels.values()
    return JSONResponse({"payload": [call.server.shapes.label(row) for row in rows]})


async def create_label(call: Call) -> Response:
    store = call.server.store
    label = Label(
        id=store.next_row_id("label", rows=store.labels),
        title="",
        description="",
        color="#1f93ff",
    )
    _write_label(call, label)
    store.labels[label.id] = label
    return JSONResponse(call.server.shapes.label(label))


def _write_label(call: Call, label: Label) -> None:
    fields = call.parameters("label")
    title = str(fields.get("title", label.title) or "").lower()
    others = (row for row in call.server.store.labels.values() if row.id != label.id)
    if not re.fullmatch(r"[\w-]+", title):
        raise errors.invalid_record("Title is invalid", "title")
    if any(row.title == title for row in others):
        raise errors.invalid_record("Title has already been taken", "title")
    label.title = title
    label.description = str(fields.get("description", label.description) or "")
    label.color = str(fields.get("color") or label.color)
    label.show_on_sidebar = bool(fields.get("show_on_sidebar", label.show_on_sidebar))


async def update_label(call: Call) -> Response:
    label = find(call.server.store.labels, call.path_id("id"))
    _write_label(call, label)
    return JSONResponse(call.server.shapes.label(label))


async def delete_label(call: Call) -> Response:
    """The conversations keep the bare word: labels are tags."""
    label = find(call.server.store.labels, call.path_id("id"))
    del call.server.store.labels[label.id]
    return Response(status_code=200)


async def list_agents(call: Call) -> Response:
    rows = call.server.store.agents.values()
    return JSONResponse([call.server.shapes.agent(row) for row in rows])


async def list_inboxes(call: Call) -> Response:
    rows = call.server.store.inboxes.values()
    return JSONResponse({"payload": [call.server.shapes.inbox(row) for row in rows]})


async def show_inbox(call: Call) -> Response:
    inbox = find(call.server.store.inboxes, call.path_id("id"))
    return JSONResponse(call.server.shapes.inbox(inbox, caller=call.caller))


async def update_inbox(call: Call) -> Response:
    """Name, lock, business hours and, of an API inbox, its webhook_url."""
    inbox = find(call.server.store.inboxes, call.path_id("id"))
    body = call.body
    inbox.name = str(body.get("name", inbox.name))
    locked = body.get("lock_to_single_conversation", inbox.lock_to_single_conversation)
    inbox.lock_to_single_conversation = bool(locked)
    enabled = body.get("working_hours_enabled", inbox.working_hours_enabled)
    inbox.working_hours_enabled = bool(enabled)
    inbox.timezone = str(body.get("timezone", inbox.timezone))
    days = {row["day_of_week"]: row for row in body.get("working_hours") or []}
    inbox.working_hours = [
        {**row, **days.get(row["day_of_week"], {})} for row in inbox.working_hours
    ]
    channel = body.get("channel")
    if isinstance(channel, dict) and inbox.channel == "Channel::Api":
        inbox.webhook_url = str(channel.get("webhook_url", inbox.webhook_url) or "")
    return JSONResponse(call.server.shapes.inbox(inbox, caller=call.caller))


# Account webhooks.


async def list_webhooks(call: Call) -> Response:
    rows = call.server.store.webhooks.values()
    shapes = [call.server.shapes.webhook(row) for row in rows]
    return JSONResponse({"payload": {"webhooks": shapes}})


def check_webhook(call: Call, *, url: str, subscriptions: object, own_id: int) -> None:
    if not re.match(r"https?://", url):
        raise errors.invalid_record("Url is invalid", "url")
    rows = call.server.store.webhooks.values()
    if any(row.url == url and row.id != own_id for row in rows):
        raise errors.invalid_record("Url has already been taken", "url")
    known = isinstance(subscriptions, list) and set(subscriptions) <= SUBSCRIPTIONS
    if not subscriptions or not known:
        raise errors.invalid_record("Invalid subscriptions", "base")


async def create_webhook(call: Call) -> Response:
    fields = call.parameters("webhook")
    url, subscriptions = str(fields.get("url") or ""), fields.get("subscriptions")
    check_webhook(call, url=url, subscriptions=subscriptions, own_id=0)
    webhook = call.server.lifecycle.new_webhook(
        name=str(fields.get("name") or ""),
        url=url,
        subscriptions=list(subscriptions or []),
        secret=secrets.token_urlsafe(24),
    )
    return JSONResponse({"payload": {"webhook": call.server.shapes.webhook(webhook)}})


async def update_webhook(call: Call) -> Response:
    webhook = find(call.server.store.webhooks, call.path_id("id"))
    fields = call.parameters("webhook")
    url = str(fields.get("url", webhook.url))
    subscriptions = fields.get("subscriptions", webhook.subscriptions)
    check_webhook(call, url=url, subscriptions=subscriptions, own_id=webhook.id)
    webhook.url, webhook.subscriptions = url, list(subscriptions)
    webhook.name = str(fields.get("name", webhook.name) or "")
    return JSONResponse({"payload": {"webhook": call.server.shapes.webhook(webhook)}})


async def delete_webhook(call: Call) -> Response:
    webhook = find(call.server.store.webhooks, call.path_id("id"))
    del call.server.store.webhooks[webhook.id]
    return Response(status_code=200)


# Custom attribute definitions.


async def list_definitions(call: Call) -> Response:
    model = _choice(call.query.get("attribute_model"), names=ATTRIBUTE_MODELS)
    rows = call.server.store.attribute_definitions.values()
    shape = call.server.shapes.attribute_definition
    return JSONResponse([shape(r) for r in rows if model is None or r.model == model])


def _choice(value: object, *, names: tuple[str, ...]) -> str | None:
    """A name, or its number; numeric strings count in queries only."""
    if value is None or value == "":
        return None
    if str(value).isdigit() and int(str(value)) < len(names):
        return names[int(str(value))]
    if value in names:
        return str(value)
    raise errors.crashed()


def _write_definition(call: Call, row: AttributeDefinition, *, fields: Json) -> None:
    for name in ("attribute_display_type", "attribute_model"):
        if isinstance(fields.get(name), str) and fields[name].isdigit():
            raise errors.crashed()  # a numeric string is no enum value in Rails
    key = str(fields.get("attribute_key", row.key) or "")
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", key):
        raise errors.invalid_record("Attribute key is invalid", "attribute_key")
    if key in _STANDARD_KEYS:
        text = "The key provided is not allowed as it might conflict with default ones."
        raise errors.invalid_record(text, "attribute_key")
    model = _choice(fields.get("attribute_model"), names=ATTRIBUTE_MODELS) or row.model
    for other in call.server.store.attribute_definitions.values():
        if other.id != row.id and (other.key, other.model) == (key, model):
            text = "Attribute key has already been taken"
            raise errors.invalid_record(text, "attribute_key")
    row.key, row.model = key, model
    row.display_name = str(fields.get("attribute_display_name", row.display_name))
    row.description = str(fields.get("attribute_description", row.description) or "")
    row.values = list(fields.get("attribute_values", row.values) or [])
    row.regex_pattern = fields.get("regex_pattern", row.regex_pattern)
    row.regex_cue = fields.get("regex_cue", row.regex_cue)
    kind = _choice(fields.get("attribute_display_type"), names=DISPLAY_TYPES)
    row.display_type = kind or row.display_type


async def create_definition(call: Call) -> Response:
    store = call.server.store
    row = AttributeDefinition(
        id=store.next_row_id("definition", rows=store.attribute_definitions),
        display_name="",
        key="",
        display_type="text",
        model="conversation_attribute",
        created_at=times.now(),
    )
    _write_definition(call, row, fields=call.parameters("custom_attribute_definition"))
    store.attribute_definitions[row.id] = row
    return JSONResponse(call.server.shapes.attribute_definition(row))


async def update_definition(call: Call) -> Response:
    row = find(call.server.store.attribute_definitions, call.path_id("id"))
    _write_definition(call, row, fields=call.parameters("custom_attribute_definition"))
    return JSONResponse(call.server.shapes.attribute_definition(row))


async def delete_definition(call: Call) -> Response:
    row = find(call.server.store.attribute_definitions, call.path_id("id"))
    del call.server.store.attribute_definitions[row.id]
    return Response(status_code=204)


# Canned responses.


def _canned(row: CannedResponse) -> Json:
    return {"id": row.id, "short_code": row.short_code, "content": row.content}


async def list_canned_responses(call: Call) -> Response:
    text = call.query.get("search", "").lower()
    rows = call.server.store.canned_responses.values()
    return JSONResponse([_canned(r) for r in rows if text in r.short_code.lower()])


async def create_canned_response(call: Call) -> Response:
    store, fields = call.server.store, call.parameters("canned_response")
    row = CannedResponse(
        id=store.next_id("canned"),
        short_code=str(fields.get("short_code") or ""),
        content=str(fields.get("content") or ""),
    )
    store.canned_responses[row.id] = row
    return JSONResponse(_canned(row))
