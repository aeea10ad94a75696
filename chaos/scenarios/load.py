"""6. Ten thousand messages of two thousand conversations while the worker dies."""

from __future__ import annotations

from chaos.breaker import breaking
from chaos.world import World, say

TITLE = "many events, the worker killed every 5 s"
KILL_EVERY_S = 5.0
EVENTS_PER_S = 16.0
RECOVERY_PATIENCE_S = 900


def run(world: World) -> None:
    """Let every customer write five messages, in an order that chance decides."""
    people = world.size(full=2000, short=60)
    customers = world.crowd.come(people)
    lines = [(one, "") for one in customers for _ in range(5)]
    world.chance.shuffle(lines)
    over_s = len(lines) / EVENTS_PER_S
    say(f"   {len(lines)} messages of {people} customers over {over_s:.0f} s")
    with breaking(lambda: world.stack.kill("worker"), every_s=KILL_EVERY_S) as breaker:
        world.crowd.talk(lines, over_s=over_s)
    say(f"   the worker was killed {breaker.count} times; waiting for the rest")
    world.recover(patience_s=RECOVERY_PATIENCE_S, since=breaker.last_at)
    world.remarks.append(
        f"{len(lines)} messages of {people} conversations, {breaker.count} kills"
    )
