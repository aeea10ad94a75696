"""1. The worker is killed: at each named step of a turn, and at random moments."""

from __future__ import annotations

import time

from chaos.breaker import breaking
from chaos.customers import Customer
from chaos.world import World, say

TITLE = "worker killed with `kill -9`"
TURNS, SHORT_TURNS = 500, 40
STEP_PATIENCE_S = 30
RECOVERY_PATIENCE_S = 240
HELD_S = 8.0
# The bridge shows typing, asks and posts within this time; then a delay is the only
# thing that can hold it.
STREAM_S = 12


def run(world: World) -> None:
    """Kill at each named step first, then spend the rest of the turns at random."""
    turns = world.options.turns or world.size(full=TURNS, short=SHORT_TURNS)
    each = max(turns // 10, 1)
    _at_named_steps(world, each=each)
    rest = max(turns - 5 * each, 1)
    waves = world.size(full=6, short=1)
    for wave in range(waves):
        count = rest // waves + (1 if wave < rest % waves else 0)
        say(f"   wave {wave + 1} of {waves}: {count} turns, kills at random moments")
        _at_random(world, count=count, kills=world.size(full=3, short=2))


def _at_named_steps(world: World, *, each: int) -> None:
    """Hold customers at every step at once, then kill once: each step is hit."""
    customers = world.crowd.come(5 * each)
    groups = [customers[number * each : (number + 1) * each] for number in range(5)]
    before_dify, in_stream, before_post, posting, posted = groups
    faults: list[int] = []
    for one in before_dify:
        faults.append(_hold_reading(world, one, delay_s=HELD_S))
    for one in before_post:
        # The first look at the conversation passes, the one before the post is held.
        _hold_reading(world, one, delay_s=0.0)
        faults.append(_hold_reading(world, one, delay_s=HELD_S))
    for one in posting:
        # Chatwoot takes the message seconds after its sender died.
        faults.append(_hold_posting(world, one, kind="delay", delay_s=HELD_S))
    for one in posted:
        faults.append(_hold_posting(world, one, kind="hang_after", delay_s=60.0))
    quick = [*before_dify, *before_post, *posting, *posted]
    world.crowd.all_say(in_stream, f"/slow {STREAM_S}")
    world.crowd.all_say(quick)
    streaming = [one.conversation_id for one in in_stream]
    is_held = world.wait_for(
        lambda: (
            not world.sandbox.open_faults() & set(faults)
            and world.database.running(conversation_ids=streaming) == len(streaming)
        ),
        patience_s=STEP_PATIENCE_S,
    )
    if not is_held:
        missed = len(world.sandbox.open_faults() & set(faults))
        world.remarks.append(f"{missed} turns were not at their step at the kill")
    world.stack.kill("worker")
    killed_at = time.monotonic()
    say(f"   killed with {each} turns at each of 5 steps")
    if not world.options.is_short:
        world.recover(patience_s=RECOVERY_PATIENCE_S, since=killed_at)
    world.sandbox.clear_faults()


def _hold_reading(world: World, customer: Customer, *, delay_s: float) -> int:
    path = rf"/conversations/{customer.conversation_id}$"
    return world.sandbox.add_fault("delay", method="GET", path=path, delay_s=delay_s)


def _hold_posting(
    world: World, customer: Customer, *, kind: str, delay_s: float
) -> int:
    path = rf"/conversations/{customer.conversation_id}/messages$"
    return world.sandbox.add_fault(kind, path=path, delay_s=delay_s)


def _at_random(world: World, *, count: int, kills: int) -> None:
    """Kill while customers write, so that anything may be under way."""
    customers = world.crowd.come(max(count // 2, 1))
    lines = [
        (customers[number % len(customers)], world.chance.choice(("", "", "/slow 3")))
        for number in range(count)
    ]
    over_s = max(count / 6, 6.0)
    moments = [world.chance.uniform(1.0, over_s) for _ in range(kills)]
    with breaking(lambda: world.stack.kill("worker"), at_s=moments) as breaker:
        world.crowd.talk(lines, over_s=over_s)
    world.recover(patience_s=RECOVERY_PATIENCE_S, since=breaker.last_at)
