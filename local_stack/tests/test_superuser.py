from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from local_stack.superuser import PASSWORD_DIFFERS, PASSWORD_WORKS, ensure

pytestmark = pytest.mark.django_db


def test_superuser_is_made() -> None:
    assert ensure(username="admin", password="a1", overwrite=False) == PASSWORD_WORKS

    user = User.objects.get()
    assert (user.username, user.is_superuser, user.is_staff) == ("admin", True, True)
    assert user.check_password("a1")


def test_second_time_changes_nothing() -> None:
    ensure(username="admin", password="a1", overwrite=False)
    before = User.objects.values().get()

    assert ensure(username="admin", password="a1", overwrite=True) == PASSWORD_WORKS

    assert User.objects.values().get() == before


def test_password_changed_in_the_admin_is_kept() -> None:
    ensure(username="admin", password="changed", overwrite=False)

    answer = ensure(username="admin", password="a1", overwrite=False)

    assert answer == PASSWORD_DIFFERS
    assert User.objects.get().check_password("changed")


def test_password_that_was_asked_for_is_set() -> None:
    ensure(username="admin", password="old", overwrite=False)

    assert ensure(username="admin", password="a1", overwrite=True) == PASSWORD_WORKS

    assert User.objects.get().check_password("a1")
