"""`make check`: no migration may break the old code that runs beside it.

During an update old web processes and workers go on for a while with the new tables.
So nothing that they use is dropped or renamed, and what they do not know has a default
in the database.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import django

OUR_APPS = ("access", "chatwoot_api", "conversations", "dify_api")
# They make the tables; there is no older code.
FIRST = ("0001_initial",)
# Unique in a column that old code does not know: it writes only NULL there, or (0016,
# which allows more than the constraint before it) always the same.
NEW_AND_UNIQUE = ("0004_signature_key", "0016_posted_in_parts")


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bridge_project.settings")
    django.setup()
    logging.disable(logging.INFO)
    from django_migration_linter import MigrationLinter  # noqa: PLC0415 needs the settings

    # That an index locks a table for a moment is said, but allowed.
    common: dict[str, Any] = {
        "include_apps": OUR_APPS,
        "quiet": ["ignore"],
        "no_cache": True,
    }
    linters = (
        MigrationLinter(ignore_name=[*FIRST, *NEW_AND_UNIQUE], **common),
        MigrationLinter(
            include_name=NEW_AND_UNIQUE,
            exclude_migration_tests=["ADD_UNIQUE"],
            **common,
        ),
    )
    for linter in linters:
        linter.lint_all_migrations()
    return 1 if any(linter.has_errors for linter in linters) else 0


if __name__ == "__main__":
    sys.exit(main())
