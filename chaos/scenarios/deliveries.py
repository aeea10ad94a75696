"""3. Every webhook comes three times, out of order, and through a second webhook."""

from __future__ import annotations

from chaos.world import World, say

TITLE = "every webhook three times, reordered, by bot and account webhook"
RECOVERY_PATIENCE_S = 180
SHUFFLE_S = 2.0
SUBSCRIPTIONS = [
    "message_created",
    "message_updated",
    "conversation_updated",
    "conversation_status_changed",
]


def run(world: World) -> None:
    """Let customers write several messages while deliveries go wild."""
    world.sandbox.set(webhook_copies=3, webhook_shuffle_s=SHUFFLE_S)
    world.sandbox.add_account_webhook(
        url=f"{world.stack.web}/api/v1/chatwoot-webhook", subscriptions=SUBSCRIPTIONS
    )
    people, each = world.size(full=60, short=15), world.size(full=6, short=3)
    say(f"   {people} customers write {each} messages each")
    customers = world.crowd.come(people)
    lines = [(one, "") for _ in range(each) for one in customers]
    world.crowd.talk(lines, over_s=len(lines) / world.size(full=6, short=8))
    world.recover(patience_s=RECOVERY_PATIENCE_S)
