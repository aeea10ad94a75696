"""What the commands seed_teams, seed_labels and seed_attributes have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonValue
from chatwoot_api import seed_files, seeding, sync
from chatwoot_api.client import ChatwootClient
from chatwoot_api.management.accounts import add_account_argument, chosen_account
from chatwoot_api.models import ChatwootAccount


class SeedCommand(BaseCommand):
    """Compares, says the difference, makes it so; harmless to repeat."""

    kind: ClassVar[seeding.Kind]

    @abstractmethod
    def read(self, data: JsonValue, options: dict[str, Any]) -> seed_files.Seed:
        """Return what the file wants."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what is wanted, of which account, and how far to go."""
        words = self.kind.words
        parser.add_argument("file", metavar="FILE", help=f"The {words}, YAML or JSON.")
        add_account_argument(parser, default="the only account")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Only say what would be done.",
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help=f"Delete {words} that the file does not name. Needs --yes.",
        )
        parser.add_argument("--yes", action="store_true", help="Really delete.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, say the difference, apply it, read the mirrors anew."""
        try:
            account = chosen_account(options["account"])
            seed = self.read(seed_files.load(options["file"]), options)
            client = sync.client_of(account)
            plan = seeding.plan(client, self.kind, seed.wanted, prune=options["prune"])
        except (BridgeError, ImproperlyConfigured) as err:
            raise CommandError(f"{err} Nothing was changed.") from err
        for line in (*seed.notes, *seeding.lines(plan)):
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write(_would_do(plan))
            return
        if options["prune"] and not options["yes"]:
            raise CommandError(
                f"--prune deletes {self.kind.words} for good: here {_many(plan)}. "
                "Nothing was changed. Repeat the command with --yes to do all this."
            )
        self._carry_out(plan, account=account, client=client)

    def _carry_out(
        self, plan: seeding.Plan, *, account: ChatwootAccount, client: ChatwootClient
    ) -> None:
        """Apply the plan with a line for each change, and end with the counts."""
        done: Counter[str] = Counter()
        total = len(plan.changes)
        for number, result in enumerate(seeding.apply(plan, client=client), start=1):
            change = result.change
            what = f"{self.kind.word} “{change.name}”"
            if result.error:
                done["failed"] += 1
                self.stderr.write(
                    f"[{number}/{total}] {what} could not be "
                    f"{seeding.DONE[change.verb]}: {result.error}"
                )
            else:
                done[change.verb] += 1
                self.stdout.write(
                    f"[{number}/{total}] {seeding.DONE[change.verb]} {what}"
                )
        if not plan.changes:
            self.stdout.write(f"Nothing to do: all {self.kind.words} are as wanted.")
        unread = self._pull(account)
        counts = _counts(done, unchanged=plan.unchanged)
        if done["failed"]:
            raise CommandError(
                f"{done['failed']} of {total} changes failed. Mend what is said above "
                f"and repeat the command: what is done stays done. {counts}"
            )
        if unread:
            raise CommandError(
                f"{unread} The bridge knows the change only after `manage.py "
                f"pull_chatwoot`. {counts}"
            )
        self.stdout.write(f"Done! {counts}")

    def _pull(self, account: ChatwootAccount) -> str:
        """Read the mirrors anew; returns why that failed, or ""."""
        try:
            sync.pull(account, now=timezone.now(), with_members=True)
        except BridgeError as err:
            return f"Chatwoot was changed, but could not be read: {err}."
        return ""


def _would_do(plan: seeding.Plan) -> str:
    counts: Counter[str] = Counter(change.verb for change in plan.changes)
    said = _counts(counts, unchanged=plan.unchanged)
    return f"Dry run, nothing was changed. It would be: {said}"


def _many(plan: seeding.Plan) -> str:
    names = [f"“{c.name}”" for c in plan.changes if c.verb == "delete"]
    return ", ".join(names) or "none"


def _counts(done: Counter[str], *, unchanged: int) -> str:
    parts = [f"{done[verb]} {word}" for verb, word in seeding.DONE.items()]
    return f"{', '.join(parts)}, {unchanged} unchanged, {done['failed']} failed."
