"""An account's page: five secrets that go in and never come out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chatwoot_api.models import ChatwootAccount, Health

pytestmark = pytest.mark.django_db

SECRETS = {
    "bot_token": "stored-bot-token",
    "admin_token": "stored-admin-token",
    "webhook_secret": "stored-webhook-secret",
    "previous_webhook_secret": "stored-previous-secret",
    "account_webhook_secret": "stored-account-webhook-secret",
    "webhook_token": "stored-webhook-token",
}
NEW = {name: f"new-{name}-value" for name in SECRETS}


@pytest.fixture
def account() -> ChatwootAccount:
    return ChatwootAccount.objects.create(
        name="Nordlicht",
        key="nordlicht",
        base_url="https://chat.test",
        account_id=2,
        **SECRETS,
    )


def form_of(**overrides: Any) -> dict[str, Any]:
    empty = dict.fromkeys(SECRETS, "")
    return {
        "name": "Nordlicht",
        "key": "nordlicht",
        "base_url": "https://chat.test",
        "account_id": 2,
        **empty,
        **overrides,
    }


def url_of(account: ChatwootAccount, name: str = "change") -> str:
    return reverse(f"admin:chatwoot_api_chatwootaccount_{name}", args=[account.pk])


def save(client: Client, account: ChatwootAccount, **overrides: Any) -> HttpResponse:
    response = client.post(url_of(account), form_of(**overrides), follow=True)
    account.refresh_from_db()
    return response  # type: ignore[return-value]


def stored(account: ChatwootAccount) -> dict[str, str]:
    return {name: getattr(account, name) for name in SECRETS}


def assert_no_secret_in(text: str) -> None:
    assert [s for s in (*SECRETS.values(), *NEW.values()) if s in text] == []


def test_no_page_shows_a_secret(admin_client: Client, account: ChatwootAccount) -> None:
    pages: list[Any] = [
        admin_client.get(url_of(account)),
        admin_client.get(reverse("admin:chatwoot_api_chatwootaccount_changelist")),
        # With an error in another field the form comes back.
        admin_client.post(url_of(account), form_of(**NEW, base_url="no address")),
        save(admin_client, account, **NEW),
        admin_client.get(url_of(account)),
        admin_client.get(url_of(account, "history")),
        admin_client.get(url_of(account, "delete")),
    ]

    assert [page.status_code for page in pages] == [200] * 7
    assert "Begin with http:// or https://." in pages[2].content.decode()
    assert stored(account) == NEW
    for page in pages:
        assert_no_secret_in(page.content.decode())
    assert_no_secret_in(
        " ".join(LogEntry.objects.values_list("change_message", flat=True))
    )


def test_who_may_only_look_sees_no_secret(
    client: Client, account: ChatwootAccount
) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_chatwootaccount"))
    client.force_login(reader)
    ChatwootAccount.objects.update(previous_webhook_secret="")

    page = client.get(url_of(account))
    changed = client.post(url_of(account), form_of(**NEW))

    assert (page.status_code, changed.status_code) == (200, 403)
    text = page.content.decode()
    assert_no_secret_in(text)
    assert re.findall(r">\s*(set|empty)\s*<", text) == [
        *["set"] * 3,
        "empty",
        *["set"] * 2,
    ]
    assert 'name="bot_token"' not in text


def test_empty_boxes_keep_what_is_stored(
    admin_client: Client, account: ChatwootAccount
) -> None:
    save(admin_client, account, name="Another name")

    assert account.name == "Another name"
    assert stored(account) == SECRETS
    assert "token" not in LogEntry.objects.get().get_change_message().lower()


def test_the_check_mark_removes_a_secret(
    admin_client: Client, account: ChatwootAccount
) -> None:
    save(admin_client, account, previous_webhook_secret_remove="on")

    assert stored(account) == {**SECRETS, "previous_webhook_secret": ""}
    assert "Previous webhook secret" in LogEntry.objects.get().get_change_message()


def test_a_secret_both_typed_and_removed_is_refused(
    admin_client: Client, account: ChatwootAccount
) -> None:
    response = save(admin_client, account, bot_token="x-y-z", bot_token_remove="on")

    assert "not both" in response.content.decode()
    assert "x-y-z" not in response.content.decode()
    assert stored(account) == SECRETS


def test_an_account_is_added_with_its_secrets(admin_client: Client) -> None:
    admin_client.post(
        reverse("admin:chatwoot_api_chatwootaccount_add"),
        form_of(bot_token="a-token", webhook_secret="a-secret"),
    )

    account = ChatwootAccount.objects.get()
    assert (account.bot_token, account.webhook_secret) == ("a-token", "a-secret")
    assert account.namespace is not None


def test_the_page_shows_the_address_to_enter_in_chatwoot(
    admin_client: Client, account: ChatwootAccount, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://bridge.example.com"

    text = admin_client.get(url_of(account)).content.decode()

    shared = "https://bridge.example.com/api/v1/chatwoot-webhook"
    assert f">{shared}</code>" in text
    assert f">{shared}?token=…</code>" in text
    assert f">{shared}/nordlicht</code>" in text


def test_the_add_page_needs_no_key_for_its_address(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:chatwoot_api_chatwootaccount_add"))

    assert "/api/v1/chatwoot-webhook</code>" in response.content.decode()


def test_a_new_token_gets_a_new_chance(
    admin_client: Client, account: ChatwootAccount
) -> None:
    account.health, account.last_error = Health.REFUSED, "token refused"
    account.last_error_at = timezone.now()
    account.save()

    save(admin_client, account, name="Another name")
    assert account.health == Health.REFUSED
    save(admin_client, account, bot_token="a-new-token")

    assert (account.health, account.last_error) == (Health.UNKNOWN, "")
    assert account.last_error_at is None


def test_an_open_door_brings_a_warning(
    admin_client: Client, account: ChatwootAccount
) -> None:
    assert (
        "accepts unsigned webhooks"
        not in admin_client.get(url_of(account)).content.decode()
    )

    response = save(admin_client, account, allow_unsigned="on")

    assert account.allow_unsigned
    page = admin_client.get(url_of(account)).content.decode()
    assert page.count("This account accepts unsigned webhooks") == 1
    assert "accepted from anybody" in response.content.decode()


def test_a_closed_door_brings_a_warning(
    admin_client: Client, account: ChatwootAccount
) -> None:
    response = save(
        admin_client,
        account,
        webhook_secret_remove="on",
        previous_webhook_secret_remove="on",
        account_webhook_secret_remove="on",
        webhook_token_remove="on",
    )

    text = response.content.decode()
    assert "every webhook of this account is refused" in text
    assert "all refused" in text
