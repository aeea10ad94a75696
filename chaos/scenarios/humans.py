"""5. A human takes over at every possible moment of a run, and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from chaos.judge import Fate
from chaos.world import World, say

TITLE = "a human takes over at every moment of a run"
RECOVERY_PATIENCE_S = 180
ACTS = ("human_reply", "phone_reply", "open", "assign", "resolve")
STREAM_S, STEP_S, SHORT_STEP_S = 4.0, 0.25, 0.5

# The requests of one turn, in their order.
REQUESTS = (
    ("GET", r"/conversations/\d+$", ""),
    ("POST", r"/toggle_typing_status$", '"on"'),
    ("POST", r"^/v1/chat-messages$", ""),
    ("POST", r"/toggle_typing_status$", '"off"'),
    ("POST", r"/conversations/\d+/messages$", ""),
)


@dataclass(frozen=True)
class Moment:
    """When the human acts: around a request, or some time after it."""

    method: str
    path: str
    content: str
    when: str
    delay_s: float = 0.0
    command: str = ""


def moments(*, step_s: float) -> Iterator[Moment]:
    """Around each request of a turn, and again and again during a slow stream."""
    for method, path, content in REQUESTS:
        for when in ("before", "after"):
            yield Moment(method, path, content, when)
    method, path, content = REQUESTS[2]
    for step in range(1, int(STREAM_S / step_s) + 1):
        yield Moment(
            method,
            path,
            content,
            when="before",
            delay_s=step * step_s,
            command=f"/slow {STREAM_S:g}",
        )


def run(world: World) -> None:
    """Let every act happen at every moment, each to a customer of its own."""
    # So that assigning oneself counts as taking over, too.
    world.database.set_bot(yields_to_assignee=True)
    world.rules = replace(world.rules, assigning_counts=True)
    step_s = SHORT_STEP_S if world.options.is_short else STEP_S
    for _ in range(world.size(full=3, short=1)):
        wanted = [(act, when) for act in ACTS for when in moments(step_s=step_s)]
        say(f"   {len(wanted)} turns: {len(ACTS)} ways to take over at each moment")
        customers = world.crowd.come(len(wanted))
        lines = []
        for customer, (act, moment) in zip(customers, wanted, strict=True):
            world.sandbox.add_trigger(
                act,
                method=moment.method,
                path=moment.path,
                content=moment.content,
                when=moment.when,
                delay_s=moment.delay_s,
                conversation_id=customer.conversation_id,
            )
            lines.append((customer, moment.command))
        world.crowd.talk(lines, over_s=len(lines) / 15)
        world.recover(patience_s=RECOVERY_PATIENCE_S)
    _give_back(world)


def _give_back(world: World) -> None:
    """Back to pending and to nobody: the next message is the bot's again."""
    returned = world.crowd.customers[:: world.size(full=5, short=10)]
    say(f"   {len(returned)} conversations are given back to the bot")
    for customer in returned:
        world.sandbox.act(customer.conversation_id, "status", status="pending")
        world.sandbox.act(customer.conversation_id, "assign", assignee_id=None)
    tokens = [world.crowd.say(customer) for customer in returned]
    world.recover(patience_s=RECOVERY_PATIENCE_S)
    fates = world.judge().fates
    unanswered = [token for token in tokens if fates[token] is not Fate.ANSWERED]
    if unanswered:
        raise RuntimeError(f"given back, but not answered: {', '.join(unanswered)}")
