"""The addresses of the callback API; each says what it takes and hands over.

Numbers in paths are texts here: a flow may leave them empty or unrendered, and gets an
answer that it can read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser, FormParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bridge_project.lib.database import release_connection
from bridge_project.lib.types import JsonObject
from conversations.callbacks import (
    addressing,
    lists,
    lookups,
    operations,
    places,
    refusals,
    starting,
    uploads,
)
from conversations.callbacks.authentication import CallbackAuthentication
from conversations.callbacks.documentation import documented, operation_of
from conversations.callbacks.errors import Refused, answer_for_exception
from conversations.callbacks.parsers import LenientJsonParser, as_object
from conversations.callbacks.serving import Operation, serve, serve_account
from dify_api.arguments import is_not_set


class CallbackView(APIView):
    """What all addresses share."""

    # Said here and not in the settings: the bridge may be a guest in another project.
    authentication_classes = (CallbackAuthentication,)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    parser_classes: tuple[type[BaseParser], ...] = (FormParser, LenientJsonParser)

    has_place = False

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Serve it in a place of its own, from before its body is read."""
        with places.taken() as self.has_place:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out who calls; nothing of the body is read before."""
        if not self.has_place:
            raise places.refuse()
        super().initial(request, *args, **kwargs)
        # A body may come slowly, and connections are few.
        release_connection()

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer errors in the API's own shape."""
        return answer_for_exception

    def handle_exception(self, exc: Exception) -> Response:
        """Keep what was refused: it is what authors and operators look for first."""
        if isinstance(exc, Refused) and exc.code != "busy":
            refusals.note(self.request, exc, operation=self._operation())
        return super().handle_exception(exc)

    def _operation(self) -> str:
        method = (self.request.method or "").lower()
        return operation_of(getattr(self, method, None))

    def serve(self, request: Request, operation: Operation, given: str) -> Response:
        """Answer with the arguments of the body, or of the query for a read."""
        wanted = as_object(request.data) if request.method != "GET" else {}
        return serve(
            request, operation, given=given, wanted={**_query(request), **wanted}
        )


def _query(request: Request) -> JsonObject:
    return as_object(request.query_params)


class SendChatwootMessage(CallbackView):
    """POST /send-chatwoot-message."""

    @documented("send_message_simple")
    def post(self, request: Request) -> Response:
        given = addressing.number_in_query(request.query_params)
        wanted = as_object(request.data)
        query = _query(request)
        query.pop("conversation_id", None)
        return serve(
            request,
            operations.SEND_SIMPLE,
            given=given,
            wanted={**query, **wanted},
        )


class UpdateLabels(CallbackView):
    """POST /update-labels/{conversation_id}."""

    @documented("update_labels")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        data = request.data
        wanted: JsonObject = {"labels": data}
        if not isinstance(data, list | str):
            wanted = as_object(data)
        return serve(
            request, operations.UPDATE_LABELS, given=conversation_id, wanted=wanted
        )


class UpdateCustomAttributes(CallbackView):
    """POST /update-custom-attributes/{conversation_id}."""

    @documented("update_custom_attributes")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return serve(
            request,
            operations.UPDATE_ATTRIBUTES,
            given=conversation_id,
            wanted=_attributes(as_object(request.data)),
        )


def _attributes(data: JsonObject) -> JsonObject:
    """Return the arguments; a bare object is the attributes themselves."""
    rest = dict(data)
    token = rest.pop("conversation_token", "")
    if not rest.keys() & {"custom_attributes", "custom_attributes_remove"}:
        rest = {"custom_attributes": rest}
    return {**rest, "conversation_token": token}


class TogglePriority(CallbackView):
    """POST /toggle-priority/{conversation_id}."""

    @documented("set_priority")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.SET_PRIORITY, conversation_id)


class AssignTeam(CallbackView):
    """POST /assign-team/{conversation_id}."""

    @documented("assign_team")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.ASSIGN_TEAM, conversation_id)


class ToggleStatus(CallbackView):
    """POST /toggle-status/{conversation_id}."""

    @documented("set_status")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.SET_STATUS, conversation_id)


class AssignAgent(CallbackView):
    """POST /conversations/{conversation_id}/assign-agent."""

    @documented("assign_agent")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.ASSIGN_AGENT, conversation_id)


class Unassign(CallbackView):
    """POST /conversations/{conversation_id}/unassign."""

    @documented("unassign")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.UNASSIGN, conversation_id)


class Typing(CallbackView):
    """POST /conversations/{conversation_id}/typing."""

    @documented("set_typing")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.SET_TYPING, conversation_id)


class ConversationState(CallbackView):
    """GET and PATCH /conversations/{conversation_id}."""

    @documented("get_conversation")
    def get(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.GET_CONVERSATION, conversation_id)

    @documented("update_conversation")
    def patch(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.UPDATE_CONVERSATION, conversation_id)


class Messages(CallbackView):
    """GET and POST /conversations/{conversation_id}/messages."""

    parser_classes = (MultiPartParser, FormParser, LenientJsonParser)

    @documented("list_messages")
    def get(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.LIST_MESSAGES, conversation_id)

    @documented("send_message")
    def post(self, request: Request, conversation_id: str = "") -> Response:
        if not _may_bring_files(request):
            return self._send(request, conversation_id)
        with places.taken("files") as has_place:
            if not has_place:
                raise places.refuse()
            return self._send(request, conversation_id)

    def _send(self, request: Request, conversation_id: str) -> Response:
        files = uploads.of(request)
        wanted = {**_query(request), **as_object(request.data)}
        if files:
            wanted["files"] = [uploads.described(file) for file in files]
        return serve(
            request, operations.sending(files), given=conversation_id, wanted=wanted
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let files in before the body is read."""
        uploads.allow(request._request)
        super().initial(request, *args, **kwargs)


def _may_bring_files(request: Request) -> bool:
    """Tell, before the body is read, whether it may be large; or names files."""
    if request.content_type.startswith("multipart/"):
        return True
    data = request.data if isinstance(request.data, dict) else {}
    named = data.get("attachment_urls") or request.query_params.get("attachment_urls")
    return not is_not_set(named)


class Contact(CallbackView):
    """GET and PATCH /conversations/{conversation_id}/contact."""

    @documented("get_contact")
    def get(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.GET_CONTACT, conversation_id)

    @documented("update_contact")
    def patch(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, operations.UPDATE_CONTACT, conversation_id)


class Conversations(CallbackView):
    """POST /conversations; the others are for a number that was left empty."""

    @documented("start_conversation")
    def post(self, request: Request) -> Response:
        wanted = as_object(request.data)
        return serve_account(request, starting.START_CONVERSATION, wanted=wanted)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return self.serve(request, operations.GET_CONVERSATION, "")

    @extend_schema(exclude=True)
    def patch(self, request: Request) -> Response:
        return self.serve(request, operations.UPDATE_CONVERSATION, "")


class ByDifyId(CallbackView):
    """GET /conversations/dify/{dify_id}."""

    @documented("find_by_dify_id")
    def get(self, request: Request, dify_id: str = "") -> Response:
        return lookups.by_dify_id(request, dify_id=dify_id, query=_query(request))


class DialogueInfo(CallbackView):
    """GET /dialogue-info/{conversation_id}."""

    @documented("dialogue_info")
    def get(self, request: Request, conversation_id: str = "") -> Response:
        return self.serve(request, lookups.DIALOGUE_INFO, conversation_id)


class ConversationInfo(DialogueInfo):
    """GET /conversation-info/{conversation_id}, an older name of the same."""

    schema = None


class RefreshTeams(CallbackView):
    """POST /refresh-teams."""

    @documented("refresh_teams")
    def post(self, request: Request) -> Response:
        return serve_account(request, lists.REFRESH_TEAMS, wanted=_any(request))


class Teams(CallbackView):
    """GET /teams."""

    @documented("list_teams")
    def get(self, request: Request) -> Response:
        return serve_account(request, lists.TEAMS, wanted=_query(request))


class Labels(CallbackView):
    """GET /labels."""

    @documented("list_labels")
    def get(self, request: Request) -> Response:
        return serve_account(request, lists.LABELS, wanted=_query(request))


class AttributeDefinitions(CallbackView):
    """GET /attribute-definitions."""

    @documented("list_attribute_definitions")
    def get(self, request: Request) -> Response:
        return serve_account(request, lists.ATTRIBUTES, wanted=_query(request))


class TestConversation(CallbackView):
    """POST /health/test-conversation."""

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        wanted = {**_query(request), **_any(request)}
        given = addressing.number_in_query(request.query_params)
        return serve(request, lookups.TEST_CONVERSATION, given=given, wanted=wanted)


def _any(request: Request) -> JsonObject:
    """Return the body's arguments where none are needed."""
    return as_object(request.data) if isinstance(request.data, dict) else {}
