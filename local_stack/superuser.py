"""Makes the admin login; run as a process of its own, since it needs Django."""

from __future__ import annotations

import os
import sys

import django
from django.contrib.auth import get_user_model

# The answer on standard output.
PASSWORD_WORKS, PASSWORD_DIFFERS = "password works", "password differs"


def ensure(*, username: str, password: str, overwrite: bool) -> str:
    """Make the superuser of that name if there is none.

    A password that somebody has changed since is kept unless `overwrite`, which is
    for a password that was asked for explicitly. Returns PASSWORD_WORKS, or
    PASSWORD_DIFFERS if the user has another one.
    """
    users = get_user_model()
    user = users.objects.filter(username=username).first()
    if user is None:
        users.objects.create_superuser(username=username, password=password)
        return PASSWORD_WORKS
    if user.check_password(password):
        return PASSWORD_WORKS
    if not overwrite:
        return PASSWORD_DIFFERS
    user.set_password(password)
    user.is_staff = user.is_superuser = user.is_active = True
    user.save(update_fields=["password", "is_staff", "is_superuser", "is_active"])
    return PASSWORD_WORKS


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(
        ensure(
            username=os.environ["DJANGO_SUPERUSER_USERNAME"],
            password=os.environ["DJANGO_SUPERUSER_PASSWORD"],
            overwrite=os.environ["OVERWRITE_PASSWORD"] == "yes",
        )
    )
