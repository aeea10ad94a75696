"""Delete Dify conversations, each proven by reading it back."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from conversations import interventions
from conversations.jobs.contract import Item, Kind, Outcome
from conversations.models import DifyConversation, JobItem


def items_of(rows: Iterable[DifyConversation]) -> list[Item]:
    """Return the items of a job, one for each Dify conversation; apps are loaded."""
    return [
        Item(title=f"{row} ({row.app})", arguments={"dify_conversation": row.pk})
        for row in rows
    ]


def run(item: JobItem) -> Outcome:
    """Delete it now; what Dify does not prove is the housekeeping's from then on."""
    pk = item.arguments.get("dify_conversation")
    row = DifyConversation.objects.filter(pk=pk).select_related("conversation").first()
    if row is None:
        return Outcome(JobItem.Status.SKIPPED, gettext("It is no longer stored here."))
    text = interventions.delete_dify(row, by=item.job.actor)
    return Outcome(JobItem.Status.DONE, text)


KIND = Kind(name="delete_in_dify", title=_("Delete Dify conversations"), run=run)
