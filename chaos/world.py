"""What a scenario works with: the stack, the customers, the clock and the judge."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from chaos.customers import Crowd
from chaos.database import Database
from chaos.judge import Judgement, judge
from chaos.sandbox_client import Sandbox
from chaos.stack import Stack
from chaos.takeovers import Rules

# What every scenario starts from, see `sandbox_client.CALM`.
CALM_BOT: dict[str, object] = {
    "debounce_s": 0,
    "on_new_message": "queue",
    "yields_to_assignee": False,
    "max_turn_minutes": 10,
}
CALM_APP: dict[str, object] = {
    "first_event_timeout_s": 60,
    "idle_timeout_s": 60,
    "max_concurrent_runs": 200,
    "mode": "advanced-chat",
}
APP_MODE = "advanced-chat"
POLL_S = 0.5


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    is_short: bool
    chance: random.Random
    turns: int | None = None

    def size(self, *, full: int, short: int) -> int:
        """Return how many, by the form that was asked for."""
        return short if self.is_short else full


@dataclass
class World:
    """One scenario's view of the running stack."""

    stack: Stack
    sandbox: Sandbox
    database: Database
    options: Options
    crowd: Crowd
    recoveries_s: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)

    @property
    def chance(self) -> random.Random:
        """The same dice for the same `--seed`."""
        return self.options.chance

    def size(self, *, full: int, short: int) -> int:
        """Return how many, by the form that was asked for."""
        return self.options.size(full=full, short=short)

    def calm_down(self) -> None:
        """Bring sandbox and settings to what every scenario starts from."""
        self.sandbox.calm_down(bridge_url=self.stack.web)
        self.database.forget_conversations()
        self.sandbox.set_app(APP_MODE, key_refused=False, max_active_requests=0)
        self.database.set_bot(**CALM_BOT)
        self.database.set_app(**CALM_APP)
        self.database.forget_refusals()

    def recover(self, *, patience_s: float, since: float | None = None) -> None:
        """Wait until nothing is left to do, and note how long that took.

        `since` is when the last failure ended, now unless told. Whatever is not done
        when the patience ends will be judged as lost.
        """
        began = time.monotonic() if since is None else since
        deadline = time.monotonic() + patience_s
        quiet_since: float | None = None
        while time.monotonic() < deadline:
            moment = time.monotonic()
            if not self._is_quiet():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = moment
            else:
                # Twice in a row: a webhook may have been between the two questions.
                self.recoveries_s.append(max(quiet_since - began, 0.0))
                return
            time.sleep(POLL_S)
        self.remarks.append(f"not quiet after {patience_s:.0f} s")

    def wait_for(self, is_so: Callable[[], bool], *, patience_s: float) -> bool:
        """Wait for a moment to break something in; False if it does not come."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if is_so():
                return True
            time.sleep(0.05)
        return False

    def judge(self) -> Judgement:
        """Judge all that the crowd said."""
        mine = {customer.conversation_id for customer in self.crowd.customers}
        records = self.database.records(
            conversation_ids=sorted(mine),
            message_ids=[one.message_id for one in self.crowd.sent],
        )
        seen = [one for one in self.sandbox.conversations() if one.id in mine]
        return judge(seen, sent=self.crowd.sent, records=records, rules=self.rules)

    def _is_quiet(self) -> bool:
        try:
            return (
                self.sandbox.is_drained()
                and self.database.undone() == 0
                and self.sandbox.is_drained()
            )
        except psycopg.OperationalError:
            return False


def say(text: str) -> None:
    """Tell whoever watches how far we are."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
