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
        parser.add_argument("account", metavar="ACCOUNT_KEY")
        parser.add_argument("contact_id", metavar="CONTACT_ID", type=int)
        parser.add_argument(
            "--yes", action="store_true", help="Do it; nothing comes back."
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
        if not options["yes"]:
            raise CommandError(
                f"This deletes for good what is stored of contact #{contact_id} of "
                f"“{account}”. Repeat the command with --yes to do it."
            )
        by = f"command ({getpass.getuser()})"
        wish = erasure.request(account, contact_id, by=by)
        wish = erasure.carry_on(wish.pk, now=timezone.now())
        if wish.status == Erasure.Status.WAITING_FOR_DIFY:
            deletion.delete_due(now=timezone.now())
            wish = erasure.carry_on(wish.pk, now=timezone.now())
        self._report(wish)

    def _report(self, wish: Erasure) -> None:
        for kind, count in sorted(wish.counts.items()):
            self.stdout.write(f"{kind}: {count}")
        for row in DifyConversation.objects.filter(erasure=wish, deleted_at=None):
            error = row.delete_error or "not tried yet"
            self.stdout.write(f"still in Dify: {row} ({error})")
        if wish.error:
            self.stdout.write(wish.error)
        done = wish.status == Erasure.Status.DONE
        self.stdout.write(
            f"Done! Contact #{wish.chatwoot_contact_id} is erased here and in Dify."
            if done
            else f"Contact #{wish.chatwoot_contact_id}: "
            f"{wish.get_status_display()}. The worker goes on with it; see the report "
            "under “Erasures” in the admin."
        )
