"""`manage.py seed_labels`: make an account's labels what a file says."""

from __future__ import annotations

from typing import Any

from bridge_project.lib.types import JsonValue
from chatwoot_api import seed_files, seeding
from chatwoot_api.management.seed_command import SeedCommand


class Command(SeedCommand):
    """Labels are found by their titles, whatever the case."""

    help = (
        "Create and update labels in Chatwoot from a file: a list of titles, or of "
        "objects with title, description, color, show_on_sidebar. See "
        "examples/labels.yaml."
    )
    kind = seeding.LABELS

    def read(self, data: JsonValue, options: dict[str, Any]) -> seed_files.Seed:
        """Return the labels of the file."""
        return seed_files.read_labels(data)
