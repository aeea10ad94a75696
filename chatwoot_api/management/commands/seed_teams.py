"""`manage.py seed_teams`: make an account's teams what a file says."""

from __future__ import annotations

from typing import Any

from bridge_project.lib.types import JsonValue
from chatwoot_api import seed_files, seeding
from chatwoot_api.management.seed_command import SeedCommand


class Command(SeedCommand):
    """Teams are found by their names, whatever the case."""

    help = (
        "Create and update teams in Chatwoot from a file: a list of names, or of "
        "objects with name, description, allow_auto_assign, members (e-mail addresses "
        "of agents). See examples/teams.yaml."
    )
    kind = seeding.TEAMS

    def read(self, data: JsonValue, options: dict[str, Any]) -> seed_files.Seed:
        """Return the teams of the file."""
        return seed_files.read_teams(data)
