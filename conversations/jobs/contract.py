"""What a kind of job promises to the engine, and the engine to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from django.utils.functional import Promise

from bridge_project.lib.types import JsonObject
from conversations.models import JobItem


@dataclass(frozen=True)
class Item:
    """One step to be done.

    `title` is what a person calls it: numbers and names of settings, no customer's
    name. `arguments` are ids, what `run` needs to do it.
    """

    title: str
    arguments: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of an item, with a sentence for the report."""

    status: JobItem.Status
    text: str


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    `run` does one item. It is called outside of a transaction, and once more for an
    item whose worker died, so doing it twice must do no harm. A BridgeError out of it
    is the item's failure, in its own sentence.
    """

    name: str
    title: str | Promise
    run: Callable[[JobItem], Outcome]
