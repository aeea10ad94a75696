"""The sandbox's control API, as far as the breaking suite needs it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import requests

from chaos.states import Conversation, conversation_from

TIMEOUT_S = 30.0

# What every scenario starts from; each may change what it is about.
CALM: Mapping[str, object] = {
    "webhook_copies": 1,
    "webhook_shuffle_s": 0.0,
    "webhook_timeout_s": 5.0,
    "webhook_retry_wait_s": 3.0,
    "bot_token_refused": False,
    "admin_token_refused": False,
    "dify_version": "1.14",
    "delta_interval_s": 0.03,
}


class Sandbox:
    """Plays customers and human agents, orders faults, and shows all that happened.

    May be used from several threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._local = threading.local()

    def calm_down(self, *, bridge_url: str) -> None:
        """Forget all conversations and faults; every switch as at the start."""
        self._send("POST", "/reset")
        self.set(**CALM, bridge_url=bridge_url)

    def set(self, **settings: object) -> None:
        """Change settings, see sandbox/settings.py."""
        self._send("PATCH", "/settings", json=settings)

    def set_app(self, mode: str, **switches: object) -> None:
        """Change one of the played Dify apps."""
        self._send("PATCH", f"/dify/apps/{mode}", json=switches)

    def bot_names(self) -> frozenset[str]:
        """Return the names under which bots appear in activity lines."""
        overview = self._send("GET", "/overview")
        return frozenset(str(bot["name"]) for bot in overview["bots"])

    def open_conversation(self, *, name: str) -> int:
        """Let a visitor open the widget; return the conversation's number."""
        return int(self._send("POST", "/conversations", json={"name": name})["id"])

    def say(self, conversation_id: int, text: str) -> int:
        """Let the customer write; return the message's number."""
        path = f"/conversations/{conversation_id}/customer-messages"
        return int(self._send("POST", path, json={"content": text})["id"])

    def act(self, conversation_id: int, action: str, **body: object) -> None:
        """Let a human agent do something: reply, note, status, assign."""
        self._send("POST", f"/conversations/{conversation_id}/{action}", json=body)

    def add_fault(self, kind: str, **order: object) -> int:
        """Order a fault for the next requests that match; return its number."""
        return int(self._send("POST", "/faults", json={"kind": kind, **order})["id"])

    def open_faults(self) -> frozenset[int]:
        """Return the numbers of the faults that have not all happened yet."""
        return frozenset(
            int(one["id"]) for one in self._send("GET", "/faults")["faults"]
        )

    def clear_faults(self) -> None:
        """Forget the faults that are left."""
        self._send("DELETE", "/faults")

    def add_trigger(self, action: str, **order: object) -> None:
        """Let something happen the moment the bridge makes a certain request."""
        self._send("POST", "/triggers", json={"do": action, **order})

    def add_account_webhook(self, *, url: str, subscriptions: list[str]) -> None:
        """Deliver events a second time, as an account webhook does."""
        body = {"url": url, "subscriptions": subscriptions}
        self._send("POST", "/webhooks", json=body)

    def conversations(self) -> list[Conversation]:
        """Return everything that customers and agents see."""
        seen = self._send("GET", "/conversations", params={"full": "1"})
        return [conversation_from(one) for one in seen["conversations"]]

    def webhooks_answered(self, status: int) -> int:
        """How many of the latest 2000 requests were webhooks answered like that."""
        query = {"direction": "chatwoot→bridge", "status": str(status), "brief": "1"}
        return len(self._send("GET", "/wire", params=query)["entries"])

    def is_drained(self) -> bool:
        """Whether no webhook is queued or under way."""
        answer = self._session.post(
            f"{self.url}/_sandbox/drain", json={"timeout_s": 0.05}, timeout=TIMEOUT_S
        )
        return answer.status_code == 200

    @property
    def _session(self) -> requests.Session:
        """One for each thread: they are not made for sharing."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        answer = self._session.request(
            method,
            f"{self.url}/_sandbox{path}",
            json=json,
            params=params,
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            raise RuntimeError(f"sandbox: {method} {path}: {answer.text[:500]}")
        return answer.json()
