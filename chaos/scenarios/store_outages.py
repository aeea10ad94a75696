"""2. Redis is killed, flushed and stopped; PostgreSQL crashes and stays away."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from chaos.world import World, say

TITLE = "Redis and PostgreSQL killed, flushed, restarted, away"
RECOVERY_PATIENCE_S = 180
# Chatwoot tries three times: the third try must come after the outage.
RETRY_MARGIN_S = 4.0


def run(world: World) -> None:
    """Break each store in mid-flight, then take PostgreSQL away during intake."""
    stack = world.stack
    breaks: dict[str, Callable[[], None]] = {
        "Redis killed": lambda: stack.kill("redis"),
        "Redis flushed": stack.flush_redis,
        "Redis away": lambda: _away(world, "redis", seconds=5.0),
        "PostgreSQL crashed": stack.crash_postgres,
    }
    count = world.size(full=40, short=8)
    for name, breaks_it in breaks.items():
        say(f"   {name} with {count} turns in flight")
        _in_mid_flight(world, breaks_it, count=count)
        if not world.options.is_short or name == "PostgreSQL crashed":
            world.recover(patience_s=RECOVERY_PATIENCE_S)
    _away_during_intake(world, seconds=world.size(full=30, short=8))


def _in_mid_flight(world: World, breaks_it: Callable[[], None], *, count: int) -> None:
    """Some streams are under way, some messages just came, some come afterwards."""
    customers = world.crowd.come(count)
    slow, quick, late = (customers[number::3] for number in range(3))
    world.crowd.all_say(slow, "/slow 4")
    time.sleep(1.0)
    world.crowd.all_say(quick)
    breaks_it()
    world.crowd.all_say(late)


def _away(world: World, name: str, *, seconds: float) -> None:
    """Take a store away while customers write."""
    down: AbstractContextManager[None] = world.stack.stopped(name)
    with down:
        ends_at = time.monotonic() + seconds
        world.crowd.all_say(world.crowd.come(4))
        time.sleep(max(ends_at - time.monotonic(), 0.0))


def _away_during_intake(world: World, *, seconds: int) -> None:
    """PostgreSQL is away: every webhook gets 500, and Chatwoot repeats it."""
    wait_s = seconds / 2 + RETRY_MARGIN_S
    world.sandbox.set(webhook_retry_wait_s=wait_s)
    count = world.size(full=40, short=8)
    say(f"   PostgreSQL away for {seconds} s, {count} turns during it")
    customers = world.crowd.come(count)
    with world.stack.stopped("postgres"):
        ends_at = time.monotonic() + seconds
        world.crowd.talk([(one, "") for one in customers], over_s=seconds / 2)
        time.sleep(max(ends_at - time.monotonic(), 0.0))
    world.recover(patience_s=RECOVERY_PATIENCE_S)
    refused = world.sandbox.webhooks_answered(500)
    world.remarks.append(
        f"PostgreSQL was away for {seconds} s; {refused} webhooks were answered 500 "
        f"and repeated by Chatwoot, which waited {wait_s:.0f} s between its three tries"
    )
    if refused == 0:
        raise RuntimeError("no webhook was answered 500 while PostgreSQL was away")
