"""Service API: conversations, their messages, variables and feedback."""

from __future__ import annotations

from starlette.responses import Response

from sandbox import times
from sandbox.dify import errors
from sandbox.dify.records import DifyConversation, DifyMessage
from sandbox.dify.server import DEFAULT_USER, Call, Router, user_of
from sandbox.json_types import Json

_TYPE_NAMES: list[tuple[type, str]] = [
    (bool, "boolean"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (dict, "object"),
    (type(None), "none"),
]


def register(router: Router) -> None:
    one = "/conversations/{conversation_id:uuid}"
    router.add("GET", "/conversations", list_conversations)
    router.add("DELETE", one, delete_conversation)
    router.add("POST", f"{one}/name", rename_conversation)
    router.add("GET", f"{one}/variables", list_variables)
    router.add("PUT", f"{one}/variables/{{variable_id:uuid}}", put_variable)
    router.add("GET", "/messages", list_messages)
    router.add("POST", "/messages/{message_id:uuid}/feedbacks", feedback)
    router.add("GET", "/messages/{message_id:uuid}/suggested", suggested)
    router.add("GET", "/app/feedbacks", list_feedback)


def _own(call: Call, *, user: str) -> list[DifyConversation]:
    rows = call.server.store.conversations.values()
    return [r for r in rows if r.app_id == call.app.id and r.user == user]


async def list_conversations(call: Call) -> Response:
    call.need_chat_mode()
    sort_by = call.query.get("sort_by", "-updated_at")
    column = sort_by.removeprefix("-")
    if column not in ("created_at", "updated_at"):
        raise errors.invalid_param(f"{sort_by} is not a valid choice")
    rows = _own(call, user=call.query_user)
    rows.sort(key=lambda row: int(getattr(row, column)), reverse=sort_by[0] == "-")
    last_id = call.query.get("last_id")
    if last_id:
        ids = [row.id for row in rows]
        if last_id not in ids:
            raise errors.not_found("Last Conversation Not Exists.")
        rows = rows[ids.index(last_id) + 1 :]
    limit = call.limit()
    body = {
        "limit": limit,
        "has_more": len(rows) > limit,
        "data": [row.shape() for row in rows[:limit]],
    }
    return call.answer(body)


async def delete_conversation(call: Call) -> Response:
    """1.12 deletes whatever id it gets, for any user and any app of the workspace."""
    call.need_chat_mode()
    user = str((await call.json_body()).get("user") or DEFAULT_USER)
    conversation_id = call.path_text("conversation_id")
    if call.version.delete_checks_owner:
        call.conversation(conversation_id, user=user, hint=False)
    call.server.store.conversations.pop(conversation_id, None)
    if call.version.delete_status == 200:
        return call.answer({"result": "success"})
    return call.empty(status=204)


async def rename_conversation(call: Call) -> Response:
    call.need_chat_mode()
    body = await call.json_body()
    row = call.conversation(call.path_text("conversation_id"), user=user_of(body))
    if body.get("auto_generate"):
        row.name = row.messages[0].query[:20] if row.messages else row.name
    elif not body.get("name"):
        raise errors.invalid_param("name is required when auto_generate is false")
    else:
        row.name = str(body["name"])
    row.updated_at = int(times.now())
    return call.answer(row.shape())


# Messages.


async def list_messages(call: Call) -> Response:
    call.need_chat_mode()
    conversation_id = call.query.get("conversation_id", "")
    row = call.conversation(conversation_id, user=call.query_user)
    rows = list(row.messages)
    first_id = call.query.get("first_id")
    if first_id:
        ids = [message.id for message in rows]
        if first_id not in ids:
            raise errors.not_found("First Message Not Exists.")
        rows = rows[: ids.index(first_id)]
    limit = call.limit()
    is_newest = call.version.runs_in_celery
    body = {
        "limit": limit,
        "has_more": len(rows) > limit,
        "data": [message.shape(is_newest=is_newest) for message in rows[-limit:]],
    }
    return call.answer(body)


def _message(call: Call, *, user: str) -> DifyMessage:
    message_id = call.path_text("message_id")
    message = call.server.store.find_message(message_id, app=call.app, user=user)
    if message is None:
        raise errors.not_found("Message Not Exists.", hint=False)
    return message


async def feedback(call: Call) -> Response:
    body = await call.json_body()
    message = _message(call, user=user_of(body))
    rating = body.get("rating")
    if rating not in (None, "like", "dislike"):
        raise errors.invalid_param(f"{rating} is not a valid choice")
    if rating is None and message.feedback is None:
        raise errors.invalid_param("rating cannot be None when feedback not exists")
    message.feedback = rating
    message.feedback_content = str(body.get("content") or "") if rating else ""
    return call.answer({"result": "success"})


async def suggested(call: Call) -> Response:
    call.need_chat_mode()
    _message(call, user=call.query_user)
    if not call.app.suggestions:
        raise errors.bad_request("Suggested Questions Is Disabled.")
    questions = ["When will it arrive?", "Can I return it?", "Talk to a person"]
    return call.answer({"result": "success", "data": questions})


async def list_feedback(call: Call) -> Response:
    rows = [
        {
            "message_id": message.id,
            "rating": message.feedback,
            "content": message.feedback_content,
        }
        for conversation in call.server.store.conversations.values()
        if conversation.app_id == call.app.id
        for message in conversation.messages
        if message.feedback
    ]
    return call.answer({"data": rows})


# Conversation variables: chatflows only, since 1.3.1.


async def list_variables(call: Call) -> Response:
    if call.version.is_old:
        return errors.html_not_found()
    call.need_chat_mode()
    row = call.conversation(call.path_text("conversation_id"), user=call.query_user)
    if "variable_name" in call.query:
        # Both recorded 1.x servers answer 500 to this filter.
        raise errors.DifyError(500, "unknown", "Internal Server Error")
    shapes = [_variable(row, declared) for declared in call.app.variables]
    last_id = call.query.get("last_id")
    if last_id:
        ids = [shape["id"] for shape in shapes]
        if last_id not in ids:
            raise errors.not_found("Conversation Variable Not Exists.", hint=False)
        shapes = shapes[ids.index(last_id) + 1 :]
    limit = call.limit()
    has_more = len(shapes) > limit
    return call.answer({"limit": limit, "has_more": has_more, "data": shapes[:limit]})


def _variable(row: DifyConversation, declared: Json) -> Json:
    """``value`` is always a string, written by Python's ``str``."""
    value = row.variables.get(declared["name"])
    return {
        "id": declared["id"],
        "name": declared["name"],
        "value_type": declared["type"],
        "value": None if value is None else str(value),
        "description": "",
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


async def put_variable(call: Call) -> Response:
    if call.version.is_old:
        return errors.html_not_found()
    call.need_chat_mode()
    body = await call.json_body()
    if "value" not in body:
        raise errors.field_error(
            model="ConversationVariableUpdatePayload",
            field="value",
            text="Field required",
            kind="missing",
            value=f"input_value={body!r}, input_type=dict",
            version=call.version,
        )
    row = call.conversation(
        call.path_text("conversation_id"), user=user_of(body), hint=False
    )
    variable_id = call.path_text("variable_id")
    declared = next((v for v in call.app.variables if v["id"] == variable_id), None)
    if declared is None:
        raise errors.not_found("Conversation Variable Not Exists.", hint=False)
    got = _type_name(body["value"])
    if got != declared["type"].replace("array[string]", "array"):
        raise errors.bad_request(
            f"Type mismatch: variable '{declared['name']}' expects "
            f"{declared['type']}, but got {got} type"
        )
    row.variables[declared["name"]] = body["value"]
    return call.answer(_variable(row, declared))


def _type_name(value: object) -> str:
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return "array"
