"""Nothing to set: success, nothing done, Chatwoot not called."""

from __future__ import annotations

from typing import Any

import pytest

from conversations.models import Bot, Callback, Conversation
from conversations.tests import flows
from conversations.tests.factories import make_bot, make_conversation

pytestmark = pytest.mark.django_db

NOTHING: list[Any] = [
    None,
    "",
    "   ",
    "None",
    "none",
    "null",
    "undefined",
    "NaN",
    "N/A",
    "-",
    "{{#1719212345678.text#}}",
    "{{ region }}",
    "conversation.region",
    "sys.conversation_id",
    [],
    ["None", ""],
    {},
    {"value": None},
]
OPERATIONS = [
    ("POST", "toggle-status/133", "status"),
    ("POST", "toggle-priority/133", "priority"),
    ("POST", "assign-team/133", "team"),
    ("POST", "update-labels/133", "labels"),
    ("POST", "update-custom-attributes/133", "custom_attributes"),
    ("PATCH", "conversations/133", "status"),
    ("PATCH", "conversations/133", "custom_attributes"),
    ("PATCH", "conversations/133", "note"),
    ("POST", "conversations/133/messages", "content"),
    ("POST", "conversations/133/assign-agent", "agent"),
    ("POST", "conversations/133/unassign", "what"),
    ("POST", "conversations/133/typing", "typing"),
    ("PATCH", "conversations/133/contact", "email"),
    ("POST", "send-chatwoot-message?conversation_id=133", "message"),
]


@pytest.fixture
def bot() -> Bot:
    return make_bot()


@pytest.fixture
def conversation(bot: Bot) -> Conversation:
    """Known to the mirror alone: an unstubbed call to Chatwoot fails the test."""
    return make_conversation(bot)


@pytest.mark.parametrize("value", NOTHING, ids=str)
@pytest.mark.parametrize(("method", "path", "name"), OPERATIONS)
def test_nothing_to_set_is_success_without_a_call(
    bot: Bot,
    conversation: Conversation,
    wire: object,
    method: str,
    path: str,
    name: str,
    value: Any,
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.call(method, path, {name: value})
    assert flow.status == 200
    assert flow.answer["status"] == "success"
    assert flow.answer["skipped"] is True
    assert flow.answer["conversation_id"] == 133
    row = flows.last_callback()
    assert (row.status, row.calls) == (Callback.Status.SKIPPED, [])


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"other": "open"}', b"NaN"])
def test_an_empty_body_is_nothing_to_set(
    bot: Bot, conversation: Conversation, wire: object, body: bytes
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("toggle-status/133", body)
    assert (flow.status, flow.answer.get("skipped")) == (200, True)


@pytest.mark.parametrize("body", [b"null", b"[]", b'["None"]', b'""', b'"None"'])
def test_labels_that_are_nothing(
    bot: Bot, conversation: Conversation, wire: object, body: bytes
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("update-labels/133", body)
    assert (flow.status, flow.answer.get("skipped")) == (200, True)


@pytest.mark.parametrize(
    "path",
    [
        "toggle-status/",
        "toggle-status",
        "toggle-status/None",
        "toggle-status/%20",
        "toggle-status/conversation.chatwoot_conversation_id",
        "toggle-status/{{%23start.chatwoot_conversation_id%23}}",
        "conversations//assign-agent",
        "conversations/None/assign-agent",
        "conversations//typing",
        "conversations/null/messages",
        "send-chatwoot-message?message=hello",
        "send-chatwoot-message?message=hello&conversation_id=",
        "send-chatwoot-message?message=hello&conversation_id=None",
    ],
)
def test_without_a_number_there_is_nothing_to_do(
    bot: Bot, conversation: Conversation, wire: object, path: str
) -> None:
    flow = flows.with_bot_token(bot)
    flow.post(path, {"status": "open", "agent": "Ada", "typing": True, "content": "x"})
    assert flow.status == 200
    assert flow.answer["status"] == "success"
    assert flow.answer["skipped"] is True
    assert "conversation_id" in flow.answer["message"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_conversation_without_a_number(
    bot: Bot, conversation: Conversation, wire: object, method: str
) -> None:
    flow = flows.with_bot_token(bot)
    flow.call(method, "conversations/", {"status": "open"})
    assert (flow.status, flow.answer.get("skipped")) == (200, True)


def test_an_unset_dify_id_is_nothing_to_look_up(bot: Bot, wire: object) -> None:
    flow = flows.with_bot_token(bot)
    for unset in ("None", "sys.conversation_id", ""):
        flow.get(f"conversations/dify/{unset}")
        assert (flow.status, flow.answer.get("skipped")) == (200, True)


def test_the_team_of_the_former_bridge_is_told_as_it_told_it(
    bot: Bot, conversation: Conversation, wire: object
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("assign-team/133", {"team": "None"})
    assert flow.answer["team"] == "None"
    assert flow.answer["conversation_id"] == 133


def test_the_answer_tells_what_was_understood(
    bot: Bot, conversation: Conversation, wire: object
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("toggle-priority/133", {"priority": "{{#llm.text#}}"})
    assert flow.answer["understood"] == {"priority": None}
    assert "priority" in flow.answer["message"]
