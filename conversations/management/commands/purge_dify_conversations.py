"""`manage.py purge_dify_conversations`: have Dify forget what is long unused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone

from conversations import deletion
from conversations.models import Bot, DifyConversation


class Command(BaseCommand):
    """The scheduled task goes on with what cannot be deleted now."""

    help = (
        "Delete the conversations in Dify that were last used before a date. The "
        "conversations in Chatwoot stay; a customer who writes again begins anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Deleting wants to be confirmed."""
        parser.add_argument(
            "--before",
            metavar="DATE",
            required=True,
            help="Such as 2026-01-31; midnight at its beginning, or a date with time.",
        )
        parser.add_argument(
            "--bot",
            metavar="NAME",
            default="",
            help="Only what this bot's inboxes have in Dify; without it, everything.",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Only say how many it would be.",
        )
        parser.add_argument(
            "--yes", action="store_true", help="Do it; nothing comes back."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Want them deleted, delete what is due, and say what is left."""
        before = _moment(options["before"])
        rows = _rows(before, name=options["bot"])
        count = rows.count()
        since = timezone.localtime(before).strftime("%Y-%m-%d %H:%M")
        found = f"{count} Dify conversations were last used before {since}"
        if options["dry_run"]:
            self.stdout.write(f"{found}; nothing was done.")
            return
        if not options["yes"]:
            raise CommandError(
                f"{found}. Dify would forget them for good. Repeat the command with "
                "--yes to do it, or with --dry-run to only count."
            )
        self._purge(rows)

    def _purge(self, rows: QuerySet[DifyConversation]) -> None:
        ids = list(rows.values_list("pk", flat=True))
        wanted = 0
        for start in range(0, len(ids), deletion.BATCH):
            # Asked again: a customer may have come back to one in this moment.
            batch = rows.filter(pk__in=ids[start : start + deletion.BATCH])
            wanted += deletion.want_all(batch, reason=DifyConversation.End.BY_OPERATOR)
        tried = 0
        # Each try moves a row on, so this ends; other workers may take a part.
        while counts := _delete_some():
            tried += counts
            self.stdout.write(f"Tried {tried} so far …")
        left = self._report(ids)
        if left:
            raise CommandError(
                f"{left} of {wanted} are still in Dify. The worker tries them again; "
                "repeat the command to see what is left."
            )
        self.stdout.write(f"Done! Dify has forgotten {wanted} conversations.")

    def _report(self, ids: list[int]) -> int:
        """Say why rows are left, each reason once; return how many are left."""
        reasons: dict[str, int] = {}
        for start in range(0, len(ids), deletion.BATCH):
            left = DifyConversation.objects.filter(
                pk__in=ids[start : start + deletion.BATCH],
                delete_wanted_at__isnull=False,
                deleted_at=None,
            )
            for error in left.values_list("delete_error", flat=True):
                reason = error or "being deleted by a worker"
                reasons[reason] = reasons.get(reason, 0) + 1
        for reason, count in reasons.items():
            self.stdout.write(f"{count} not deleted: {reason}")
        return sum(reasons.values())


def _delete_some() -> int:
    return sum(deletion.delete_due(now=timezone.now()).values())


def _rows(before: datetime, *, name: str) -> QuerySet[DifyConversation]:
    rows = DifyConversation.objects.filter(last_used_at__lt=before, deleted_at=None)
    if not name:
        return rows
    bots = Bot.objects.filter(name=name)
    if not bots:
        known = ", ".join(Bot.objects.values_list("name", flat=True))
        raise CommandError(f"There is no bot “{name}”. Known bots: {known or 'none'}.")
    inboxes = [inbox for bot in bots for inbox in deletion.inboxes_of(bot)]
    return rows.filter(conversation__inbox__in=inboxes)


def _moment(text: str) -> datetime:
    """Return midnight of a day, or a moment, in the project's time zone."""
    try:
        moment = datetime.combine(date.fromisoformat(text), time.min)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as err:
            raise CommandError(f"“{text}” is no date. Write it as 2026-01-31.") from err
    if moment.tzinfo is None:
        moment = timezone.make_aware(moment)
    if moment > datetime.now(UTC):
        raise CommandError(f"“{text}” is in the future; name a day in the past.")
    return moment
