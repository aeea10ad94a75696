"""The doctor's page: opens at once, looks in parts, and mends for those who may."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from access.roles import AUDITOR, OPERATOR
from chatwoot_api.models import ChatwootAccount
from conversations.models import AuditEntry
from conversations.tests.factories import make_account, make_app, make_bot
from conversations.tests.sandbox_chatwoot import SandboxChatwoot
from local_stack.data_dir import free_port

pytestmark = pytest.mark.django_db

DOCTOR = reverse("bridge:doctor")
LINES = reverse("bridge:doctor-lines")


def logged_in(role: str) -> Client:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def account(sandbox: SandboxChatwoot, settings: Settings) -> ChatwootAccount:
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    url = f"{settings.PUBLIC_URL}/api/v1/chatwoot-webhook"
    sandbox.api("PATCH", "/agent_bots/1", {"outgoing_url": url})
    return sandbox.account(webhook_secret="sandbox-webhook-secret", name="Shop")


def mend_url(key: str, pk: int, *, account: ChatwootAccount) -> str:
    url = reverse("bridge:doctor-mend", kwargs={"key": key, "pk": pk})
    return f"{url}?account={account.pk}"


def test_the_page_opens_without_asking_anybody(admin_client: Client) -> None:
    """Nobody is at these addresses: asking them would take time, or fail."""
    account = make_account(base_url="http://192.0.2.1", name="Far away")
    app = make_app(base_url="http://192.0.2.1")

    text = admin_client.get(DOCTOR).content.decode()

    assert "Far away" in text
    assert f'hx-get="{LINES}?account={account.pk}"' in text
    assert f'hx-get="{LINES}?app={app.pk}"' in text
    assert f'hx-get="{LINES}?bridge=0"' in text


def test_without_a_bot_it_leads_to_the_set_up(admin_client: Client) -> None:
    text = admin_client.get(DOCTOR).content.decode()

    assert "There is no bot yet" in text
    assert f'href="{reverse("bridge:setup")}"' in text


def test_a_bot_is_looked_at_with_its_account_and_app(admin_client: Client) -> None:
    bot = make_bot()
    make_account(account_id=9)

    text = admin_client.get(f"{DOCTOR}?bot={bot.pk}").content.decode()

    assert text.count('hx-trigger="load"') == 3
    assert f"{LINES}?account={bot.account_id}&amp;bot={bot.pk}" in text


@pytest.mark.parametrize("query", ["?account=x", "?bot=99999", "?app=-1"])
def test_nonsense_in_the_address_is_no_error(admin_client: Client, query: str) -> None:
    assert admin_client.get(f"{DOCTOR}{query}").status_code == 200


def test_lines_are_a_part_of_the_page(
    admin_client: Client, account: ChatwootAccount
) -> None:
    response = admin_client.get(f"{LINES}?account={account.pk}")

    text = response.content.decode()
    assert response.headers["Cache-Control"] == "no-store"
    assert "<html" not in text
    assert f'id="account-{account.pk}"' in text
    assert "Ada Admin, administrator" in text
    # What is wrong here: the sandbox keeps conversations, and nobody is at our door.
    assert "Let Chatwoot open them" in text
    assert "sandbox-webhook-secret" not in text


def test_the_bridge_itself_has_lines_too(admin_client: Client) -> None:
    text = admin_client.get(f"{LINES}?bridge=0").content.decode()

    assert "Stored secrets" in text
    assert admin_client.get(f"{LINES}?account=99999").status_code == 404


def test_a_button_mends_looks_again_and_is_recorded(
    admin_client: Client, account: ChatwootAccount
) -> None:
    url = mend_url("keep_pending_off", account.pk, account=account)

    response = admin_client.post(url, headers={"HX-Request": "true"})

    text = response.content.decode()
    assert "Chatwoot opens such conversations for the humans now." in text
    assert "Let Chatwoot open them" not in text
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.account) == ("mended", "admin", account)
    assert entry.details == {
        "mend": "keep_pending_off",
        "of": "account",
        "number": account.pk,
        "done": True,
    }


def test_without_scripts_a_button_leads_back_to_the_page(
    admin_client: Client, account: ChatwootAccount
) -> None:
    url = mend_url("keep_pending_off", account.pk, account=account)

    response = admin_client.post(url, follow=True)

    assert response.redirect_chain == [(f"{DOCTOR}?account={account.pk}", 302)]
    assert "Chatwoot opens such conversations" in response.content.decode()


def test_a_mend_that_fails_says_why(
    admin_client: Client, sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    sandbox.api("DELETE", "/agent_bots/1")
    url = mend_url("fetch_secret", account.pk, account=account)

    text = admin_client.post(url, headers={"HX-Request": "true"}).content.decode()

    assert "“Fetch token and secret” did not work." in text
    assert "Run the set-up again to make one." in text
    assert AuditEntry.objects.get().details["done"] is False


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_who_may_only_look_sees_no_button_and_cannot_press_one(
    account: ChatwootAccount, role: str
) -> None:
    client = logged_in(role)

    text = client.get(f"{LINES}?account={account.pk}").content.decode()
    url = mend_url("keep_pending_off", account.pk, account=account)
    answer = client.post(url)

    assert client.get(DOCTOR).status_code == 200
    assert "Conversations stay with the bot" in text
    assert "Let Chatwoot open them" not in text
    assert answer.status_code == 403
    assert not AuditEntry.objects.exists()


def test_a_button_wants_a_post_and_must_exist(
    admin_client: Client, account: ChatwootAccount
) -> None:
    url = mend_url("keep_pending_off", account.pk, account=account)

    assert admin_client.get(url).status_code == 405
    assert admin_client.post(url.replace("keep_pending_off", "x")).status_code == 404
    assert (
        admin_client.post(mend_url("read_app", 9999, account=account)).status_code
        == 404
    )


def test_pages_of_account_and_app_lead_to_the_doctor(admin_client: Client) -> None:
    bot = make_bot()
    assert bot.dify_app is not None
    pages = {
        f"/admin/chatwoot_api/chatwootaccount/{bot.account_id}/change/": "account",
        f"/admin/dify_api/difyapp/{bot.dify_app.pk}/change/": "app",
        f"/admin/conversations/bot/{bot.pk}/change/": "bot",
    }
    numbers = {"account": bot.account_id, "app": bot.dify_app.pk, "bot": bot.pk}

    for page, kind in pages.items():
        text = admin_client.get(page).content.decode()
        assert f'href="{DOCTOR}?{kind}={numbers[kind]}"' in text


def test_strangers_are_sent_to_the_login(client: Client) -> None:
    for url in (DOCTOR, LINES, reverse("bridge:setup")):
        assert client.get(url).status_code == 302
