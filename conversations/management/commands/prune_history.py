"""`manage.py prune_history`: forget now what is older than the accounts' limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from conversations import retention


class Command(BaseCommand):
    """The scheduled task does the same, every hour and in smaller helpings."""

    help = (
        "Empty and delete what is older than the limits under “Retention” in the "
        "admin; an account without such a row has the defaults."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Deleting wants to be confirmed."""
        parser.add_argument(
            "--yes", action="store_true", help="Do it; nothing comes back."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune until nothing is left to prune, and say how much it was."""
        if not options["yes"]:
            raise CommandError(
                "This deletes for good what is older than the limits under "
                "“Retention”. Repeat the command with --yes to do it."
            )
        total: Counter[str] = Counter()
        more = True
        while more:
            pruned = retention.prune(timezone.now())
            total.update(pruned.counts)
            more = pruned.more
        for kind, count in sorted(total.items()):
            self.stdout.write(f"{kind}: {count}")
        self.stdout.write(f"Done! {sum(total.values())} rows emptied or deleted.")
