"""`manage.py seed_attributes`: make custom attributes what a file says."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from bridge_project.lib.types import JsonValue
from chatwoot_api import seed_files, seeding
from chatwoot_api.management.seed_command import SeedCommand

DEFAULT_KEY = "region"


class Command(SeedCommand):
    """Attributes are found by key and model."""

    help = (
        "Create and update custom attributes in Chatwoot from a file: a list of "
        "objects with key, name, type, model (conversation or contact), description, "
        "values; see examples/attributes.yaml. Or the values of one list attribute "
        "and nothing else; see examples/regions.json."
    )
    kind = seeding.ATTRIBUTES

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which attribute a bare list of values is about."""
        super().add_arguments(parser)
        parser.add_argument(
            "--key",
            default="",
            help=f"The attribute of a bare list of values. Without it: {DEFAULT_KEY}.",
        )
        parser.add_argument(
            "--name",
            default="",
            help="What agents see of that attribute. Without it: left as it is.",
        )

    def read(self, data: JsonValue, options: dict[str, Any]) -> seed_files.Seed:
        """Return the attributes of the file."""
        if not seed_files.is_bare_list(data):
            if options["key"] or options["name"]:
                raise seed_files.BadFile(
                    "--key and --name belong to a file that is a list of values; this "
                    "one names its attributes itself."
                )
        elif options["prune"]:
            raise seed_files.BadFile(
                "The file has the values of one attribute: --prune would delete all "
                "others. Values that it does not name are removed in any case."
            )
        key = options["key"] or DEFAULT_KEY
        return seed_files.read_attributes(data, key=key, name=options["name"])
