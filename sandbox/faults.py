"""Faults that a test or a person orders: bounded, matched by method and path."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass

from sandbox.json_types import Json

# before: nothing happens on the server; after: it has happened, nobody is told.
KINDS = ("status", "delay", "drop", "drop_after", "hang_after", "status_after")


class BadFault(ValueError):
    """A fault order that makes no sense."""


@dataclass
class Fault:
    """``times`` requests that match ``method`` and ``path`` (a pattern) go wrong."""

    id: int
    kind: str
    method: str = "POST"
    path: str = r"/conversations/\d+/messages$"
    times: int = 1
    status: int = 500
    body: str | None = None
    delay_s: float = 0.0
    content: str = ""
    used: int = 0

    def as_json(self) -> Json:
        return asdict(self)


class Faults:
    """The orders that are still open, first come first served."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []
        self._ids = itertools.count(1)

    def order(self, wish: Json) -> Fault:
        known = {"kind", "method", "path", "times", "status", "body"}
        if unknown := set(wish) - known - {"delay_s", "content"}:
            raise BadFault(f"Unknown keys: {', '.join(sorted(unknown))}.")
        if wish.get("kind") not in KINDS:
            raise BadFault(f"kind must be one of {', '.join(KINDS)}.")
        fault = Fault(id=next(self._ids), **wish)
        if not 1 <= fault.times <= 10_000:
            raise BadFault("times must be between 1 and 10000.")
        try:
            re.compile(fault.path)
        except re.error as err:
            raise BadFault(f"path is not a pattern: {err}.") from err
        self.orders.append(fault)
        return fault

    def take(self, *, method: str, path: str, body: str = "") -> Fault | None:
        for fault in self.orders:
            if not _fits(fault, method=method, path=path) or fault.content not in body:
                continue
            fault.used += 1
            if fault.used >= fault.times:
                self.orders.remove(fault)
            return fault
        return None

    def clear(self) -> None:
        self.orders.clear()


def _fits(fault: Fault, *, method: str, path: str) -> bool:
    return fault.method in ("*", method) and bool(re.search(fault.path, path))
