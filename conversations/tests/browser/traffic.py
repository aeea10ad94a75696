"""What has happened on the stack before somebody looks at its admin."""

from __future__ import annotations

from typing import Any

import requests

from local_stack.testing import RunningStack, wait_until

PASSWORD = "a-password-for-tests"
ROLES = ("operator", "auditor")

# Logins for the roles, and a row for the pages that traffic alone leaves empty.
_ROWS = f"""
from datetime import timedelta
from django.contrib.auth.models import Group, User
from django.utils import timezone
from django_celery_results.models import TaskResult
from chatwoot_api import sync
from chatwoot_api.models import ChatwootAccount
from conversations.models import *
from conversations import callback_tokens, jobs
now = timezone.now()
for role in {ROLES!r}:
    user = User.objects.create_user(role, password={PASSWORD!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=role.title()))
account = ChatwootAccount.objects.get()
bot = Bot.objects.get()
sync.pull(account, now=now)
Retention.objects.create(account=account)
Erasure.objects.create(account=account, chatwoot_contact_id=999, requested_by="admin",
    status="done", counts={{"turns": 2}}, finished_at=now, erased_here_at=now)
callback_tokens.make(bot, by="admin")
Callback.objects.create(account=account, bot=bot, operation="update_labels",
    conversation=Conversation.objects.first(), status="success", caller="bot_token",
    arguments={{"labels": ["vip"]}}, before={{"labels": []}},
    after={{"labels": ["vip"]}}, answer={{"status": "success"}})
job = Job.objects.create(kind="delete_in_dify", actor="admin", status="done",
    total=2, finished_at=now)
JobItem.objects.create(job=job, position=1, title="#1", status="done",
    outcome="Deleted.")
JobItem.objects.create(job=job, position=2, title="#2", status="failed",
    outcome="Dify is away.")
TaskResult.objects.create(task_id="t-1", task_name="conversations.tasks.run_turn",
    status="FAILURE", traceback="Traceback", result="{{}}", worker="worker@one")
"""


class Customer:
    """Somebody who writes into the website's widget of the played Chatwoot."""

    def __init__(self, stack: RunningStack, *, name: str) -> None:
        self._base = f"{stack.sandbox}/_sandbox/conversations"
        made = requests.post(self._base, json={"name": name}, timeout=10)
        made.raise_for_status()
        self.number = int(made.json()["id"])

    def says(self, text: str) -> None:
        url = f"{self._base}/{self.number}/customer-messages"
        requests.post(url, json={"content": text}, timeout=10).raise_for_status()

    def is_told(self, text: str) -> None:
        """Get an answer of Marta's, a human."""
        url = f"{self._base}/{self.number}/reply"
        told = {"content": text, "agent_id": 2}
        requests.post(url, json=told, timeout=10).raise_for_status()

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

    def is_answered(self, *, times: int = 1) -> list[str]:
        wait_until(
            lambda: len(self.answers()) >= times,
            patience_s=60,
            what=f"answer {times} in conversation {self.number}",
        )
        return self.answers()


def make(stack: RunningStack) -> None:
    """A morning's work: answered, failed and handed over; and rows beside it."""
    anna, emil = Customer(stack, name="Anna"), Customer(stack, name="Emil")
    anna.says("Where is my order? It is a tent, a rather large one for six people.")
    emil.says("/quota")
    anna.is_answered()
    emil.is_answered()
    stack.shell(_ROWS)
