"""Erase contacts: here, then in Dify."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount
from conversations import deletion, erasure
from conversations.jobs.contract import Item, Kind, Outcome
from conversations.models import DifyConversation, Erasure, JobItem


def items_of(contacts: Iterable[tuple[ChatwootAccount, int]]) -> list[Item]:
    """Return the items of a job, one for each contact of an account."""
    return [
        Item(
            title=gettext("Contact #%(number)d of %(account)s")
            % {"number": contact_id, "account": account},
            arguments={"account": account.pk, "contact": contact_id},
        )
        for account, contact_id in contacts
    ]


def run(item: JobItem) -> Outcome:
    """Erase a contact as far as that goes now; the housekeeping does what is left."""
    account = ChatwootAccount.objects.filter(pk=item.arguments.get("account")).first()
    if account is None:
        text = gettext("The account is no longer set up here.")
        return Outcome(JobItem.Status.SKIPPED, text)
    contact_id = int(item.arguments["contact"])
    wish = erasure.request(account, contact_id, by=item.job.actor)
    wish = erasure.carry_on(wish.pk, now=timezone.now())
    if wish.status == Erasure.Status.WAITING_FOR_DIFY:
        for row in DifyConversation.objects.filter(erasure=wish, deleted_at=None):
            deletion.delete_now(row, now=timezone.now())
        wish = erasure.carry_on(wish.pk, now=timezone.now())
    return _outcome(wish)


def _outcome(wish: Erasure) -> Outcome:
    report = gettext("Report %(id)d tells the rest.") % {"id": wish.pk}
    if wish.status == Erasure.Status.DONE:
        text = gettext("Erased here and, proven, in Dify.")
        return Outcome(JobItem.Status.DONE, f"{text} {report}")
    if wish.status == Erasure.Status.WANTED:
        text = gettext("Not erased yet: %(why)s It goes on by itself.") % {
            "why": wish.error
        }
        return Outcome(JobItem.Status.FAILED, f"{text} {report}")
    left = DifyConversation.objects.filter(erasure=wish, deleted_at=None).count()
    text = ngettext(
        "Erased here; %(count)d conversation is not proven deleted in Dify yet. It "
        "goes on by itself.",
        "Erased here; %(count)d conversations are not proven deleted in Dify yet. It "
        "goes on by itself.",
        left,
    ) % {"count": left}
    return Outcome(JobItem.Status.FAILED, f"{text} {report}")


KIND = Kind(name="erase", title=_("Erase contacts"), run=run)
