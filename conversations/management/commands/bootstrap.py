"""`manage.py bootstrap`: the first account, Dify app and bot from the environment."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bridge_project.lib.errors import ConfigurationError
from conversations.bootstrap import bootstrap


class Command(BaseCommand):
    """Harmless to repeat; what an operator changed in the admin stays."""

    help = (
        "Make the first Chatwoot account, Dify app and bot from CHATWOOT_API_URL, "
        "CHATWOOT_ACCOUNT_ID, CHATWOOT_API_KEY, CHATWOOT_ADMIN_API_KEY, DIFY_API_URL "
        "and DIFY_API_KEY, and follow these until they are changed in the admin."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and say what was done."""
        try:
            report = bootstrap(os.environ)
        except ConfigurationError as err:
            raise CommandError(err.message) from err
        for line in report.lines:
            self.stdout.write(line)
