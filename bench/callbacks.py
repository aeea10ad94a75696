"""What callbacks take, and what they leave to webhooks.

`python -m bench.callbacks` starts everything as `make run` does, and prints one line of
JSON: how long one callback takes, how long fifty take that merge into one conversation
at once and what was lost, and how long webhooks take while Chatwoot keeps eighty
callbacks waiting. Sends to this machine only, some hundred requests in all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from local_stack.testing import RunningStack, running_stack, wait_until

ONE_BY_ONE = 200
AT_ONCE = 50
WAITING = 80
WEBHOOKS = 100
CHATWOOT_WAITS_S = 6.0
SECRET = b"sandbox-webhook-secret"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running_stack(Path(folder) / "data") as stack:
            sys.stdout.write(json.dumps(Bench(stack).run()) + "\n")


class Bench:
    """One running stack, one conversation, one callback token."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._control = f"{stack.sandbox}/_sandbox"
        self._number = self._begin_conversation()
        self._token = stack.shell(
            "from conversations import callback_tokens as t; "
            "from conversations.models import Bot; "
            "print(t.make(Bot.objects.get(), by='bench'))",
        )
        self._pool = ThreadPoolExecutor(WAITING + AT_ONCE)

    def run(self) -> dict[str, Any]:
        """Return all three measurements, in milliseconds but for `all_s`."""
        return {
            "one_callback": self.one_by_one(),
            "merging_at_once": self.merging_at_once(),
            "webhooks_beside_waiting_callbacks": self.webhooks_beside(),
        }

    def one_by_one(self) -> dict[str, float]:
        """Toggle a priority; each reads the conversation and writes it."""
        return summary(
            timed(lambda n=n: self._set_priority("high" if n % 2 else "low"))  # type: ignore[misc]
            for n in range(ONE_BY_ONE)
        )

    def merging_at_once(self) -> dict[str, float]:
        """Write fifty attributes of one conversation from fifty threads."""
        started = time.monotonic()

        def merge(number: int) -> None:
            self._call(
                "POST",
                f"update-custom-attributes/{self._number}",
                {f"bench_{number}": number},
            )

        took = list(self._pool.map(lambda n: timed(lambda: merge(n)), range(AT_ONCE)))
        whole_s = time.monotonic() - started
        shown = requests.get(
            f"{self._stack.sandbox}/api/v1/accounts/1/conversations/{self._number}",
            headers={"api-access-token": "sandbox-admin-token"},
            timeout=10,
        ).json()["custom_attributes"]
        kept = sum(f"bench_{n}" in shown for n in range(AT_ONCE))
        return {**summary(took), "all_s": round(whole_s, 2), "lost": AT_ONCE - kept}

    def webhooks_beside(self) -> dict[str, Any]:
        """Send webhooks while Chatwoot lets each callback wait for six seconds."""
        requests.post(
            f"{self._control}/faults",
            json={
                "kind": "delay",
                "method": "GET",
                "path": rf"/conversations/{self._number}$",
                "times": WAITING,
                "delay_s": CHATWOOT_WAITS_S,
            },
            timeout=10,
        ).raise_for_status()
        callbacks = [
            self._pool.submit(
                self._call,
                "POST",
                f"toggle-priority/{self._number}",
                {"priority": "low"},
                **{"Idempotency-Key": f"bench-{n}"},
            )
            for n in range(WAITING)
        ]
        time.sleep(1.0)
        still_waiting = sum(not one.done() for one in callbacks)
        took = [timed(lambda n=n: self._webhook(n)) for n in range(WEBHOOKS)]  # type: ignore[misc]
        codes = [one.result().get("code", "done") for one in callbacks]
        return {
            **summary(took),
            "callbacks_waiting": still_waiting,
            "callbacks_told_busy": codes.count("busy"),
        }

    def _begin_conversation(self) -> int:
        made = requests.post(
            f"{self._control}/conversations", json={"message": "Hello"}, timeout=10
        ).json()
        number = int(made["id"])

        def is_answered() -> bool:
            seen = requests.get(
                f"{self._control}/conversations/{number}", timeout=10
            ).json()
            return len(seen["messages"]) > 1

        wait_until(is_answered, patience_s=60, what="the first answer")
        return number

    def _set_priority(self, priority: str) -> None:
        self._call("POST", f"toggle-priority/{self._number}", {"priority": priority})

    def _call(self, method: str, path: str, body: Any, **headers: str) -> Any:
        answer = requests.request(
            method,
            f"{self._stack.web}/api/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}", **headers},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def _webhook(self, number: int) -> None:
        body = json.dumps(
            {
                "event": "conversation_typing_on",
                "account": {"id": 1},
                "conversation": {"id": self._number},
                "bench": number,
            }
        ).encode()
        timestamp = str(int(time.time()))
        signed = f"{timestamp}.".encode() + body
        digest = hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
        requests.post(
            f"{self._stack.web}/api/v1/chatwoot-webhook",
            data=body,
            headers={
                "Content-Type": "application/json",
                "X-Chatwoot-Timestamp": timestamp,
                "X-Chatwoot-Signature": f"sha256={digest}",
                "X-Chatwoot-Delivery": f"bench-{number}-{timestamp}",
            },
            timeout=30,
        ).raise_for_status()


def timed(act: Callable[[], object]) -> float:
    """Return how many milliseconds it took."""
    started = time.monotonic()
    act()
    return (time.monotonic() - started) * 1000


def summary(took: Any) -> dict[str, float]:
    """Return median, 95th percentile and the longest, in milliseconds."""
    values = sorted(took)
    return {
        "median": round(statistics.median(values), 1),
        "p95": round(values[int(len(values) * 0.95) - 1], 1),
        "max": round(values[-1], 1),
    }


if __name__ == "__main__":
    main()
