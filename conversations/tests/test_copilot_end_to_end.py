"""Agents and bot side by side in the sandbox; everything is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DRAFT = "🤖 Draft by the bot – not sent to the customer\n\n"
ANSWER = "🤖 Answer by the bot – only agents see it\n\n"
_SETTINGS = (
    "from conversations.models import Bot; "
    "Bot.objects.update(draft_notes=True, language='en', shadow={shadow})"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        running.shell(_SETTINGS.format(shadow=False))
        yield running


class Talk:
    """A conversation with a customer and an agent."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        base = f"{stack.sandbox}/_sandbox/conversations"
        made = requests.post(base, json={"name": "Anna"}, timeout=10)
        made.raise_for_status()
        self.number = int(made.json()["id"])
        self._base = f"{base}/{self.number}"

    def _act(self, what: str, **body: Any) -> Any:
        done = requests.post(f"{self._base}/{what}", json=body, timeout=10)
        done.raise_for_status()
        return done.json()

    def customer(self, text: str) -> None:
        self._act("customer-messages", content=text)

    def agent(self, text: str) -> None:
        self._act("reply", content=text)

    def note(self, text: str) -> None:
        self._act("note", content=text)

    def opened(self) -> None:
        self._act("status", status="open")

    def sees(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(self._base, timeout=10).json()
        return found

    def by_bot(self, *, private: bool) -> list[str]:
        return [
            row["content"]
            for row in self.sees()["messages"]
            if row["sender_type"] == "AgentBot" and row["private"] is private
        ]

    def wait_for(self, count: int, *, private: bool) -> list[str]:
        wait_until(
            lambda: len(self.by_bot(private=private)) >= count,
            patience_s=60,
            what=f"message {count} of the bot, private: {private}",
        )
        return self.by_bot(private=private)

    def row(self, query: str) -> dict[str, Any] | None:
        text = (
            f"SELECT {query} WHERE conversation_id = (SELECT id FROM "
            "conversations_conversation WHERE chatwoot_conversation_id = %s)"
        )
        with psycopg.connect(
            self._stack.database_url, row_factory=dict_row
        ) as database:
            return database.execute(text, [self.number]).fetchone()


def dify_conversations(stack: RunningStack) -> list[dict[str, Any]]:
    url = f"{stack.sandbox}/_sandbox/dify/conversations"
    found: list[dict[str, Any]] = requests.get(url, timeout=10).json()["conversations"]
    return found


def test_a_draft_is_compared_with_what_the_agent_sends(stack: RunningStack) -> None:
    talk = Talk(stack)
    talk.opened()
    talk.customer("Where is my order?")
    [note] = talk.wait_for(1, private=True)
    assert note.startswith(DRAFT)
    assert "Where is my order?" in note

    talk.agent(note.removeprefix(DRAFT))

    query = "similarity, edit_rate, human_text FROM conversations_draft"
    wait_until(
        lambda: (talk.row(query) or {}).get("similarity") is not None,
        patience_s=20,
        what="the comparison",
    )
    row = talk.row(query)
    assert row is not None
    assert (row["similarity"], row["edit_rate"]) == (1.0, 0.0)
    assert talk.by_bot(private=False) == []
    assert talk.sees()["status"] == "open"
    # Its own note, and the agent's reply, began nothing more.
    assert talk.row("count(*) AS n FROM conversations_turn") == {"n": 1}


def test_an_agent_asks_the_bot_and_the_customer_hears_nothing(
    stack: RunningStack,
) -> None:
    talk = Talk(stack)
    talk.customer("The tent is torn.")
    talk.wait_for(1, private=False)

    talk.note("/ai what does she want?")

    [note] = talk.wait_for(1, private=True)
    assert note.startswith(ANSWER)
    assert len(talk.by_bot(private=False)) == 1
    assert talk.sees()["status"] == "pending"
    memories = [
        one
        for one in dify_conversations(stack)
        if any("The tent is torn." in row["query"] for row in one["messages"])
    ]
    customers, agents = memories
    assert [row["query"] for row in customers["messages"]] == ["The tent is torn."]
    assert not customers["user"].startswith("copilot-")
    assert agents["user"].startswith("copilot-")
    query = agents["messages"][0]["query"]
    assert "Customer: The tent is torn." in query
    assert query.endswith("what does she want?")


def test_feedback_reaches_dify(stack: RunningStack) -> None:
    talk = Talk(stack)
    talk.customer("What does it cost?")
    talk.wait_for(1, private=False)

    talk.note("/bad wrong price")

    def feedback() -> list[dict[str, Any]]:
        return [
            given
            for one in dify_conversations(stack)
            if any(row["query"] == "What does it cost?" for row in one["messages"])
            for given in one["feedback"].values()
        ]

    wait_until(lambda: bool(feedback()), patience_s=30, what="the feedback")
    assert feedback() == [{"rating": "dislike", "content": "wrong price"}]
    assert len(talk.by_bot(private=True)) == 0


def test_on_a_trial_run_the_bot_writes_notes_only(stack: RunningStack) -> None:
    stack.shell(_SETTINGS.format(shadow=True))
    talk = Talk(stack)

    talk.customer("Hello?")

    [note] = talk.wait_for(1, private=True)
    assert note.startswith(DRAFT)
    wait_until(
        lambda: talk.sees()["status"] == "open", patience_s=20, what="it to be opened"
    )
    talk.customer("Anybody?")
    assert talk.wait_for(2, private=True)[1].startswith(DRAFT)
    assert talk.by_bot(private=False) == []
    assert not talk.sees()["typing"]
