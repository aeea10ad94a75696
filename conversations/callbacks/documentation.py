"""What the OpenAPI document says of each operation.

Descriptions are read by models that choose a tool, so each says when to use it and what
may be sent (reference/dify.md section 8b).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework.serializers import Serializer

from bridge_project.lib.types import JsonObject
from conversations.callbacks import serializers


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the document says that a token is needed."""

    target_class = "conversations.callbacks.authentication.CallbackAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


Where = Literal["path", "query", "header"]
ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def _text(name: str, description: str, *, where: Where) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, where, description=description, required=where == "path"
    )


CONVERSATION_ID = _text(
    "conversation_id",
    "Number of the conversation in Chatwoot, or “current” for that of the "
    "conversation token.",
    where="path",
)
TOKEN = _text(
    "X-Conversation-Token",
    "The value of the input conversation_token. With it only the customer's own "
    "conversation can be reached.",
    where="header",
)
REFRESH = _text(
    "refresh", "true: read from Chatwoot now, not from memory.", where="query"
)


@dataclass(frozen=True, kw_only=True)
class Documented:
    """One operation: its texts, its body and what it answers, by examples."""

    summary: str
    description: str
    body: type[Serializer[Any]] | None = None
    parameters: tuple[OpenApiParameter, ...] = ()
    has_conversation: bool = True
    answers: type[Serializer[Any]] = serializers.Answer
    request: JsonObject | None = None
    answer: JsonObject


def _done(before: Any, after: Any, **more: Any) -> JsonObject:
    return {
        "status": "success",
        "conversation_id": 42,
        "result": "applied",
        "before": before,
        "after": after,
        **more,
    }


OPERATIONS: Mapping[str, Documented] = {
    "send_message_simple": Documented(
        summary="Send a message or a private note",
        description=(
            "Sends a text to the customer, or with is_private a note that only the "
            "agents see."
        ),
        body=serializers.SendMessageSimple,
        has_conversation=False,
        parameters=(
            _text(
                "conversation_id",
                "Number of the conversation, or “current” for that of the token.",
                where="query",
            ),
        ),
        request={"message": "Your parcel is on its way.", "is_private": False},
        answer=_done(None, None, message_id=901, message="Message sent successfully"),
    ),
    "update_labels": Documented(
        summary="Add labels",
        description="Adds labels to the conversation; the ones it has stay.",
        body=serializers.Labels,
        request={"labels": "vip, return"},
        answer=_done(["vip"], ["vip", "return"], labels=["vip", "return"]),
    ),
    "update_custom_attributes": Documented(
        summary="Set attributes of the conversation",
        description=(
            "Sets or removes custom attributes of the conversation; the others stay."
        ),
        body=serializers.CustomAttributes,
        request={"custom_attributes": '{"region": "Berlin"}'},
        answer=_done({}, {"region": "Berlin"}, custom_attributes={"region": "Berlin"}),
    ),
    "set_priority": Documented(
        summary="Set the priority",
        description="Sets the priority: low, medium, high or urgent.",
        body=serializers.Priority,
        request={"priority": "high"},
        answer=_done(None, "high", priority="high"),
    ),
    "assign_team": Documented(
        summary="Assign a team",
        description=(
            "Assigns the conversation to a team by its name. To hand over to humans, "
            "also set the status to open."
        ),
        body=serializers.TeamName,
        request={"team": "Support"},
        answer=_done(None, "support", team="support", team_id=1),
    ),
    "set_status": Documented(
        summary="Set the status",
        description=(
            "Sets the status: open gives the conversation to the humans, pending to "
            "the bot, resolved ends it, snoozed lets it rest."
        ),
        body=serializers.Status,
        request={"status": "open"},
        answer=_done("pending", "open", new_status="open", previous_status="pending"),
    ),
    "assign_agent": Documented(
        summary="Assign a human agent",
        description="Assigns the conversation to a human agent by name or e-mail.",
        body=serializers.AgentName,
        request={"agent": "Marta"},
        answer=_done(None, "Marta Keller", assignee="Marta Keller", assignee_id=2),
    ),
    "unassign": Documented(
        summary="Take agent or team away",
        description="Takes the human agent, the team, or both away.",
        body=serializers.Unassign,
        request={"what": "agent"},
        answer={
            "status": "success",
            "conversation_id": 42,
            "message": "Done: assignee.",
            "fields": {
                "assignee": {"result": "applied", "before": "Marta", "after": None}
            },
        },
    ),
    "set_typing": Documented(
        summary="Show or hide the typing sign",
        description="Shows the customer that somebody is typing, or hides it.",
        body=serializers.Typing,
        request={"typing": True},
        answer=_done(None, True),
    ),
    "get_conversation": Documented(
        summary="Read the conversation",
        description=(
            "Tells status, priority, team, assignee, labels, attributes, inbox and "
            "customer of the conversation."
        ),
        parameters=(REFRESH,),
        answer={
            "status": "success",
            "conversation_id": 42,
            "conversation": {
                "status": "pending",
                "priority": "high",
                "team": "support",
                "assignee": None,
                "labels": ["vip"],
                "custom_attributes": {"region": "Berlin"},
            },
        },
    ),
    "update_conversation": Documented(
        summary="Change several things at once",
        description=(
            "Changes status, priority, team, assignee, labels, attributes and adds a "
            "note, in one call. Answers for each field what became of it."
        ),
        body=serializers.ConversationChange,
        request={
            "team": "support",
            "labels_add": "vip",
            "note": "Wants a refund.",
            "status": "open",
        },
        answer={
            "status": "partial",
            "conversation_id": 42,
            "code": "unknown_team",
            "message": (
                "Done: labels_add, status. team: There is no team “suport”. Possible: "
                "sales, support."
            ),
            "fields": {
                "labels_add": {"result": "applied", "before": [], "after": ["vip"]},
                "status": {"result": "applied", "before": "pending", "after": "open"},
                "team": {
                    "result": "refused",
                    "code": "unknown_team",
                    "message": "There is no team “suport”. Possible: sales, support.",
                    "possible": ["sales", "support"],
                },
            },
        },
    ),
    "list_messages": Documented(
        summary="Read the messages",
        description="Reads messages of the conversation, the newest page first.",
        parameters=(
            _text("before", "Only messages older than this number.", where="query"),
            _text("after", "Only messages newer than this number.", where="query"),
            _text("limit", "At most so many, up to 100; 20 by default.", where="query"),
        ),
        answer={
            "status": "success",
            "conversation_id": 42,
            "messages": [
                {"id": 900, "type": "incoming", "content": "Where is my order?"}
            ],
        },
    ),
    "send_message": Documented(
        summary="Send a message with buttons, cards or files",
        description=(
            "Sends a message or note, also as a reply, with buttons, cards, a form, "
            "article links or files."
        ),
        body=serializers.Message,
        request={
            "content": "May we call you?",
            "content_type": "input_select",
            "items": "Yes, No",
        },
        answer=_done(None, None, message_id=902),
    ),
    "get_contact": Documented(
        summary="Read the customer",
        description=(
            "Tells name, e-mail, phone number and attributes of the conversation's "
            "customer."
        ),
        answer={
            "status": "success",
            "conversation_id": 42,
            "contact": {
                "id": 7,
                "name": "Anna Schmidt",
                "email": "anna@example.com",
                "custom_attributes": {"customer_tier": "gold"},
            },
        },
    ),
    "update_contact": Documented(
        summary="Change the customer",
        description=(
            "Changes name, e-mail, phone number, identifier or attributes of the "
            "conversation's customer; what is left out stays."
        ),
        body=serializers.ContactChange,
        request={"email": "anna@example.com"},
        answer=_done({"email": None}, {"email": "anna@example.com"}),
    ),
    "start_conversation": Documented(
        summary="Start a conversation",
        description=(
            "Starts a new conversation with a customer, who is found by number, "
            "identifier, e-mail or phone, or made. Needs the bot's token, and not a "
            "conversation token."
        ),
        body=serializers.NewConversation,
        has_conversation=False,
        request={
            "inbox": "Website",
            "contact_email": "anna@example.com",
            "contact_name": "Anna Schmidt",
            "message": "Your order is ready.",
        },
        answer={"status": "success", "conversation_id": 43, "contact_id": 7},
    ),
    "find_by_dify_id": Documented(
        summary="Find the conversation of a Dify conversation",
        description=(
            "Tells the number and status of the Chatwoot conversation to which a Dify "
            "conversation belongs. With a conversation token it is that one, also "
            "during the very first run."
        ),
        has_conversation=False,
        parameters=(
            _text(
                "dify_id",
                "Dify's sys.conversation_id.",
                where="path",
            ),
            TOKEN,
        ),
        answers=serializers.Dialogue,
        answer={
            "chatwoot_conversation_id": 42,
            "conversation_id": 42,
            "status": "pending",
            "assignee_id": None,
        },
    ),
    "dialogue_info": Documented(
        summary="Read number, status and assignee",
        description=(
            "Tells status, assignee and Dify conversation of a conversation, as the "
            "bridge remembers them."
        ),
        answers=serializers.Dialogue,
        answer={
            "chatwoot_conversation_id": 42,
            "conversation_id": 42,
            "dify_conversation_id": "6d0c…",
            "status": "pending",
            "assignee_id": None,
        },
    ),
    "refresh_teams": Documented(
        summary="Read the teams anew",
        description="Reads teams, agents, labels and attributes anew from Chatwoot.",
        has_conversation=False,
        answer={"status": "success", "teams": 3, "cache_enabled": True},
    ),
    "list_teams": Documented(
        summary="List the teams",
        description="Lists the teams that a conversation may be assigned to.",
        has_conversation=False,
        parameters=(REFRESH,),
        answer={
            "status": "success",
            "names": "sales, support",
            "teams": [{"id": 1, "name": "support", "description": "First line"}],
        },
    ),
    "list_labels": Documented(
        summary="List the labels",
        description="Lists the labels that are defined in Chatwoot.",
        has_conversation=False,
        parameters=(REFRESH,),
        answer={
            "status": "success",
            "names": "return, vip",
            "labels": [{"title": "vip", "description": "Handle with care"}],
        },
    ),
    "list_attribute_definitions": Documented(
        summary="List the attributes",
        description=(
            "Lists the custom attributes of conversations and customers, their types "
            "and allowed values."
        ),
        has_conversation=False,
        parameters=(REFRESH,),
        answer={
            "status": "success",
            "attributes": [
                {
                    "key": "region",
                    "name": "Region",
                    "of": "conversation",
                    "type": "list",
                    "values": ["Berlin", "South"],
                }
            ],
        },
    ),
}

_ANSWER = (
    "What was done, or with “status”: “error” what cannot be done and what to do about "
    "it."
)
_REFUSALS: Mapping[int, str] = {
    400: "The request was not understood: no JSON, or no valid number.",
    401: "No token, or one that is unknown or too old.",
    403: "The conversation is not one that this token reaches.",
    404: "Only with strict statuses: there is no such conversation, inbox or contact.",
    409: "Only with strict statuses: a human has the conversation.",
    413: "The body is too large.",
    422: "Only with strict statuses: the wish cannot be fulfilled.",
    424: "Only with strict statuses: Chatwoot failed, or there is too much at once.",
}


def operation_of(method: object) -> str:
    """Return the name of the operation that a view's method serves, "" for none."""
    return str(getattr(method, "callback_operation", ""))


def documented(name: str) -> Callable[[ViewT], ViewT]:
    """Give a view's method its name, and what the document says of its operation."""
    about = OPERATIONS[name]
    parameters = list(about.parameters)
    if about.has_conversation:
        parameters = [CONVERSATION_ID, *parameters]
    if TOKEN not in parameters:
        parameters.append(TOKEN)
    examples = [
        OpenApiExample(
            "answer", value=about.answer, response_only=True, status_codes=["200"]
        )
    ]
    if about.request is not None:
        examples.append(
            OpenApiExample("request", value=about.request, request_only=True)
        )
    describe = extend_schema(
        operation_id=name,
        summary=about.summary,
        description=about.description,
        parameters=parameters,
        request=None if about.body is None else {"application/json": about.body},
        responses={
            200: OpenApiResponse(about.answers, _ANSWER),
            **{
                status: OpenApiResponse(serializers.Refusal, text)
                for status, text in _REFUSALS.items()
            },
        },
        examples=examples,
        tags=["flows"],
    )

    def name_it(method: ViewT) -> ViewT:
        described: ViewT = describe(method)
        described.callback_operation = name  # type: ignore[attr-defined]
        return described

    return name_it
