"""`manage.py erase_contact`: erase a contact here, and have it erased in Dify."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from chatwoot_api.models import ChatwootAccount
from conversations import deletion, erasure
from conversations.models import DifyConversation, Erasure


class Command(BaseCommand):
    """Repeats harmlessly; what is not done at its end, the scheduled tasks finish."""

    help = (
        "Delete everything that is stored of a contact, in all conversations, and "
        "their conversations in Dify. Delete the contact in Chatwoot first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say whom; deleting wants to be confirmed."""
        parser.add_argument(
            "account",
            metavar="ACCOUNT_KEY",
            help=(
                "The account's key, as at the end of its webhook address: …/KEY. The "
                "page of the Chatwoot account in the admin shows it."
            ),
        )
        parser.add_argument(
            "contact_id",
            metavar="CONTACT_ID",
            type=int,
            help=(
                "Chatwoot's number of the contact. The admin shows it in the list and "
                "on the page of the contact's conversations."
            ),
        )
        parser.add_argument(
            "--yes",
            action="store_true",
            help="Do it; nothing comes back. Without it the command only tells what "
            "it would delete.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase, try Dify once, and report."""
        account = ChatwootAccount.objects.filter(key=options["account"]).first()
        if account is None:
            known = ChatwootAccount.objects.values_list("key", flat=True)
            raise CommandError(
                f"No Chatwoot account has the key “{options['account']}”. "
                f"Known keys: {', '.join(known) or 'none'}."
            )
        contact_id = options["contact_id"]
        if contact_id < 1:
            raise CommandError("Contacts have numbers from 1 on.")
        wish = self._wish(account, contact_id, is_confirmed=options["yes"])
        wish = erasure.carry_on(wish.pk, now=timezone.now())
        if wish.status == Erasure.Status.WAITING_FOR_DIFY:
            deletion.delete_due(now=timezone.now())
            wish = erasure.carry_on(wish.pk, now=timezone.now())
        self._report(wish)

    def _wish(
        self, account: ChatwootAccount, contact_id: int, *, is_confirmed: bool
    ) -> Erasure:
        """Want it erased if there is something, and the operator has seen what."""
        found = erasure.stored(account, contact_id)
        if not found.counts:
            # Here it is erased already; Dify has not proven it yet.
            wish = erasure.open_wish(account, contact_id)
            if wish is not None:
                return wish
            raise CommandError(
                f"Nothing of contact #{contact_id} is stored for this account; nothing "
                "was done."
            )
        if not is_confirmed:
            names = ", ".join(found.names) or "no name"
            self.stdout.write(f"Contact #{contact_id} of “{account}”: {names}")
            for kind, count in sorted(found.counts.items()):
                self.stdout.write(f"{kind}: {count}")
            raise CommandError(
                "This would be deleted for good, with all that hangs on it, here and "
                "in Dify. Repeat the command with --yes to do it."
            )
        by = f"command ({getpass.getuser()})"
        return erasure.request(account, contact_id, by=by)

    def _report(self, wish: Erasure) -> None:
        for kind, count in sorted(wish.counts.items()):
            self.stdout.write(f"{kind}: {count}")
        for row in DifyConversation.objects.filter(erasure=wish, deleted_at=None):
            error = row.delete_error or "not tried yet"
            self.stdout.write(f"still in Dify: {row} ({error})")
        if wish.error:
            self.stdout.write(wish.error)
        done = wish.status == Erasure.Status.DONE
        is_wanted = wish.status == Erasure.Status.WANTED
        state = "not erased yet" if is_wanted else wish.get_status_display()
        contact = f"Contact #{wish.chatwoot_contact_id}"
        self.stdout.write(
            f"Done! {contact} is erased here and in Dify."
            if done
            else f"{contact}: {state}. The worker goes on with it; see the report "
            "under “Erasures” in the admin."
        )
