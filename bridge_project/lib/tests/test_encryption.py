"""Tokens are ciphertext in the database."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection
from pytest_django import Settings

from bridge_project.lib.encryption import decrypt, encrypt
from chatwoot_api.models import ChatwootAccount
from conversations.tests.factories import make_account

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_key_can_be_replaced(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    stored = encrypt("t0ken")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    assert decrypt(stored) == "t0ken"
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        decrypt(stored)


def test_says_how_to_make_a_key(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []

    with pytest.raises(ImproperlyConfigured, match="generate_key"):
        encrypt("t0ken")


@pytest.mark.django_db
def test_the_database_never_sees_the_token() -> None:
    account = make_account(bot_token="t0ken")

    with connection.cursor() as cursor:
        cursor.execute("SELECT bot_token FROM chatwoot_api_chatwootaccount")
        (stored,) = cursor.fetchone()

    assert "t0ken" not in stored
    assert ChatwootAccount.objects.get().bot_token == "t0ken"
    assert str(account) == "Nordlicht Outdoor"
    assert "t0ken" not in repr(account)


@pytest.mark.django_db
def test_a_token_cannot_be_searched() -> None:
    with pytest.raises(FieldError):
        list(ChatwootAccount.objects.filter(bot_token="t0ken"))
