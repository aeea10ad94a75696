"""`make check`: no migration may break the old code that runs beside it.

During an update old web processes and workers go on for a while with the new tables.
So nothing that they use is dropped or renamed, and what they do not know has a default
in the database.
"""

from __future__ import annotations

import logging
import os
import sys

import django

OUR_APPS = ("access", "chatwoot_api", "conversations", "dify_api")
# They make the tables; there is no older code.
FIRST = ("0001_initial",)


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bridge_project.settings")
    django.setup()
    logging.disable(logging.INFO)
    from django_migration_linter import MigrationLinter  # noqa: PLC0415 needs the settings

    linter = MigrationLinter(
        include_apps=OUR_APPS,
        ignore_name=FIRST,
        # That an index locks a table for a moment is said, but allowed.
        quiet=["ignore"],
        no_cache=True,
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return 1 if linter.has_errors else 0


if __name__ == "__main__":
    sys.exit(main())
