"""Fixtures for every app; `local_stack.pytest_plugin` brings PostgreSQL and Redis."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import responses
from cryptography.fernet import Fernet
from pytest_django import Settings

from bridge_project.lib.types import JsonObject

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ENCRYPTION_KEY = Fernet.generate_key().decode()
PAYLOADS = Path(__file__).parent / "chatwoot_api" / "tests" / "payloads"


@pytest.fixture(autouse=True)
def _encryption_key(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [ENCRYPTION_KEY]


@pytest.fixture
def admin_user(db: None, django_user_model: type[User]) -> User:
    """Take the place of pytest-django's, which hashes a password for each test."""
    return django_user_model.objects.create_superuser("admin")


@pytest.fixture(scope="session")
def translations() -> None:
    """Compile the catalogues that Russian pages need; they are not committed."""
    command = [sys.executable, "-m", "local_stack.translations", "compile"]
    subprocess.run(command, check=True)


@pytest.fixture
def payload() -> Callable[[str], JsonObject]:
    """Load a sample of a webhook: `payload("message_created_incoming_text")`."""

    def load(name: str) -> JsonObject:
        loaded: JsonObject = json.loads((PAYLOADS / f"{name}.json").read_text())
        return loaded

    return load


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """Answer HTTP in place of the platforms; a call that was not stubbed fails.

    `responses` answers an unknown address with ConnectionError, which our clients take
    for an outage: without this, a forgotten stub would pass for a tested failure.
    """
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock
        stray = [call for call in mock.calls if _is_stray(call.response)]
    assert not stray, f"unstubbed calls: {[call.request.url for call in stray]}"


def _is_stray(response: object) -> bool:
    return isinstance(response, Exception) and "Connection refused by Responses" in str(
        response
    )
