"""`manage.py pull_chatwoot`: read teams, agents, labels and attributes again."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from bridge_project.lib.errors import BridgeError
from chatwoot_api import sync
from chatwoot_api.management.accounts import account_with, add_account_argument
from chatwoot_api.models import ChatwootAccount


class Command(BaseCommand):
    """The worker does the same every hour."""

    help = (
        "Read teams, agents, labels, attribute definitions and inboxes from Chatwoot "
        "into the bridge. Changes nothing in Chatwoot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which account."""
        add_account_argument(parser, default="each account")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read each account; one that fails does not keep back the others."""
        if options["account"]:
            keys = [account_with(options["account"]).key]
        else:
            known = ChatwootAccount.objects.order_by("pk")
            keys = list(known.values_list("key", flat=True))
        failed = 0
        for key in keys:
            try:
                account = ChatwootAccount.objects.get(key=key)
                counts = sync.pull(account, now=timezone.now(), with_members=True)
            except (BridgeError, ImproperlyConfigured) as err:
                failed += 1
                self.stderr.write(f"{key}: could not be read: {err}")
                continue
            found = (f"{kind.replace('_', ' ')} {n}" for kind, n in counts.items())
            self.stdout.write(f"{key}: {', '.join(found)}")
        said = f"{len(keys) - failed} of {len(keys)} accounts were read."
        if failed:
            raise CommandError(f"{said} See above what keeps the others.")
        self.stdout.write(f"Done! {said}")
