"""A real sandbox in a process of its own, to which actions talk over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.utils import timezone

from chatwoot_api import sync
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations.actions import Target
from conversations.models import Bot, Conversation, Turn
from conversations.tests.factories import make_account, make_bot, make_conversation
from local_stack.data_dir import PROJECT_ROOT, free_port
from local_stack.testing import wait_until

WEBSITE, API = 1, 2


class SandboxChatwoot:
    """The played Chatwoot and what it was asked."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        self.http.trust_env = False

    def control(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.base_url}/_sandbox{path}"
        answer = self.http.request(method, url, json=body, timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def start(self, **values: Any) -> int:
        """A conversation with a customer's message, of which nothing is logged."""
        made = self.control("POST", "/conversations", {"message": "Hello", **values})
        self.control("DELETE", "/wire")
        return int(made["id"])

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Chatwoot's own API as an administrator."""
        answer = self.http.request(
            method,
            f"{self.base_url}/api/v1/accounts/1{path}",
            json=body,
            headers={"api-access-token": "sandbox-admin-token"},
            timeout=20,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def conversation(self, number: int) -> Any:
        """Return it as Chatwoot shows it to an administrator."""
        return self.api("GET", f"/conversations/{number}")

    def messages(self, number: int) -> list[Any]:
        """Return all but activity lines, oldest first."""
        payload = self.api("GET", f"/conversations/{number}/messages")["payload"]
        return [message for message in payload if message["message_type"] != 2]

    def account(self, **values: Any) -> ChatwootAccount:
        """Make the account that leads there, without its mirrors."""
        return make_account(
            **{
                "base_url": self.base_url,
                "account_id": 1,
                "bot_token": "sandbox-bot-token",
                "admin_token": "sandbox-admin-token",
                **values,
            }
        )

    def bot(self, **values: Any) -> Bot:
        """Make a bot of such an account."""
        return make_bot(self.account(), **values)

    def known_conversation(self, bot: Bot, **values: Any) -> Conversation:
        """Begin a conversation of which the mirror knows."""
        return make_conversation(bot, chatwoot_conversation_id=self.start(), **values)

    def state(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.control("GET", f"/conversations/{number}")
        return found

    def set(self, **changes: Any) -> None:
        self.control("PATCH", "/settings", changes)

    def fault(self, **order: Any) -> None:
        self.control("POST", "/faults", order)

    def calls(self) -> list[str]:
        """What was asked of Chatwoot's REST API: "POST /conversations/5/labels"."""
        rows = self.control("GET", "/wire?brief=1")
        rows = rows["entries"] if isinstance(rows, dict) else rows
        root = "/api/v1/accounts/1"
        return [
            f"{row['method']} {row['path'].removeprefix(root).partition('?')[0]}"
            for row in rows
            if row["path"].startswith(root)
        ]

    def public_messages(self, number: int) -> list[str]:
        return [
            message["content"]
            for message in self.state(number)["messages"]
            if message["sender_type"] == "AgentBot" and not message["private"]
        ]


def _reachable(url: str) -> bool:
    try:
        return requests.get(f"{url}/_sandbox/settings", timeout=1).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[str]:
    port, nobody = free_port(), free_port()
    env = {
        **os.environ,
        "SANDBOX_PORT": str(port),
        "SANDBOX_BRIDGE_URL": f"http://127.0.0.1:{nobody}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        cwd=PROJECT_ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _reachable(url), patience_s=30, what="the sandbox")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def sandbox(sandbox_process: str) -> SandboxChatwoot:
    """Fresh state; nobody gets its webhooks, and it does not mind."""
    one = SandboxChatwoot(sandbox_process)
    one.control("DELETE", "/faults")
    one.set(seeded_bot=True, chatwoot_version="4.15.1", dify_version="1.14")
    one.control("POST", "/reset")
    one.set(
        keep_pending_on_bot_failure=True,
        webhook_retry_wait_s=0.01,
        bot_token_refused=False,
        admin_token_refused=False,
        bot_team_bug=True,
    )
    return one


def make_sandbox_account(sandbox: SandboxChatwoot, **overrides: Any) -> ChatwootAccount:
    """The account of the sandbox, with its mirrors if there is a token for them."""
    account = sandbox.account(**overrides)
    if account.admin_token:
        sync.pull(account, now=timezone.now())
    return account


@pytest.fixture
def sandbox_bot(sandbox: SandboxChatwoot, db: None) -> Bot:
    return make_bot(make_sandbox_account(sandbox))


def mirror_of(number: int, *, bot: Bot, **values: Any) -> Conversation:
    """The row that webhooks would have made."""
    return make_conversation(
        bot, chatwoot_conversation_id=number, last_customer_message_id=0, **values
    )


def target_of(
    number: int,
    *,
    bot: Bot,
    conversation: Conversation | None = None,
    turn: Turn | None = None,
    for_s: float = 25.0,
) -> Target:
    accounts = ChatwootAccount.objects.filter(pk=bot.account_id)
    return Target(
        account=bot.account,
        bot=bot,
        number=number,
        conversation=conversation,
        client=ChatwootClient(bot.account, on_refused=accounts.note_refusal),
        turn=turn,
        until=monotonic() + for_s,
        mark=uuid4(),
    )
