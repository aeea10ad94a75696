"""Write confirmed changes of teams, labels and attributes to Chatwoot."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonValue
from chatwoot_api import pushing, seeding, sync
from chatwoot_api.models import Wish
from chatwoot_api.pushing import Result
from chatwoot_api.seeding import Change
from conversations import audit
from conversations.jobs.contract import Item, Kind, Outcome
from conversations.jobs.kinds import pull
from conversations.models import AuditEntry, JobItem

_RESULTS = {
    Result.DONE: JobItem.Status.DONE,
    Result.LEFT_OUT: JobItem.Status.SKIPPED,
    Result.FAILED: JobItem.Status.FAILED,
}


def items_of(changes: Iterable[tuple[str, Change]]) -> list[Item]:
    """Return an item for each change, and one that reads the mirrors afterwards."""
    made = [
        Item(
            title=_title(kind, change),
            arguments={"kind": kind, "change": pushing.to_json(change)},
        )
        for kind, change in changes
    ]
    return [*made, *pull.items()]


def run(item: JobItem) -> Outcome:
    """Make one change, if what it changes is as it was when it was confirmed."""
    if "change" not in item.arguments:
        return pull.run(item)
    account = item.job.account
    if account is None:
        text = gettext("The account is no longer set up here.")
        return Outcome(JobItem.Status.SKIPPED, text)
    change = pushing.from_json(item.arguments["change"])
    pushed = pushing.push(
        change,
        kind=seeding.KINDS[item.arguments["kind"]],
        client=sync.client_of(account),
    )
    if pushed.result == Result.DONE:
        audit.record(
            AuditEntry.Verb.PUSHED,
            actor=item.job.actor,
            account=account,
            job=item.job_id,
            kind=item.arguments["kind"],
            change=change.verb,
            name=change.name,
            fields=list[JsonValue](sorted(change.fields)),
        )
    return Outcome(_RESULTS[pushed.result], pushed.text)


def _title(kind: str, change: Change) -> str:
    texts = {
        "create": gettext("Make %(kind)s “%(name)s”"),
        "update": gettext("Change %(kind)s “%(name)s”"),
        "delete": gettext("Delete %(kind)s “%(name)s”"),
    }
    return texts[change.verb] % {"kind": Wish.Kind(kind).label, "name": change.name}


KIND = Kind(name="push", title=_("Write to Chatwoot"), run=run)
