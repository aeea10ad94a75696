"""Clicks and flows' forms in the sandbox; everything is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_CHATFLOW = (
    "from dify_api.models import DifyApp; app = DifyApp.objects.get(); "
    "app.api_key = 'app-sandbox-advanced-chat'; app.mode = 'advanced-chat'; "
    "app.parameters_read_at = None; app.save()"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        requests.patch(
            f"{running.sandbox}/_sandbox/settings",
            json={"dify_version": "1.14"},
            timeout=10,
        ).raise_for_status()
        running.shell(_CHATFLOW)
        yield running


def forms_go_to(whom: str, stack: RunningStack) -> None:
    code = f"Bot.objects.update(forms_go_to={whom!r})"
    stack.shell(f"from conversations.models import Bot; {code}")


class Visitor:
    """Somebody in the website's widget, who clicks."""

    def __init__(self, stack: RunningStack, message: str) -> None:
        self._root = f"{stack.sandbox}/_sandbox"
        self._base = f"{self._root}/conversations"
        body = {"name": "Anna", "message": message}
        made = requests.post(self._base, json=body, timeout=10)
        made.raise_for_status()
        self.number = int(made.json()["id"])

    def act(self, path: str, **body: Any) -> None:
        url = f"{self._base}/{self.number}{path}"
        requests.post(url, json=body, timeout=10).raise_for_status()

    def state(self) -> dict[str, Any]:
        url = f"{self._base}/{self.number}"
        found: dict[str, Any] = requests.get(url, timeout=10).json()
        return found

    def bots(self, *, content_type: str = "", private: bool = False) -> list[Any]:
        return [
            row
            for row in self.state()["messages"]
            if row["sender_type"] == "AgentBot"
            and row["private"] is private
            and content_type in ("", row["content_type"])
        ]

    def gets(self, *, times: int = 1, **kind: Any) -> list[Any]:
        wait_until(
            lambda: len(self.bots(**kind)) >= times,
            patience_s=60,
            what=f"{times} messages {kind} in conversation {self.number}",
        )
        return self.bots(**kind)

    def clicks(self, message: Any, title: str, value: str) -> None:
        values = [{"title": title, "value": value}]
        self.act("/submit", message_id=message["id"], submitted_values=values)

    def wire(self, path: str) -> list[Any]:
        url = f"{self._root}/wire?path={path}"
        entries: list[Any] = requests.get(url, timeout=10).json()["entries"]
        return entries


def test_a_click_is_answered_once(stack: RunningStack) -> None:
    anna = Visitor(stack, "/buttons")
    (question,) = anna.gets(content_type="input_select")

    anna.clicks(question, "No", "It is not damaged")
    anna.act("/seen")

    *_, answer = anna.gets(times=2)
    assert "No (It is not damaged)" in answer["content"]
    anna.act("/seen")
    asked = [row for row in anna.wire("/v1/chat-messages") if row["method"] == "POST"]
    assert len(asked) == 2


def test_the_customers_answer_resumes_the_flow(stack: RunningStack) -> None:
    forms_go_to("customer", stack)
    anna = Visitor(stack, "/form")
    (question,) = anna.gets(content_type="input_select")
    assert question["content"] == "Refund 20 EUR for order 1042?"

    anna.clicks(question, "Approve", "approve")

    said, _form, answer = anna.gets(times=3)
    assert said["content"] == "Somebody has to approve this first."
    assert answer["content"] == "The answer was “approve”."
    assert anna.state()["status"] == "pending"
    (submitted,) = [
        row for row in anna.wire("/v1/form/human_input") if row["method"] == "POST"
    ]
    assert submitted["status"] == 200


def test_an_agents_note_resumes_the_flow(stack: RunningStack) -> None:
    forms_go_to("agent", stack)
    anna = Visitor(stack, "/form 1")
    (note,) = anna.gets(private=True)
    assert "- `/1 Approve`" in note["content"]
    wait_until(
        lambda: anna.state()["status"] == "open", patience_s=30, what="it to be opened"
    )

    anna.act("/note", content="/2 Reject\nnote: paid back already")

    _said, answer = anna.gets(times=2)
    assert answer["content"] == "The answer was “reject”.\nnote: paid back already"
