"""An account's page: five secrets that go in and never come out."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses
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


SINCE = datetime(2026, 6, 16, 9, 5, tzinfo=UTC)
ZERO = "https://chat.test/api/v1/accounts/2/conversations/0"
BOT_REFUSED: dict[str, Any] = {"health": Health.REFUSED, "last_error_at": SINCE}
ADMIN_REFUSED: dict[str, Any] = {"admin_token_refused_at": SINCE}
BOT_SINCE = "Chatwoot refuses the bot token since 2026-06-16 09:05."
ADMIN_SINCE = "Chatwoot refuses the administrator token since 2026-06-16 09:05."


def text_of(page: Any) -> str:
    """The page as it is read, on one line."""
    return " ".join(html.unescape(page.content.decode()).split())


@pytest.mark.parametrize(
    ("fields", "said", "not_said"),
    [
        ({}, [], [BOT_SINCE, ADMIN_SINCE]),
        (
            BOT_REFUSED,
            [BOT_SINCE, "are handed over to humans", "open Settings → Bots"],
            [ADMIN_SINCE, "look after the pending"],
        ),
        (
            {**BOT_REFUSED, "admin_token": ""},
            [BOT_SINCE, "look after the pending conversations in Chatwoot yourself"],
            [ADMIN_SINCE],
        ),
        (
            ADMIN_REFUSED,
            [ADMIN_SINCE, "cannot read the history", "log in as an administrator"],
            [BOT_SINCE],
        ),
        (
            {**BOT_REFUSED, **ADMIN_REFUSED},
            [BOT_SINCE, "look after the pending", ADMIN_SINCE],
            ["cannot read the history"],
        ),
    ],
)
def test_the_page_says_what_is_refused_and_what_to_do(
    admin_client: Client,
    account: ChatwootAccount,
    settings: Settings,
    fields: dict[str, Any],
    said: list[str],
    not_said: list[str],
) -> None:
    settings.TIME_ZONE = "UTC"
    ChatwootAccount.objects.update(**fields)

    text = text_of(admin_client.get(url_of(account)))

    assert [sentence for sentence in said if text.count(sentence) != 1] == []
    assert [sentence for sentence in not_said if sentence in text] == []


@pytest.mark.parametrize(
    ("fields", "bot", "administrator"),
    [({}, 0, 0), (BOT_REFUSED, 1, 0), (ADMIN_REFUSED, 0, 1)],
)
def test_the_list_shows_refused_tokens(
    admin_client: Client,
    account: ChatwootAccount,
    fields: dict[str, Any],
    bot: int,
    administrator: int,
) -> None:
    ChatwootAccount.objects.update(**fields)

    page = admin_client.get(reverse("admin:chatwoot_api_chatwootaccount_changelist"))

    text = text_of(page)
    assert text.count(">bot token refused<") == bot
    assert text.count(">administrator token refused<") == administrator


@pytest.mark.parametrize(
    "change",
    [
        {"bot_token": "a-new-token"},
        {"admin_token": "a-new-token"},
        # Stored tokens are not sent to another server: its own come with it.
        {
            "base_url": "https://new.test",
            "bot_token": "its-own",
            "admin_token": "its-own",
        },
        {"base_url": "https://chat.test:8443"},
        {"account_id": 3},
    ],
)
def test_a_new_token_or_address_forgets_every_refusal(
    admin_client: Client, account: ChatwootAccount, change: dict[str, Any]
) -> None:
    ChatwootAccount.objects.update(
        **BOT_REFUSED, **ADMIN_REFUSED, next_probe_at=SINCE, last_error="401"
    )

    save(admin_client, account, webhook_secret="another-secret")
    assert account.health == Health.REFUSED
    assert account.admin_token_refused_at == account.next_probe_at == SINCE
    save(admin_client, account, **change)

    assert (account.health, account.last_error) == (Health.UNKNOWN, "")
    assert account.admin_token_refused_at is None
    assert account.next_probe_at is None


def check_now(client: Client, account: ChatwootAccount) -> Any:
    return client.post(
        reverse("admin:chatwoot_api_chatwootaccount_changelist"),
        {"action": "check_tokens", "_selected_action": [account.pk]},
        follow=True,
    )


def test_the_tokens_are_checked_at_once(
    admin_client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    ChatwootAccount.objects.update(**ADMIN_REFUSED)
    wire.get(ZERO, status=401, json={"error": "Invalid Access Token"})
    wire.get(ZERO, status=404, json={"error": "Resource could not be found"})

    text = text_of(check_now(admin_client, account))

    used = [call.request.headers["api-access-token"] for call in wire.calls]
    assert used == [SECRETS["bot_token"], SECRETS["admin_token"]]
    assert "“Nordlicht”: Chatwoot does not accept the bot token. In Chatwoot" in text
    assert "“Nordlicht”: Chatwoot accepts the administrator token." in text
    account.refresh_from_db()
    assert (account.health, account.admin_token_refused_at) == (Health.REFUSED, None)


def test_a_check_without_an_answer_says_why(
    admin_client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    wire.get(ZERO, body=requests.ConnectTimeout())
    wire.get(ZERO, status=403, body="<html>Log in</html>")

    text = text_of(check_now(admin_client, account))

    assert "could not be reached, so nothing is known of the bot token" in text
    assert "the answer tells nothing of the administrator token" in text
    account.refresh_from_db()
    assert (account.health, account.admin_token_refused_at) == (Health.UNKNOWN, None)


def test_a_check_names_a_token_that_is_not_there(
    admin_client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    ChatwootAccount.objects.update(admin_token="")
    wire.get(ZERO, status=404, json={"error": "Resource could not be found"})

    text = text_of(check_now(admin_client, account))

    assert "“Nordlicht”: no administrator token is entered." in text
    assert len(wire.calls) == 1


def test_who_may_only_look_may_not_check(
    client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_chatwootaccount"))
    client.force_login(reader)

    page = check_now(client, account)

    assert "Check the tokens now" not in text_of(page)
    assert len(wire.calls) == 0
