"""The scenarios, one module each, by their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chaos.scenarios import (
    deliveries,
    failing_services,
    hostile_input,
    humans,
    load,
    restarts,
    store_outages,
    worker_kills,
)
from chaos.world import World


@dataclass(frozen=True)
class Scenario:
    """What it is called in the table, and what it does."""

    title: str
    run: Callable[[World], None]


SCENARIOS: Mapping[int, Scenario] = {
    number: Scenario(title, run)
    for number, (title, run) in enumerate(
        [
            (worker_kills.TITLE, worker_kills.run),
            (store_outages.TITLE, store_outages.run),
            (deliveries.TITLE, deliveries.run),
            (failing_services.TITLE, failing_services.run),
            (humans.TITLE, humans.run),
            (load.TITLE, load.run),
            (restarts.TITLE, restarts.run),
            (hostile_input.TITLE, hostile_input.run),
        ],
        start=1,
    )
}
