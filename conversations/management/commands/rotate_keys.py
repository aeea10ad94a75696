"""`manage.py rotate_keys`: put all stored secrets under the newest key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bridge_project.lib.rotation import Count, encrypted_fields, rotate


class Command(BaseCommand):
    """Repeats harmlessly; prints counts and row numbers, never a secret."""

    help = (
        "Encrypts every stored token and key with the first key of "
        "FIELD_ENCRYPTION_KEYS. When it says that all are readable, the others can be "
        "taken out of the list."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not settings.FIELD_ENCRYPTION_KEYS:
            raise CommandError("FIELD_ENCRYPTION_KEYS is empty. Nothing was changed.")
        lost: list[str] = []
        total = Count()
        for model, name in encrypted_fields():
            count = rotate(model, name=name)
            label = f"{model._meta.label}.{name}"
            self.stdout.write(f"{label}: {_sentence(count)}")
            lost += [f"{label} of row {pk}" for pk in count.unreadable]
            total.renewed += count.renewed
            total.current += count.current
        done = f"{total.renewed} encrypted anew, {total.current} had the newest key"
        if lost:
            raise CommandError(
                f"{done}, but {len(lost)} cannot be read with any key of "
                "FIELD_ENCRYPTION_KEYS and were left as they are: "
                f"{', '.join(lost)}. Put the key they were written with back into the "
                "list and run this again, or enter these values anew in the admin."
            )
        self.stdout.write(
            f"Done: {done}. The older keys can be taken out of FIELD_ENCRYPTION_KEYS."
        )


def _sentence(count: Count) -> str:
    return (
        f"{count.renewed} encrypted anew, {count.current} had the newest key, "
        f"{len(count.unreadable)} unreadable"
    )
