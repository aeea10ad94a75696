"""REST: lists and filters of conversations, and a contact's conversations."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import JSONResponse, Response

from sandbox.chatwoot import errors
from sandbox.chatwoot.records import Conversation
from sandbox.chatwoot.server import Call, Router, find
from sandbox.json_types import Json

PAGE_SIZE = 25
CONTACT_PAGE_SIZE = 20

Condition = Callable[[Conversation], bool]


def register(router: Router) -> None:
    router.add("GET", "/conversations", list_conversations)
    router.add("GET", "/conversations/meta", conversations_meta)
    router.add("POST", "/conversations/filter", filter_conversations)
    router.add("GET", "/contacts/{contact_id:int}/conversations", contact_conversations)


def _selected(call: Call) -> list[Conversation]:
    """By status (open unless told), inbox, team, labels and text; newest first."""
    query = call.request.query_params
    status = query.get("status") or "open"
    labels = query.getlist("labels[]")
    rows = []
    for row in call.server.store.conversations.values():
        if status not in ("all", row.status):
            continue
        if query.get("inbox_id") and str(row.inbox_id) != query["inbox_id"]:
            continue
        if query.get("team_id") and str(row.team_id) != query["team_id"]:
            continue
        if labels and not set(labels) & set(row.labels):
            continue
        if query.get("q") and not _mentions(row, text=query["q"]):
            continue
        rows.append(row)
    return sorted(rows, key=lambda row: row.last_activity_at, reverse=True)


def _mentions(conversation: Conversation, *, text: str) -> bool:
    return any(text.lower() in (m.content or "").lower() for m in conversation.messages)


def _by_assignee(call: Call, rows: list[Conversation]) -> list[Conversation]:
    kind = call.query.get("assignee_type", "all")
    if kind == "me":
        agent = call.caller.agent
        return [row for row in rows if agent and row.assignee_id == agent.id]
    if kind == "unassigned":
        return [row for row in rows if row.assignee_id is None]
    if kind == "assigned":
        return [row for row in rows if row.assignee_id is not None]
    return rows


def _counts(call: Call, rows: list[Conversation]) -> Json:
    agent = call.caller.agent
    assigned = [row for row in rows if row.assignee_id is not None]
    return {
        "mine_count": sum(
            1 for row in assigned if agent and row.assignee_id == agent.id
        ),
        "assigned_count": len(assigned),
        "unassigned_count": len(rows) - len(assigned),
        "all_count": len(rows),
    }


def _shapes(call: Call, rows: list[Conversation]) -> list[Json]:
    bug = call.server.settings.bot_team_bug
    shape = call.server.shapes.conversation
    return [shape(row, caller=call.caller, team_bug=bug) for row in rows]


def _paged(call: Call, rows: list[Conversation]) -> list[Conversation]:
    start = (call.page() - 1) * PAGE_SIZE
    return rows[start : start + PAGE_SIZE]


async def list_conversations(call: Call) -> Response:
    rows = _selected(call)
    payload = _shapes(call, _paged(call, _by_assignee(call, rows)))
    return JSONResponse({"data": {"meta": _counts(call, rows), "payload": payload}})


async def conversations_meta(call: Call) -> Response:
    return JSONResponse({"meta": _counts(call, _selected(call))})


async def filter_conversations(call: Call) -> Response:
    conditions = call.body.get("payload")
    if not isinstance(conditions, list) or not conditions:
        raise errors.refused("Filter payload is missing")
    tests = [(_condition(call, row), row.get("query_operator")) for row in conditions]
    rows = [
        row
        for row in call.server.store.conversations.values()
        if _passes(row, tests=tests)
    ]
    rows.sort(key=lambda row: row.last_activity_at, reverse=True)
    payload = _shapes(call, _paged(call, rows))
    return JSONResponse({"meta": _counts(call, rows), "payload": payload})


def _passes(row: Conversation, *, tests: list[tuple[Condition, str | None]]) -> bool:
    """Left to right; each condition names how the next one is joined."""
    result, joined_by = True, "AND"
    for test, operator in tests:
        value = test(row)
        result = (result or value) if joined_by == "OR" else (result and value)
        joined_by = (operator or "AND").upper()
    return result


def _condition(call: Call, given: Json) -> Condition:
    key, operator = given.get("attribute_key"), given.get("filter_operator")
    wanted = [str(value).lower() for value in given.get("values") or []]
    read = _reader(call, key=str(key))

    def test(row: Conversation) -> bool:
        values = [str(value).lower() for value in read(row)]
        if operator == "equal_to":
            return any(value in wanted for value in values)
        if operator == "not_equal_to":
            return not any(value in wanted for value in values)
        if operator == "contains":
            return any(part in value for value in values for part in wanted)
        if operator == "does_not_contain":
            return not any(part in value for value in values for part in wanted)
        if operator == "is_present":
            return bool(values)
        return not values

    known = ("equal_to", "not_equal_to", "contains", "does_not_contain")
    if operator not in (*known, "is_present", "is_not_present"):
        raise errors.refused(
            f"Invalid operator. The allowed operators for {key} are {known}."
        )
    return test


def _reader(call: Call, *, key: str) -> Callable[[Conversation], list[object]]:
    columns = ("status", "priority", "assignee_id", "inbox_id", "team_id", "contact_id")
    if key in columns:
        return lambda row: [v for v in [getattr(row, key)] if v is not None]
    if key == "display_id":
        return lambda row: [row.id]
    if key == "labels":
        return lambda row: list(row.labels)
    if key in ("browser_language", "conversation_language", "referer"):
        return lambda row: [
            v for v in [row.additional_attributes.get(key)] if v is not None
        ]
    definitions = call.server.store.attribute_definitions.values()
    if any(d.key == key and d.model == "conversation_attribute" for d in definitions):
        return lambda row: [
            v for v in [row.custom_attributes.get(key)] if v is not None
        ]
    raise errors.refused(f"Invalid attribute key - [{key}].")


async def contact_conversations(call: Call) -> Response:
    contact = find(call.server.store.contacts, call.path_id("contact_id"))
    rows = call.server.store.conversations_of_contact(contact.id)[:CONTACT_PAGE_SIZE]
    return JSONResponse({"payload": _shapes(call, rows)})
