"""Which Chatwoot conversation is which Dify conversation, and does it all work?"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from bridge_project.lib.errors import ConfigurationError, UpstreamError
from bridge_project.lib.redact import storable
from bridge_project.lib.types import JsonObject
from conversations.actions.target import Target
from conversations.callbacks import answers
from conversations.callbacks.answers import Answer
from conversations.callbacks.authentication import Caller, caller_of
from conversations.callbacks.serving import Operation, serve
from conversations.models import Bot, Conversation, DifyConversation, PipelineRun
from dify_api.arguments import is_not_set


def by_dify_id(request: Request, *, dify_id: str, query: JsonObject) -> Response:
    """Answer which conversation a Dify conversation belongs to.

    A first run may ask before the bridge has stored the id: with a conversation token
    it is that one all the same.
    """
    caller = caller_of(request).bound_to(query.get("conversation_token", ""))
    given = ""
    if caller.claim is None and not is_not_set(dify_id):
        text = storable(dify_id).strip()
        number = _number_of(text, bot=caller.bot)
        if number is None:
            return _unknown(caller, dify_id=text)
        given = str(number)
    return serve(request, FIND_BY_DIFY_ID, given=given, wanted=query)


def _unknown(caller: Caller, *, dify_id: str) -> Response:
    answer = answers.refusal(
        "conversation_not_found",
        f"No Chatwoot conversation belongs to the Dify conversation {dify_id[:64]}. "
        "During its very first run it is not known yet: send the conversation token.",
    )
    strict = caller.bot is not None and caller.bot.strict_statuses
    return Response(answer.body, status=answer.http_status(strict=strict))


def _number_of(dify_id: str, *, bot: Bot | None) -> int | None:
    """Return the number of the newest conversation that used the Dify conversation."""
    known = Conversation.objects.all()
    if bot is not None:
        known = known.filter(account=bot.account_id)
    rows = known.filter(
        Q(
            pk__in=DifyConversation.objects.filter(dify_conversation_id=dify_id).values(
                "conversation"
            )
        )
        | Q(
            turns__in=PipelineRun.objects.filter(dify_conversation_id=dify_id).values(
                "turn"
            )
        )
    )
    number: int | None = (
        rows.order_by("-updated_at")
        .values_list("chatwoot_conversation_id", flat=True)
        .first()
    )
    return number


def _dialogue_info(target: Target, wanted: JsonObject) -> Answer:
    conversation = target.conversation
    if conversation is None:  # erased since it was found
        return answers.refusal(
            "conversation_not_found", f"Conversation {target.number} was erased."
        )
    memory = conversation.dify_conversations.filter(ended_at=None).last()
    return Answer(
        body={
            "id": conversation.pk,
            "conversation_id": target.number,
            "chatwoot_conversation_id": target.number,
            "dify_conversation_id": memory.dify_conversation_id if memory else None,
            "status": conversation.status,
            "assignee_id": conversation.chatwoot_assignee_id,
            "team": conversation.team_name or None,
            "created_at": conversation.created_at.isoformat(),
            "updated_at": conversation.updated_at.isoformat(),
        }
    )


def _test_conversation(target: Target, wanted: JsonObject) -> Answer:
    """Try each step of the way to Chatwoot without changing anything."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    steps: JsonObject = {"database": "ok"}
    checks: dict[str, Callable[[], object]] = {
        "bot_token": lambda: target.client.check_token("bot"),
        "admin_token": lambda: target.client.check_token("admin"),
        "read_conversation": lambda: target.client.show_conversation(target.number),
    }
    for name, check in checks.items():
        try:
            check()
            steps[name] = "ok"
        except (UpstreamError, ConfigurationError) as err:
            steps[name] = err.message
    trouble = [name for name, state in steps.items() if state != "ok"]
    if trouble:
        return answers.refusal(
            "refused_by_chatwoot",
            f"Not all of it works: {', '.join(trouble)}. See steps.",
            conversation_id=target.number,
            steps=steps,
        )
    return Answer(
        body={
            "status": "success",
            "conversation_id": target.number,
            "steps": steps,
            "message": "The bridge reaches the conversation with both tokens.",
        }
    )


FIND_BY_DIFY_ID = Operation(
    name="find_by_dify_id", perform=_dialogue_info, changes=False
)
DIALOGUE_INFO = Operation(name="dialogue_info", perform=_dialogue_info, changes=False)
TEST_CONVERSATION = Operation(
    name="test_conversation", perform=_test_conversation, changes=False
)
