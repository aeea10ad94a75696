"""7. Two workers and two web processes, one of each restarted every few seconds."""

from __future__ import annotations

import signal
from collections import Counter

from chaos.breaker import breaking
from chaos.proxy import in_front_of
from chaos.stack import Second
from chaos.world import World, say

TITLE = "two workers, two web processes, restarted in turn"
RECOVERY_PATIENCE_S = 180
RESTART_EVERY_S = 3.0
READY_PATIENCE_S = 30


def run(world: World) -> None:
    """Update worker and web in turn, as a rolling update does, under load."""
    turns = world.size(full=600, short=60)
    over_s = world.size(full=150, short=15)
    stack = world.stack
    with stack.second("worker") as worker, stack.second("web") as web:
        _wait_for(world, web.url)
        with in_front_of([stack.web, web.url]) as proxy:
            world.sandbox.set(bridge_url=proxy.url)
            customers = world.crowd.come(turns // 3)
            lines = [
                (one, world.chance.choice(("", "", "/slow 4")))
                for _ in range(3)
                for one in customers
            ]
            say(f"   {len(lines)} turns over {over_s} s, a restart every 3 s of each")
            with (
                breaking(
                    lambda: stack.send("worker", signal.SIGTERM),
                    lambda: _restart(worker),
                    every_s=RESTART_EVERY_S,
                ) as workers,
                breaking(
                    lambda: _restart_first_web(world, web),
                    lambda: _restart_second_web(world, web),
                    every_s=RESTART_EVERY_S,
                ) as webs,
            ):
                world.crowd.talk(lines, over_s=over_s)
            since = max(workers.last_at, webs.last_at)
            world.recover(patience_s=RECOVERY_PATIENCE_S, since=since)
            world.sandbox.set(bridge_url=stack.web)
    world.remarks.append(
        f"{workers.count} restarts of a worker, {webs.count} of a web process"
    )
    world.remarks += [
        f"the proxy answered 502 to {count} webhooks: {why}"
        for why, count in Counter(proxy.lost).items()
    ]


def _restart(process: Second) -> None:
    process.end()
    process.start()


def _restart_first_web(world: World, other: Second) -> None:
    """Restart the supervised one, once the other takes requests again."""
    _wait_for(world, other.url)
    world.stack.send("web", signal.SIGTERM)


def _restart_second_web(world: World, second: Second) -> None:
    """Restart the second one, once the supervised one takes requests again."""
    _wait_for(world, world.stack.web)
    _restart(second)


def _wait_for(world: World, web: str) -> None:
    if not world.wait_for(
        lambda: world.stack.answers(web), patience_s=READY_PATIENCE_S
    ):
        raise TimeoutError(f"{web} did not come back in {READY_PATIENCE_S} s")
