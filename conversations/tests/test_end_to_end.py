"""A customer types in the sandbox and reads Dify's answer; everything is real.

All processes run as under `make run`: PostgreSQL, Redis, web, worker, beat and the
sandbox, which plays Chatwoot and Dify over HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODES = ["chat", "agent-chat", "agent", "advanced-chat", "workflow", "completion"]
VERSIONS = ["0.15", "1.12", "1.14"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


class Customer:
    """Somebody who writes into the website's widget."""

    def __init__(self, stack: RunningStack, *, name: str) -> None:
        self._base = f"{stack.sandbox}/_sandbox/conversations"
        made = requests.post(self._base, json={"name": name}, timeout=10)
        made.raise_for_status()
        self.number = int(made.json()["id"])

    def says(self, text: str) -> None:
        url = f"{self._base}/{self.number}/customer-messages"
        requests.post(url, json={"content": text}, timeout=10).raise_for_status()

    def sees(self) -> dict[str, Any]:
        seen: dict[str, Any] = requests.get(
            f"{self._base}/{self.number}", timeout=10
        ).json()
        return seen

    def answers(self) -> list[str]:
        return [
            message["content"]
            for message in self.sees()["messages"]
            if message["sender_type"] == "AgentBot" and not message["private"]
        ]

    def is_answered(self, *, times: int = 1, patience_s: float = 60) -> list[str]:
        wait_until(
            lambda: len(self.answers()) >= times,
            patience_s=patience_s,
            what=f"answer {times} in conversation {self.number}",
        )
        return self.answers()


def rows(stack: RunningStack, query: str, *values: object) -> list[dict[str, Any]]:
    with psycopg.connect(stack.database_url, row_factory=dict_row) as database:
        return database.execute(query, values).fetchall()


def test_a_message_travels_the_whole_way(stack: RunningStack) -> None:
    anna = Customer(stack, name="Anna")

    anna.says("Where is my order?")

    (answer,) = anna.is_answered()
    assert "Where is my order?" in answer
    assert "Anna" in answer
    assert anna.sees()["status"] == "pending"
    wait_until(lambda: not anna.sees()["typing"], patience_s=10, what="typing off")

    def finished() -> list[dict[str, Any]]:
        return rows(
            stack,
            "SELECT t.status, t.reason, r.status AS run, r.answer, e.reason AS why, "
            "o.chatwoot_message_id AS posted "
            "FROM conversations_turn t "
            "JOIN conversations_conversation c ON c.id = t.conversation_id "
            "JOIN conversations_pipelinerun r ON r.turn_id = t.id "
            "JOIN conversations_webhookevent e ON e.turn_id = t.id "
            "JOIN conversations_outgoingmessage o ON o.turn_id = t.id "
            "WHERE c.chatwoot_conversation_id = %s AND t.status = 'answered'",
            anna.number,
        )

    wait_until(lambda: bool(finished()), patience_s=10, what="the turn to end")
    posted = [m["id"] for m in anna.sees()["messages"] if m["content"] == answer]
    assert finished() == [
        {
            "status": "answered",
            "reason": "answered",
            "run": "succeeded",
            "answer": answer,
            "why": "customer_message",
            "posted": posted[0],
        }
    ]


def test_the_admin_shows_it(stack: RunningStack) -> None:
    browser = requests.Session()
    login = f"{stack.web}/admin/login/"
    browser.get(login, timeout=10)
    answer = browser.post(
        login,
        data={
            "username": stack.username,
            "password": stack.password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "next": "/admin/conversations/turn/",
        },
        headers={"Referer": login},
        timeout=10,
    )

    assert answer.status_code == 200
    assert answer.url.endswith("/admin/conversations/turn/")
    assert "answered" in answer.text


def test_the_memory_goes_on_and_is_repaired(stack: RunningStack) -> None:
    ben = Customer(stack, name="Ben")
    for count, text in enumerate(["Hello", "/forget", "And now?"], start=1):
        ben.says(text)
        ben.is_answered(times=count)

    memories = rows(
        stack,
        "SELECT d.end_reason FROM conversations_difyconversation d "
        "JOIN conversations_conversation c ON c.id = d.conversation_id "
        "WHERE c.chatwoot_conversation_id = %s ORDER BY d.id",
        ben.number,
    )
    assert [memory["end_reason"] for memory in memories] == ["vanished", ""]


def test_braces_reach_the_customer_as_written(stack: RunningStack) -> None:
    carl = Customer(stack, name="Carl")

    carl.says("/braces")

    (answer,) = carl.is_answered()
    assert "{{ contact.name }}" in answer


def test_a_busy_dify_is_asked_again(stack: RunningStack) -> None:
    dora = Customer(stack, name="Dora")

    dora.says("/busy 1")

    assert len(dora.is_answered()) == 1


def test_a_failing_flow_is_handed_to_a_human(stack: RunningStack) -> None:
    emil = Customer(stack, name="Emil")

    emil.says("/quota")

    wait_until(
        lambda: emil.sees()["status"] == "open", patience_s=60, what="the handover"
    )
    assert emil.answers() == [
        "Sorry, I cannot answer right now. A colleague will take over."
    ]
    notes = [m["content"] for m in emil.sees()["messages"] if m["private"]]
    assert len(notes) == 1


def test_a_human_who_took_over_is_not_talked_over(stack: RunningStack) -> None:
    fay = Customer(stack, name="Fay")
    requests.post(
        f"{stack.sandbox}/_sandbox/conversations/{fay.number}/status",
        json={"status": "open"},
        timeout=10,
    ).raise_for_status()

    fay.says("Is anybody there?")

    def reasons() -> list[str]:
        found = rows(
            stack,
            "SELECT reason FROM conversations_webhookevent "
            "WHERE chatwoot_conversation_id = %s AND name = 'message_created'",
            fay.number,
        )
        return [row["reason"] for row in found]

    wait_until(
        lambda: reasons() == ["status_not_allowed"],
        patience_s=20,
        what="the event to be decided",
    )
    assert fay.answers() == []


def test_a_killed_worker_heals_and_answers_what_came_meanwhile(
    stack: RunningStack,
) -> None:
    gus = Customer(stack, name="Gus")
    former = stack.pids()["worker"]
    os.kill(former, 9)

    gus.says("Are you back?")

    assert len(gus.is_answered(patience_s=90)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_dify_is_understood(stack: RunningStack, version: str) -> None:
    choose(stack, mode="advanced-chat", version=version)
    hal = Customer(stack, name="Hal")

    hal.says("/think")

    (answer,) = hal.is_answered()
    assert "<think>" not in answer


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_app_answers(stack: RunningStack, mode: str) -> None:
    choose(stack, mode=mode, version="1.14")
    ida = Customer(stack, name="Ida")

    ida.says("Which one are you?")

    (answer,) = ida.is_answered()
    # Agents say something before they use a tool, and Dify counts it to the answer.
    assert "Hello Ida! You asked: “Which one are you?”." in answer
    assert f"**Sandbox {mode}**" in answer
    # An agent's closing copy replaces what came before.
    assert answer.count("Hello Ida!") == 1


# The flow calls back while it runs; after the tests above the bot's app is another one.
CHATFLOW = {"mode": "advanced-chat", "version": "1.14"}


def callbacks_of(customer: Customer, stack: RunningStack) -> list[dict[str, Any]]:
    return rows(
        stack,
        "SELECT b.operation, b.status, b.caller, b.turn_id IS NOT NULL AS of_turn, "
        "b.run_id IS NOT NULL AS of_run FROM conversations_callback b "
        "JOIN conversations_conversation c ON c.id = b.conversation_id "
        "WHERE c.chatwoot_conversation_id = %s ORDER BY b.id",
        customer.number,
    )


def last_turn_of(customer: Customer, stack: RunningStack) -> dict[str, Any]:
    found = rows(
        stack,
        "SELECT t.status, t.reason FROM conversations_turn t "
        "JOIN conversations_conversation c ON c.id = t.conversation_id "
        "WHERE c.chatwoot_conversation_id = %s ORDER BY t.id DESC LIMIT 1",
        customer.number,
    )
    return found[0] if found else {}


def test_a_flow_hands_over_and_its_answer_is_posted_once(stack: RunningStack) -> None:
    choose(stack, **CHATFLOW)
    jan = Customer(stack, name="Jan")

    jan.says("/team support ;; /attr region=North ;; /label vip ;; /status open")

    (answer,) = jan.is_answered()
    assert answer.count("→ 200") == 4
    wait_until(
        lambda: last_turn_of(jan, stack).get("status") == "answered",
        patience_s=10,
        what="the turn to end",
    )
    seen = jan.sees()
    assert seen["status"] == "open"
    assert len(jan.answers()) == 1
    made = callbacks_of(jan, stack)
    assert [row["operation"] for row in made] == [
        "assign_team",
        "update_custom_attributes",
        "update_labels",
        "set_status",
    ]
    assert {row["status"] for row in made} == {"success"}
    assert {row["caller"] for row in made} == {"conversation_token"}
    assert all(row["of_turn"] and row["of_run"] for row in made)
    # From now on it is the humans'.
    jan.says("Thanks, and who are you?")
    reasons = (
        "SELECT reason FROM conversations_webhookevent WHERE "
        "chatwoot_conversation_id = %s AND payload->>'content' LIKE 'Thanks%%'"
    )
    wait_until(
        lambda: (
            [row["reason"] for row in rows(stack, reasons, jan.number)]
            == ["status_not_allowed"]
        ),
        patience_s=20,
        what="the bot to leave it to the humans",
    )
    assert len(jan.answers()) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_first_run_may_call_before_its_first_event(
    stack: RunningStack, version: str
) -> None:
    """Dify's conversation id is not known to anybody yet."""
    choose(stack, mode="advanced-chat", version=version)
    kim = Customer(stack, name="Kim")

    kim.says('/callearly PATCH conversations/current {"priority": "urgent"}')

    (answer,) = kim.is_answered()
    assert "→ 200" in answer
    [row] = callbacks_of(kim, stack)
    assert (row["operation"], row["status"]) == ("update_conversation", "success")


def choose(stack: RunningStack, *, mode: str, version: str) -> None:
    """Point the bot at another app of the sandbox, as an operator would."""
    requests.patch(
        f"{stack.sandbox}/_sandbox/settings",
        json={"dify_version": version},
        timeout=10,
    ).raise_for_status()
    # Dify before 1.0 does not tell the kind of an app; there the operator does.
    code = (
        "from dify_api.models import DifyApp; app = DifyApp.objects.get(); "
        f"app.api_key = 'app-sandbox-{mode}'; app.mode = {mode!r}; "
        "app.parameters_read_at = None; app.save()"
    )
    stack.shell(code)
