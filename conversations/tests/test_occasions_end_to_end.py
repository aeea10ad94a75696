"""Greetings, beginning anew, hours and rules, with both platforms played over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests
from psycopg import sql

from conversations.tests.test_end_to_end import Customer, rows
from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HELLO = "Hello! I am a sandbox."
CLOSED = "We are back on Monday."
DEFAULTS: dict[str, Any] = {
    "greets": "never",
    "outside_hours": "answer",
    "outside_hours_text": "",
    "ignore_rules": "",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(stack: RunningStack) -> Iterator[None]:
    yield
    change_bot(stack, **DEFAULTS)


def change_bot(stack: RunningStack, **values: Any) -> None:
    changes = sql.SQL(", ").join(
        sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values
    )
    query = sql.SQL("UPDATE conversations_bot SET {}").format(changes)
    with psycopg.connect(stack.database_url) as database:
        database.execute(query, list(values.values()))


def control(stack: RunningStack, method: str, path: str, body: Any = None) -> Any:
    url = f"{stack.sandbox}/_sandbox{path}"
    answer = requests.request(method, url, json=body, timeout=20)
    answer.raise_for_status()
    return answer.json()


def sent(stack: RunningStack, *, path: str) -> list[Any]:
    """The bodies that the bridge has posted to addresses that end so."""
    entries = control(stack, "GET", "/wire?method=POST")["entries"]
    return [
        json.loads(entry["request_body"])
        for entry in entries
        if entry["path"].endswith(path) and entry["direction"].startswith("bridge")
    ]


def all_quiet(stack: RunningStack) -> None:
    """Wait until no webhook is on its way, and nothing is owed."""
    control(stack, "POST", "/drain", {"timeout_s": 20})
    owed = (
        "SELECT 1 FROM conversations_webhookevent WHERE status = 'received' "
        "UNION ALL SELECT 1 FROM conversations_turn WHERE finished_at IS NULL"
    )
    wait_until(lambda: not rows(stack, owed), patience_s=30, what="everything done")


def greetings_of(stack: RunningStack, number: int) -> list[dict[str, Any]]:
    return rows(
        stack,
        "SELECT o.mark::text, o.content FROM conversations_outgoingmessage o "
        "JOIN conversations_turn t ON t.id = o.turn_id "
        "JOIN conversations_conversation c ON c.id = t.conversation_id "
        "WHERE o.part = 'greeting' AND c.chatwoot_conversation_id = %s",
        number,
    )


def message(row: dict[str, Any]) -> dict[str, Any]:
    """What is posted for an outgoing message."""
    return {
        "content": row["content"],
        "message_type": "outgoing",
        "private": False,
        "content_attributes": {"bridge_message_id": row["mark"]},
        "source_id": row["mark"],
    }


def test_the_first_message_is_greeted_before_it_is_answered(
    stack: RunningStack,
) -> None:
    change_bot(stack, greets="conversation")
    anna = Customer(stack, name="Anna")

    anna.says("Where is my order?")
    hello, answer = anna.is_answered(times=2)
    anna.says("And now?")
    said = anna.is_answered(times=3)

    assert hello == HELLO
    assert "Where is my order?" in answer
    assert said.count(HELLO) == 1
    (greeting,) = greetings_of(stack, anna.number)
    posted = sent(stack, path=f"/conversations/{anna.number}/messages")
    assert posted[0] == message(greeting)


def test_news_of_a_conversation_is_enough(stack: RunningStack) -> None:
    change_bot(stack, greets="conversation")
    webhook = control(
        stack, "POST", "/webhooks", {"subscriptions": ["conversation_created"]}
    )
    ben = Customer(stack, name="Ben")
    assert ben.is_answered() == [HELLO]

    ben.says("Do you sell tents?")
    said = ben.is_answered(times=2)
    all_quiet(stack)

    assert said[0] == HELLO
    assert "Do you sell tents?" in said[1]
    assert ben.answers() == said
    requests.delete(
        f"{stack.sandbox}/api/v1/accounts/1/webhooks/{webhook['id']}",
        headers={"api-access-token": "sandbox-admin-token"},
        timeout=10,
    ).raise_for_status()


def test_who_opens_the_widget_is_greeted_once(stack: RunningStack) -> None:
    change_bot(stack, greets="widget")
    control(stack, "DELETE", "/wire")
    visitor = control(stack, "POST", "/widget-openings", {"name": "Carla"})

    def theirs() -> list[Any]:
        found = control(stack, "GET", "/conversations?full=1")["conversations"]
        return [row for row in found if row["contact"]["id"] == visitor["contact_id"]]

    wait_until(
        lambda: any(row["messages"] for row in theirs()),
        patience_s=30,
        what="the greeting",
    )
    for _ in range(2):
        control(
            stack,
            "POST",
            "/widget-openings",
            {"contact_id": visitor["contact_id"]},
        )
    all_quiet(stack)

    (conversation,) = theirs()
    number = conversation["id"]
    assert conversation["status"] == "pending"
    assert [row["content"] for row in conversation["messages"]] == [HELLO]
    assert sent(stack, path="/api/v1/accounts/1/conversations") == [
        {
            "inbox_id": 1,
            "contact_id": visitor["contact_id"],
            "source_id": visitor["source_id"],
            "status": "pending",
        }
    ]
    (greeting,) = greetings_of(stack, number)
    assert sent(stack, path=f"/conversations/{number}/messages") == [message(greeting)]


def test_a_word_begins_anew(stack: RunningStack) -> None:
    dora = Customer(stack, name="Dora")
    dora.says("My name is Dora.")
    dora.is_answered()
    all_quiet(stack)
    control(stack, "DELETE", "/wire")

    dora.says("Начать заново!")
    said = dora.is_answered(times=2)
    all_quiet(stack)
    assert said[1] == "Let us start over. How can I help?"
    assert sent(stack, path="/v1/chat-messages") == []

    dora.says("Who am I?")
    dora.is_answered(times=3)
    (asked,) = sent(stack, path="/v1/chat-messages")
    assert asked["query"] == "Who am I?"
    assert not asked.get("conversation_id")
    memories = rows(
        stack,
        "SELECT d.end_reason FROM conversations_difyconversation d "
        "JOIN conversations_conversation c ON c.id = d.conversation_id "
        "WHERE c.chatwoot_conversation_id = %s ORDER BY d.id",
        dora.number,
    )
    assert [memory["end_reason"] for memory in memories] == ["reset", ""]


def test_outside_the_inbox_s_hours_the_humans_have_it(stack: RunningStack) -> None:
    change_bot(stack, outside_hours="say", outside_hours_text=CLOSED)
    set_hours(stack, enabled=True)
    try:
        emil = Customer(stack, name="Emil")
        emil.says("Is anybody there?")

        wait_until(lambda: emil.sees()["status"] == "open", patience_s=30, what="open")
        assert emil.answers() == [CLOSED]
        notes = [row for row in emil.sees()["messages"] if row["private"]]
        assert notes == []
    finally:
        set_hours(stack, enabled=False)


def set_hours(stack: RunningStack, *, enabled: bool) -> None:
    """Close the website's inbox on all days, and have the bridge read that."""
    days = [{"day_of_week": day, "closed_all_day": True} for day in range(7)]
    requests.patch(
        f"{stack.sandbox}/api/v1/accounts/1/inboxes/1",
        json={"working_hours_enabled": enabled, "working_hours": days},
        headers={"api-access-token": "sandbox-admin-token"},
        timeout=10,
    ).raise_for_status()
    stack.shell(
        "from django.utils import timezone; from chatwoot_api import sync; "
        "print(sync.pull_all(now=timezone.now()))"
    )


def test_whom_the_bot_is_not_for_gets_humans(stack: RunningStack) -> None:
    change_bot(stack, ignore_rules="email:*@rival.test")
    made = control(
        stack, "POST", "/conversations", {"name": "Rita", "email": "r@Rival.test"}
    )
    number = made["id"]
    control(
        stack, "POST", f"/conversations/{number}/customer-messages", {"content": "Hi"}
    )

    def now() -> Any:
        return control(stack, "GET", f"/conversations/{number}")

    wait_until(lambda: now()["status"] == "open", patience_s=30, what="open")
    authors = {row["sender_type"] for row in now()["messages"]}
    assert authors <= {"Contact", None}  # None: activity lines
