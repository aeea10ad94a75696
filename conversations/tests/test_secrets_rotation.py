"""Keys can be replaced: every stored secret is found, and none is lost."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from bridge_project.lib.rotation import encrypted_fields, rotate
from chatwoot_api.models import ChatwootAccount
from conversations.tests.factories import make_account, make_app
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

OLD, NEW, FOREIGN = (Fernet.generate_key().decode() for _ in range(3))


def stored(table: str, column: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def run() -> str:
    output = io.StringIO()
    call_command("rotate_keys", stdout=output)
    return output.getvalue()


@pytest.fixture
def _two_secrets(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    make_account(bot_token="the-token", admin_token="", webhook_secret="")
    make_app(api_key="the-key")


def test_every_secret_is_found() -> None:
    found = {f"{model._meta.label}.{name}" for model, name in encrypted_fields()}

    assert found >= {
        "chatwoot_api.ChatwootAccount.bot_token",
        "chatwoot_api.ChatwootAccount.admin_token",
        "chatwoot_api.ChatwootAccount.webhook_secret",
        "chatwoot_api.ChatwootAccount.previous_webhook_secret",
        "chatwoot_api.ChatwootAccount.account_webhook_secret",
        "chatwoot_api.ChatwootAccount.webhook_token",
        "dify_api.DifyApp.api_key",
    }


@pytest.mark.usefixtures("_two_secrets")
def test_the_new_key_alone_reads_all_afterwards(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    changed_at = ChatwootAccount.objects.get().updated_at

    output = run()

    assert "ChatwootAccount.bot_token: 1 encrypted anew, 0 had the newest" in output
    assert "ChatwootAccount.admin_token: 0 encrypted anew, 0 had the newest" in output
    assert "2 encrypted anew, 0 had the newest key. The older keys can be" in output
    assert "the-token" not in output
    assert "the-key" not in output
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    account: ChatwootAccount = ChatwootAccount.objects.get()
    assert (account.bot_token, account.admin_token) == ("the-token", "")
    assert DifyApp.objects.get().api_key == "the-key"
    # Nobody edited it.
    assert isinstance(changed_at, datetime)
    assert account.updated_at == changed_at


@pytest.mark.usefixtures("_two_secrets")
def test_repeating_it_changes_nothing(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    run()
    before = stored("chatwoot_api_chatwootaccount", "bot_token")

    output = run()

    assert "0 encrypted anew, 2 had the newest key" in output
    assert stored("chatwoot_api_chatwootaccount", "bot_token") == before


@pytest.mark.usefixtures("_two_secrets")
def test_what_cannot_be_read_is_named_and_left_alone(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [FOREIGN]
    app = make_app(api_key="another-key")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    before = stored("dify_api_difyapp", "api_key")

    with pytest.raises(CommandError) as caught:
        run()

    message = str(caught.value)
    assert f"dify_api.DifyApp.api_key of row {app.pk}" in message
    assert "2 encrypted anew, 0 had the newest key, but 1 cannot be read" in message
    assert "another-key" not in message
    assert NEW not in message
    after = stored("dify_api_difyapp", "api_key")
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]


def test_without_a_key_it_says_so(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []

    with pytest.raises(CommandError, match="FIELD_ENCRYPTION_KEYS is empty"):
        run()


def test_all_batches_are_done(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    for number in range(5):
        make_app(name=str(number), api_key=f"key-{number}")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    count = rotate(DifyApp, name="api_key", batch_size=2)

    assert (count.renewed, count.current, count.unreadable) == (5, 0, [])
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    keys = sorted(app.api_key for app in DifyApp.objects.all())
    assert keys == [f"key-{number}" for number in range(5)]


@pytest.mark.usefixtures("_two_secrets")
def test_without_the_rotation_the_new_key_alone_reads_nothing(
    settings: Settings,
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW]

    with pytest.raises(ImproperlyConfigured, match="Put the key it was written with"):
        DifyApp.objects.get()
