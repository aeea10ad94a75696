"""`manage.py check --database default` warns about open doors."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from chatwoot_api.checks import unsigned_webhooks
from chatwoot_api.models import ChatwootAccount

pytestmark = pytest.mark.django_db


def make_account(*, name: str = "Careful", allow_unsigned: bool) -> ChatwootAccount:
    return ChatwootAccount.objects.create(
        name=name,
        key=name.lower(),
        base_url=f"https://{name.lower()}.test",
        account_id=1,
        allow_unsigned=allow_unsigned,
    )


def test_an_account_that_believes_anybody_is_named() -> None:
    make_account(allow_unsigned=False)
    careless = make_account(name="Careless", allow_unsigned=True)

    (warning,) = unsigned_webhooks(None, databases=["default"])

    assert (warning.id, warning.obj) == ("chatwoot_api.W001", careless)
    assert "“Careless” accepts unsigned webhooks" in warning.msg


def test_without_a_database_nothing_is_asked() -> None:
    make_account(allow_unsigned=True)

    assert unsigned_webhooks(None) == []


def test_the_start_shows_the_warning_and_goes_on() -> None:
    make_account(name="Careless", allow_unsigned=True)
    shown = StringIO()

    # As in the compose file's `migrate` and in `make run`.
    call_command("check", "--database", "default", stderr=shown)

    assert "chatwoot_api.W001" in shown.getvalue()
