"""Long work of operators: ordered here, done item by item by the workers."""

from __future__ import annotations

from conversations.jobs.contract import Item, Kind, Outcome
from conversations.jobs.engine import due, work
from conversations.jobs.orders import add_items, start, stop
from conversations.jobs.task import run_job

__all__ = [
    "Item",
    "Kind",
    "Outcome",
    "add_items",
    "due",
    "run_job",
    "start",
    "stop",
    "work",
]
