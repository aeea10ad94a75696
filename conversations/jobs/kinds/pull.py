"""Read an account's settings from Chatwoot, members of teams among them."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonValue
from chatwoot_api import sync
from conversations import audit
from conversations.jobs.contract import Item, Kind, Outcome
from conversations.models import AuditEntry, JobItem


def items() -> list[Item]:
    """Return the one item: all is read first, then written at once."""
    return [Item(title=gettext("Teams with members, agents, labels, attributes"))]


def run(item: JobItem) -> Outcome:
    """Read all of it; nothing is written if something cannot be read."""
    account = item.job.account
    if account is None:
        text = gettext("The account is no longer set up here.")
        return Outcome(JobItem.Status.SKIPPED, text)
    counts = sync.pull(account, now=timezone.now(), with_members=True)
    audit.record(
        AuditEntry.Verb.PULLED,
        actor=item.job.actor,
        account=account,
        job=item.job_id,
        counts=dict[str, JsonValue](counts),
    )
    text = gettext(
        "Read from Chatwoot: %(teams)d teams, %(agents)d agents, %(labels)d labels, "
        "%(attribute_definitions)d attributes, %(inboxes)d inboxes."
    )
    return Outcome(JobItem.Status.DONE, text % counts)


KIND = Kind(name="pull", title=_("Read from Chatwoot"), run=run)
