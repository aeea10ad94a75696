"""Flows of the bridge before this one: same paths, arguments and answers."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from conversations.models import Bot, Conversation, DifyConversation
from conversations.tests import flows
from conversations.tests.factories import app_of
from conversations.tests.flows import Flow
from conversations.tests.sandbox_chatwoot import SandboxChatwoot

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot(sandbox: SandboxChatwoot) -> Bot:
    return sandbox.bot()


@pytest.fixture
def conversation(sandbox: SandboxChatwoot, bot: Bot) -> Conversation:
    return sandbox.known_conversation(bot)


@pytest.fixture
def number(conversation: Conversation) -> int:
    return conversation.chatwoot_conversation_id


@pytest.fixture
def flow(settings: Settings) -> Flow:
    """As such a flow is: without any token, in a closed network."""
    settings.CALLBACK_AUTH = "none"
    return Flow()


def test_a_message_by_query(flow: Flow, sandbox: SandboxChatwoot, number: int) -> None:
    flow.post(
        f"send-chatwoot-message?conversation_id={number}&message=Hello%20there"
        "&is_private=False"
    )
    assert flow.status == 200
    assert flow.answer["status"] == "success"
    assert flow.answer["message"] == "Message sent successfully"
    assert flow.answer["conversation_id"] == number
    last = sandbox.messages(number)[-1]
    assert (last["content"], last["private"]) == ("Hello there", False)
    assert last["sender"]["type"] == "agent_bot"


def test_a_note_by_body(flow: Flow, sandbox: SandboxChatwoot, number: int) -> None:
    flow.post(
        "send-chatwoot-message",
        {"conversation_id": str(number), "message": "For you", "is_private": "True"},
    )
    assert flow.answer["status"] == "success"
    last = sandbox.messages(number)[-1]
    assert (last["content"], last["private"]) == ("For you", True)


def test_labels_as_a_list(flow: Flow, sandbox: SandboxChatwoot, number: int) -> None:
    sandbox.api("POST", f"/conversations/{number}/labels", {"labels": ["vip"]})
    flow.post(f"update-labels/{number}", ["return", "bug"])
    assert flow.answer["status"] == "success"
    assert flow.answer["conversation_id"] == number
    assert sorted(flow.answer["labels"]) == ["bug", "return", "vip"]
    assert sorted(sandbox.conversation(number)["labels"]) == ["bug", "return", "vip"]


def test_attributes_as_an_object(
    flow: Flow, sandbox: SandboxChatwoot, number: int
) -> None:
    path = f"/conversations/{number}/custom_attributes"
    sandbox.api("POST", path, {"custom_attributes": {"order_number": "A-1"}})
    flow.post(f"update-custom-attributes/{number}", {"region": "North", "empty": None})
    assert flow.answer["status"] == "success"
    assert flow.answer["conversation_id"] == number
    assert flow.answer["custom_attributes"]["region"] == "North"
    shown = sandbox.conversation(number)["custom_attributes"]
    assert shown == {"order_number": "A-1", "region": "North"}


def test_a_priority(flow: Flow, sandbox: SandboxChatwoot, number: int) -> None:
    flow.post(f"toggle-priority/{number}", {"priority": "High"})
    assert flow.answer["status"] == "success"
    assert flow.answer["priority"] == "high"
    assert flow.answer["conversation_id"] == number
    assert sandbox.conversation(number)["priority"] == "high"


def test_a_team_by_name(flow: Flow, sandbox: SandboxChatwoot, number: int) -> None:
    flow.post(f"assign-team/{number}", {"team": "  SUPPORT "})
    assert flow.answer["status"] == "success"
    assert flow.answer["team"] == "support"
    assert flow.answer["team_id"] == 1
    assert sandbox.conversation(number)["meta"]["team"]["name"] == "support"


def test_a_team_that_is_not_there(
    flow: Flow, sandbox: SandboxChatwoot, number: int
) -> None:
    flow.post(f"assign-team/{number}", {"team": "Suport"})
    assert flow.status == 200
    assert flow.answer["status"] == "error"
    assert flow.answer["code"] == "unknown_team"
    assert flow.answer["possible"] == ["returns", "sales", "support"]
    assert "support" in flow.answer["message"]
    assert "team" not in sandbox.conversation(number)["meta"]


@pytest.mark.parametrize("status", ["open", "resolved", "snoozed"])
def test_a_status(
    flow: Flow, sandbox: SandboxChatwoot, number: int, status: str
) -> None:
    flow.post(f"toggle-status/{number}/", {"status": status})
    assert flow.answer["status"] == "success"
    assert flow.answer["new_status"] == status
    assert flow.answer["previous_status"] == "pending"
    assert flow.answer["conversation_id"] == number
    assert sandbox.conversation(number)["status"] == status


def test_the_status_that_it_has_already(
    flow: Flow, sandbox: SandboxChatwoot, number: int
) -> None:
    flow.post(f"toggle-status/{number}", {"status": "pending"})
    assert flow.answer["status"] == "success"
    assert flow.answer["result"] == "unchanged"
    methods = [call["method"] for call in flows.last_callback().calls]
    assert methods == ["GET"]


def test_teams_are_read_anew(flow: Flow, bot: Bot, sandbox: SandboxChatwoot) -> None:
    assert flow.post("refresh-teams")["teams"] == 3
    sandbox.api("POST", "/teams", {"name": "Escalations"})
    assert flow.post("refresh-teams")["teams"] == 4
    assert bot.account.teams.filter(name="escalations").exists()


def test_lists_to_choose_from(flow: Flow, bot: Bot, sandbox: SandboxChatwoot) -> None:
    teams = flow.get("teams")
    assert teams["names"] == "returns, sales, support"
    assert teams["teams"][2] == {
        "id": 1,
        "name": "support",
        "description": "First line",
    }
    labels = flow.get("labels")
    assert labels["names"] == "billing, bug, return, vip"
    assert labels["labels"][3] == {
        "title": "vip",
        "description": "Handle with care",
        "color": "#7C3AED",
    }
    attributes = flow.get("attribute-definitions")
    assert attributes["names"].startswith("customer_tier, dify_summary, language")
    assert attributes["attributes"][0] == {
        "key": "customer_tier",
        "name": "Customer tier",
        "of": "contact",
        "type": "list",
        "values": ["gold", "silver"],
        "description": "",
    }
    sandbox.api("POST", "/teams", {"name": "Escalations"})
    assert "escalations" not in flow.get("teams")["names"]
    assert "escalations" in flow.get("teams?refresh=true")["names"]


def test_by_dify_id(flow: Flow, bot: Bot, conversation: Conversation) -> None:
    DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="3fa8c1d2",
        dify_user="u",
    )
    flow.get("conversations/dify/3fa8c1d2")
    assert flow.status == 200
    assert (
        flow.answer["chatwoot_conversation_id"] == conversation.chatwoot_conversation_id
    )
    assert flow.answer["status"] == "pending"
    assert flow.answer["assignee_id"] is None


def test_by_a_dify_id_that_nobody_knows(flow: Flow, bot: Bot) -> None:
    flow.get("conversations/dify/nobody")
    assert (flow.status, flow.answer["status"]) == (200, "error")
    assert flow.answer["code"] == "conversation_not_found"


def test_by_dify_id_during_the_very_first_run(
    bot: Bot, conversation: Conversation
) -> None:
    """The bridge has not stored the id yet when the flow asks."""
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.get("conversations/dify/not-stored-yet")
    assert (
        flow.answer["chatwoot_conversation_id"] == conversation.chatwoot_conversation_id
    )


@pytest.mark.parametrize("name", ["dialogue-info", "conversation-info"])
def test_dialogue_info(
    flow: Flow, conversation: Conversation, number: int, name: str
) -> None:
    flow.get(f"{name}/{number}")
    assert flow.answer["chatwoot_conversation_id"] == number
    assert flow.answer["status"] == "pending"
    assert flow.answer["assignee_id"] is None
    assert flow.answer["dify_conversation_id"] is None


@pytest.mark.parametrize("path", ["health", "health/"])
def test_health(flow: Flow, path: str) -> None:
    flow.get(path)
    assert flow.status == 200
    assert flow.answer["status"] == "healthy"
    assert flow.answer["database"] == "connected"
    assert "timestamp" in flow.answer


def test_the_way_to_a_conversation_can_be_tried(flow: Flow, number: int) -> None:
    flow.post("health/test-conversation", {"conversation_id": number})
    assert flow.answer["status"] == "success"
    assert set(flow.answer["steps"].values()) == {"ok"}


def test_what_does_not_work_is_named(
    flow: Flow, sandbox: SandboxChatwoot, number: int
) -> None:
    sandbox.control("PATCH", "/settings", {"admin_token_refused": True})
    flow.post(f"health/test-conversation?conversation_id={number}")
    assert flow.answer["status"] == "error"
    assert flow.answer["steps"]["bot_token"] == "ok"
    assert "administrator" in flow.answer["steps"]["admin_token"]
