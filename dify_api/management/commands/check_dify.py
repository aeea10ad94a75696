"""`manage.py check_dify`: can the bridge work with its Dify apps?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bridge_project.lib.errors import BridgeError
from dify_api.app_info import refresh
from dify_api.models import DifyApp


class Command(BaseCommand):
    """One line per thing checked; fails if anything does."""

    help = (
        "Check that each Dify app is reachable, accepts its key, is published, and say "
        "what it is and declares. What is read is stored, as the admin action does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take an app's number or name."""
        parser.add_argument(
            "app", nargs="?", help="Number or name of one app; all of them if omitted."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the apps, then report the number of failures."""
        apps = _chosen(options["app"])
        failed = sum(not self._check(app) for app in apps)
        if failed:
            msg = f"{failed} of {len(apps)} Dify apps cannot be used."
            raise CommandError(msg)
        self.stdout.write(f"Done. {len(apps)} Dify apps can be used.")

    def _check(self, app: DifyApp) -> bool:
        try:
            refresh(app)
        except BridgeError as err:
            self.stderr.write(f"FAILED {app}: {err}")
            return False
        self._ok(app, f"reachable at {app.connection().api_url}, key accepted")
        self._ok(app, f"published, kind: {app.get_mode_display()}")
        inputs = ", ".join(
            f"{field.variable} ({field.kind}{', required' if field.required else ''})"
            for field in app.declared_inputs()
        )
        self._ok(app, f"declared inputs: {inputs or 'none'}")
        return True

    def _ok(self, app: DifyApp, what: str) -> None:
        self.stdout.write(f"OK {app}: {what}")


def _chosen(choice: str | None) -> list[DifyApp]:
    if choice is None:
        return list(DifyApp.objects.all())
    by = {"pk": int(choice)} if choice.isdecimal() else {"name": choice}
    apps = list(DifyApp.objects.filter(**by))
    if not apps:
        msg = f"There is no Dify app “{choice}”."
        raise CommandError(msg)
    return apps
