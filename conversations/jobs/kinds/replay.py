"""Have events answered once more; each item is what is replayed of one conversation."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from conversations import replay as replays
from conversations import tasks
from conversations.jobs.contract import Item, Kind, Outcome
from conversations.models import JobItem, WebhookEvent
from conversations.replay import Result

# In the item's arguments: the turn that was begun. A worker that dies afterwards is
# followed by one that begins no second turn.
_TURN = "turn"


def items_of(events: Iterable[WebhookEvent]) -> list[Item]:
    """Return the items of a job: one for each conversation, in order of their events.

    What is replayed of one conversation gets one answer.
    """
    groups: dict[tuple[str, int], list[WebhookEvent]] = {}
    for event in sorted(events, key=lambda event: event.pk):
        own = event.conversation_id
        key = ("event", event.pk) if own is None else ("conversation", own)
        groups.setdefault(key, []).append(event)
    return [
        Item(title=_title(group), arguments={"events": [event.pk for event in group]})
        for group in groups.values()
    ]


def _title(events: list[WebhookEvent]) -> str:
    number = events[0].chatwoot_conversation_id
    if number is None:
        return gettext("Event %(id)d") % {"id": events[0].pk}
    return ngettext(
        "Conversation #%(number)d: %(count)d event",
        "Conversation #%(number)d: %(count)d events",
        len(events),
    ) % {"number": number, "count": len(events)}


def run(item: JobItem) -> Outcome:
    """Replay the item's events together, once."""
    with transaction.atomic():
        # A worker that hangs may be in it still, and have begun the turn by then.
        stored = JobItem.objects.select_for_update().filter(pk=item.pk)
        item.arguments = stored.values_list("arguments", flat=True).get()
        outcome = None if _TURN in item.arguments else _begin(item)
    turn_id = int(item.arguments.get(_TURN, 0))
    if turn_id:
        tasks.wake_turn(turn_id)
    if outcome is not None:
        return outcome
    text = gettext("It is answered in turn %(id)d.") % {"id": turn_id}
    return Outcome(JobItem.Status.DONE, text)


def _begin(item: JobItem) -> Outcome:
    """Replay the events of an item that is locked, and note the turn in it."""
    events = list(
        WebhookEvent.objects.filter(pk__in=item.arguments.get("events", []))
        .select_related("account", "turn")
        .order_by("pk")
    )
    if not events:
        text = gettext("The events are no longer stored.")
        return Outcome(JobItem.Status.SKIPPED, text)
    force = bool(item.job.arguments.get("force"))
    result = _replay(events, by=item.job.actor, force=force)
    if result.turn is None:
        return Outcome(JobItem.Status.SKIPPED, result.text)
    item.arguments = {**item.arguments, _TURN: result.turn.pk}
    item.save(update_fields=["arguments"])
    return Outcome(JobItem.Status.DONE, result.text)


def _replay(events: list[WebhookEvent], *, by: str, force: bool) -> Result:
    """Those that failed are processed first, each as if it had just come."""
    failed = [row for row in events if row.status == WebhookEvent.Status.FAILED]
    others = [row for row in events if row.status != WebhookEvent.Status.FAILED]
    results = [replays.replay(row, by=by, force=force) for row in failed]
    if others:
        results.append(replays.together(others, by=by, force=force))
    turns = [result.turn for result in results if result.turn is not None]
    texts = dict.fromkeys(result.text for result in results)
    return Result(turns[-1] if turns else None, " ".join(texts))


KIND = Kind(name="replay", title=_("Replay events"), run=run)
