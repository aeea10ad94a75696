"""6. Ten thousand events of two thousand conversations while the worker dies."""

from __future__ import annotations

from chaos.breaker import breaking
from chaos.world import World, say

TITLE = "many events, the worker killed every 5 s"
KILL_EVERY_S = 5.0
# Chatwoot reports each message and what it changes: three or four events a message.
MESSAGES, SHORT_MESSAGES = 3000, 75
PEOPLE, SHORT_PEOPLE = 2000, 60
TALK_S, SHORT_TALK_S = 160.0, 16.0
RECOVERY_PATIENCE_S = 1200


def run(world: World) -> None:
    """Let every customer write, some of them twice, in an order that chance decides."""
    people = world.size(full=PEOPLE, short=SHORT_PEOPLE)
    count = world.size(full=MESSAGES, short=SHORT_MESSAGES)
    over_s = TALK_S if people == PEOPLE else SHORT_TALK_S
    customers = world.crowd.come(people)
    lines = [(customers[number % people], "") for number in range(count)]
    world.chance.shuffle(lines)
    say(f"   {count} messages of {people} customers over {over_s:.0f} s")
    with breaking(lambda: world.stack.kill("worker"), every_s=KILL_EVERY_S) as breaker:
        world.crowd.talk(lines, over_s=over_s)
    say(f"   the worker was killed {breaker.count} times; waiting for the rest")
    world.recover(patience_s=RECOVERY_PATIENCE_S, since=breaker.last_at)
    world.remarks.append(
        f"{world.database.events()} events, {count} messages of {people} "
        f"conversations, {breaker.count} kills"
    )
