"""Visitors choose in the sandbox's pre-chat form; everything is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WITH_BOT, WITHOUT_BOT = 1, 3
_BY_CHOICE = (
    "from conversations.models import Bot; "
    "Bot.objects.update(reply_as='by_support_mode', "
    "speak_in_statuses=['pending', 'open'])"
)
_WEBHOOK_TOKEN = (
    "from chatwoot_api.models import ChatwootAccount; "
    "a = ChatwootAccount.objects.get(); a.webhook_token = 'in-the-address'; a.save()"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        running.shell(_BY_CHOICE)
        running.shell(_WEBHOOK_TOKEN)
        # Of an inbox without an agent bot only an account webhook tells.
        wish = {
            "url": f"{running.web}/chatwoot/webhook?token=in-the-address",
            "subscriptions": ["message_created"],
        }
        requests.post(
            f"{running.sandbox}/api/v1/accounts/1/webhooks",
            json=wish,
            headers={"api-access-token": "sandbox-admin-token"},
            timeout=10,
        ).raise_for_status()
        yield running


class Visitor:
    """Somebody who fills in the form and starts to chat."""

    def __init__(self, stack: RunningStack, **form: Any) -> None:
        self._base = f"{stack.sandbox}/_sandbox/conversations"
        made = requests.post(
            self._base, json={"name": "Anna", "message": "Hello", **form}, timeout=10
        )
        made.raise_for_status()
        self.number = int(made.json()["id"])

    def second_request(self, **attributes: str) -> None:
        url = f"{self._base}/{self.number}/contact"
        body = {"custom_attributes": attributes}
        requests.patch(url, json=body, timeout=10).raise_for_status()

    def sees(self) -> dict[str, Any]:
        url = f"{self._base}/{self.number}"
        found: dict[str, Any] = requests.get(url, timeout=10).json()
        return found

    def forms(self) -> list[bool]:
        """Return of each message of the bot whether it is a note, once there is one."""

        def found() -> list[bool]:
            rows = self.sees()["messages"]
            return [
                row["private"]
                for row in rows
                if row["sender_type"] == "AgentBot" and "Hello" in row["content"]
            ]

        wait_until(lambda: bool(found()), patience_s=60, what="the bot's message")
        return found()


def test_bot_and_human_as_chosen(stack: RunningStack) -> None:
    bot = Visitor(stack, custom_attributes={"support_mode": "AI агент"})
    human = Visitor(stack, custom_attributes={"support_mode": "Человек"})

    assert bot.forms() == [False]
    assert human.forms() == [True]
    assert bot.sees()["status"] == "pending"
    wait_until(
        lambda: human.sees()["status"] == "open", patience_s=20, what="it to be opened"
    )


def test_a_contacts_choice_comes_with_a_second_request(stack: RunningStack) -> None:
    visitor = Visitor(stack)

    visitor.second_request(support_mode="bot")

    assert visitor.forms() == [False]


def test_an_inbox_without_an_agent_bot(stack: RunningStack) -> None:
    chosen = {"support_mode": "bot"}
    visitor = Visitor(stack, inbox_id=WITHOUT_BOT, custom_attributes=chosen)

    assert visitor.forms() == [False]
    assert visitor.sees()["status"] == "open"


def test_a_suggestion_on_request(stack: RunningStack) -> None:
    wire = f"{stack.sandbox}/_sandbox/wire?brief=1&direction=bridge→chatwoot"
    visitor = Visitor(stack, custom_attributes={"support_mode": "bot"})
    visitor.forms()
    before = len(requests.get(wire, timeout=10).json()["entries"])

    answer = requests.post(
        f"{stack.web}/chatwoot/copilot?token=in-the-address",
        json={"message": "May I return a tent?", "conversation_id": visitor.number},
        timeout=60,
    )

    assert answer.status_code == 200
    assert "May I return a tent?" in answer.json()["suggestion"]
    assert answer.json()["conversation_id"] == visitor.number
    posts = [
        row
        for row in requests.get(wire, timeout=10).json()["entries"][before:]
        if row["method"] == "POST" and row["path"].endswith("/messages")
    ]
    assert posts == []
    unknown = requests.post(
        f"{stack.web}/chatwoot/copilot", json={"message": "x"}, timeout=20
    )
    assert unknown.status_code == 401
