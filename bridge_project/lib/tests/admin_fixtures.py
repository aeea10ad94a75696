"""Fixtures for tests of admin pages; test modules import what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.contrib.auth.models import User


@pytest.fixture
def admin_user(db: None) -> User:
    """Take the place of pytest-django's, which hashes a password for each test."""
    return User.objects.create_superuser("admin")


@pytest.fixture(scope="session")
def translations() -> None:
    """Compile the catalogues that Russian pages need; they are not committed."""
    subprocess.run(
        [sys.executable, "-m", "local_stack.translations", "compile"], check=True
    )
