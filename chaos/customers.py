"""Many customers at once; each of their messages can be told from all others."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from chaos.sandbox_client import Sandbox
from chaos.states import Sent

# The sandbox is one process; more would only wait for it.
THREADS = 8

# Unique over all scenarios of a run, since the database goes on.
_numbers = itertools.count(1)


@dataclass
class Customer:
    """One customer in one conversation."""

    number: int
    conversation_id: int
    count: int = 0

    @property
    def mark(self) -> str:
        """What all messages of this customer contain, and nobody else's."""
        return f"#c{self.number}m"

    def next_token(self) -> str:
        """Return the mark of the next message, which an answer to it repeats."""
        self.count += 1
        return f"#c{self.number}m{self.count}#"


class Crowd:
    """The customers of one scenario, and everything that they said."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self.customers: list[Customer] = []
        self.sent: list[Sent] = []

    def come(self, count: int) -> list[Customer]:
        """Open as many conversations; nobody says anything yet."""
        with ThreadPoolExecutor(THREADS) as threads:
            new = list(threads.map(lambda _: self._open(), range(count)))
        self.customers += new
        return new

    def say(self, customer: Customer, command: str = "") -> str:
        """Let one customer write a message with its token; return the token.

        A command of the sandbox stands on a line of its own.
        """
        token = customer.next_token()
        text = f"{command}\n{token}" if command else f"Hello {token}"
        message_id = self._sandbox.say(customer.conversation_id, text)
        with self._lock:
            self.sent.append(
                Sent(
                    token=token,
                    conversation_id=customer.conversation_id,
                    message_id=message_id,
                )
            )
        return token

    def all_say(self, customers: Iterable[Customer], command: str = "") -> None:
        """Let them all write, as fast as the sandbox takes it."""
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda one: self.say(one, command), customers))

    def talk(self, lines: Sequence[tuple[Customer, str]], *, over_s: float) -> None:
        """Let the lines be said one after the other, evenly over that time."""
        started = time.monotonic()
        with ThreadPoolExecutor(THREADS) as threads:
            waiting = []
            for number, (customer, command) in enumerate(lines):
                pause = started + over_s * number / len(lines) - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                waiting.append(threads.submit(self.say, customer, command))
            for one in waiting:
                one.result()

    def _open(self) -> Customer:
        number = next(_numbers)
        conversation_id = self._sandbox.open_conversation(name=f"Customer {number}")
        return Customer(number=number, conversation_id=conversation_id)
