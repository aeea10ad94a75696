"""`manage.py import_configuration`: bring a file's configuration into this bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from bridge_project.lib.errors import BridgeError
from conversations import audit
from conversations.configuration.document import MAX_BYTES, Document, read
from conversations.configuration.importing import (
    STATE_NAMES,
    Plan,
    State,
    Step,
    carry_out,
    plan,
)


class Command(BaseCommand):
    """Shows the difference; `--yes` makes it so."""

    help = (
        "Show what a file of export_configuration would change here, and change it "
        "with --yes. Deletes nothing and sets no token or key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which file, and how far to go."""
        parser.add_argument("file", help="The file of export_configuration.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Only show, whatever --yes says."
        )
        parser.add_argument("--yes", action="store_true", help="Make the changes.")
        parser.add_argument(
            "--also-addresses",
            action="store_true",
            help="Take over addresses and account numbers of things that are here.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, and do what was shown."""
        also_addresses: bool = options["also_addresses"]
        try:
            document = _document(options["file"])
            found = plan(document, also_addresses=also_addresses)
            self._show(found)
            if options["dry_run"] or not options["yes"]:
                self.stdout.write("Nothing was changed. With --yes it would be.")
                return
            done = carry_out(
                document,
                also_addresses=also_addresses,
                fingerprint=found.fingerprint,
                by=audit.SYSTEM,
            )
        except (BridgeError, ImproperlyConfigured) as err:
            raise CommandError(f"{err} Nothing was changed.") from err
        for secret in done.secrets:
            self.stdout.write(f"Still to be entered at “{secret.row}”: {secret.text}.")
        self.stdout.write(f"Done! {_counts(done)}")

    def _show(self, found: Plan) -> None:
        for step in found.steps:
            self.stdout.write(
                f"{step.section}: {step.label}: {STATE_NAMES[step.state]}"
            )
            for line in _details(step):
                self.stdout.write(f"    {line}")


def _document(path: str) -> Document:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        return read(raw.decode("utf-8-sig"))
    except (OSError, ValueError) as err:
        raise CommandError(f"{path} cannot be read: {err}") from err


def _details(step: Step) -> list[str]:
    lines = []
    for field in step.fields:
        stays = "" if field.applied else " (stays; --also-addresses takes it over)"
        before, after = (
            text.replace("\n", "; ") for text in (field.before, field.after)
        )
        lines.append(f"{field.name}: {before} → {after}{stays}")
    return [*lines, *step.notes]


def _counts(done: Plan) -> str:
    new = sum(step.state is State.NEW for step in done.steps)
    changed = sum(step.state is State.CHANGED for step in done.steps)
    return f"{new} made, {changed} changed."
