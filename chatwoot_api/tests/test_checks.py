"""`manage.py check --database default` warns about open doors."""

from __future__ import annotations

import pytest

from chatwoot_api.checks import unsigned_webhooks
from conversations.tests.factories import make_account

pytestmark = pytest.mark.django_db


def test_an_account_that_believes_anybody_is_named() -> None:
    make_account()
    careless = make_account(
        name="Careless", base_url="https://other.test", allow_unsigned=True
    )

    (warning,) = unsigned_webhooks(None, databases=["default"])

    assert (warning.id, warning.obj) == ("chatwoot_api.W001", careless)
    assert "“Careless” accepts unsigned webhooks" in warning.msg


def test_without_a_database_nothing_is_asked() -> None:
    make_account(allow_unsigned=True)

    assert unsigned_webhooks(None) == []
