"""`manage.py export_configuration`: write the configuration without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from bridge_project.lib.errors import BridgeError
from chatwoot_api.models import ChatwootAccount
from conversations import audit
from conversations.configuration.export import export
from conversations.models import AuditEntry


class Command(BaseCommand):
    """The page “Export and import” gives the same file."""

    help = (
        "Write accounts, Dify apps, bots, wanted teams, labels and attributes, alert "
        "channels and retention as YAML, without tokens and keys."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say where to, and of which account."""
        parser.add_argument("--file", help="Write there instead of to the output.")
        parser.add_argument(
            "--account", help="Only what this account needs; its key, as in the admin."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file."""
        key = options["account"]
        try:
            account = ChatwootAccount.objects.get(key=key) if key else None
            text = export(account=account)
        except ChatwootAccount.DoesNotExist as err:
            raise CommandError(f"There is no account with the key “{key}”.") from err
        except (BridgeError, ImproperlyConfigured) as err:
            raise CommandError(str(err)) from err
        audit.record(AuditEntry.Verb.EXPORTED, account=account, by_command=True)
        if not options["file"]:
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8")
        except OSError as err:
            raise CommandError(f"The file cannot be written: {err}") from err
        self.stdout.write(f"Done! The configuration is in {options['file']}.")
