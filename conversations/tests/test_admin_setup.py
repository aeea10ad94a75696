"""The set-up page, step by step, against the played Chatwoot and Dify."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from access.roles import AUDITOR, OPERATOR
from chatwoot_api.models import ChatwootAccount
from conversations.models import AuditEntry, Bot
from conversations.tests.factories import make_account, make_app
from conversations.tests.sandbox_chatwoot import API, WEBSITE, SandboxChatwoot
from dify_api.models import DifyApp
from local_stack.data_dir import free_port

pytestmark = pytest.mark.django_db

SETUP = reverse("bridge:setup")


@pytest.fixture
def empty(sandbox: SandboxChatwoot, settings: Settings) -> SandboxChatwoot:
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    sandbox.set(seeded_bot=False)
    sandbox.control("POST", "/reset")
    return sandbox


def entered(sandbox: SandboxChatwoot, **changes: str) -> dict[str, str]:
    return {
        "step": "connect",
        "chatwoot_url": f"{sandbox.base_url}/app/accounts/1/dashboard",
        "admin_token": "sandbox-admin-token",
        "dify_url": f"{sandbox.base_url}/v1",
        "dify_key": "app-sandbox-chat",
        **changes,
    }


def chosen(**changes: Any) -> dict[str, Any]:
    return {
        "step": "finish",
        "inbox": [str(WEBSITE)],
        "bot_name": "Helper",
        "language": "en",
        **changes,
    }


def post(client: Client, data: dict[str, Any]) -> str:
    response = client.post(SETUP, data)
    assert response.status_code == 200
    return response.content.decode()


def test_from_nothing_to_a_bot(admin_client: Client, empty: SandboxChatwoot) -> None:
    first = admin_client.get(SETUP).content.decode()
    assert 'value="https://api.dify.ai/v1"' in first

    second = post(admin_client, entered(empty))
    assert "account “Sandbox Store”, as Ada Admin." in second
    assert "app “Sandbox chat” (chat)." in second
    # One inbox is ticked already: Enter is enough.
    assert f'name="inbox" value="{WEBSITE}" checked' in second
    assert second.count("checked") == 1
    assert 'value="Sandbox chat"' in second
    assert not ChatwootAccount.objects.exists()
    assert empty.api("GET", "/agent_bots") == []

    third = post(admin_client, chosen())

    bot = Bot.objects.get()
    assert "The bot is set up" in third
    assert f"/admin/conversations/bot/{bot.pk}/change/" in third
    assert f"{reverse('bridge:doctor')}?bot={bot.pk}" in third
    # What the doctor finds stands below.
    assert "What is left to do" in third
    assert AuditEntry.objects.get(verb="set_up").actor == "admin"


def test_tokens_never_come_back(admin_client: Client, empty: SandboxChatwoot) -> None:
    pages = [post(admin_client, entered(empty, dify_key="app-no-such-key"))]
    pages.append(post(admin_client, entered(empty)))
    stored = str(dict(admin_client.session.items()))
    pages.append(post(admin_client, chosen()))

    for secret in ("sandbox-admin-token", "app-no-such-key", "app-sandbox-chat"):
        assert not [page for page in pages if secret in page]
        assert secret not in stored
    assert "bridge_setup" not in admin_client.session


def test_both_wrong_fields_are_named_at_once_and_good_tokens_are_kept(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    wrong = entered(empty, admin_token="sandbox-agent-marta-token", dify_key="app-x")

    text = post(admin_client, wrong)

    assert "Marta Keller, whose token this is, is no administrator" in text
    assert "Dify does not accept this key" in text

    # The right token, then only what is still wrong.
    post(admin_client, entered(empty, dify_key="app-x"))
    text = post(admin_client, entered(empty, admin_token=""))
    assert "In which inboxes shall the bot answer?" in text


def test_says_what_is_missing_or_no_token(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    text = post(admin_client, entered(empty, admin_token="", dify_key="my key"))
    assert "This is no token: it has spaces" in text

    text = post(admin_client, entered(empty, admin_token=""))
    assert "Enter the token." in text

    text = post(admin_client, entered(empty, chatwoot_url="not an address"))
    assert "This is no address of a server" in text


def test_stored_tokens_are_used_for_their_own_address_only(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    empty.account(name="Known")
    make_app(base_url=f"{empty.base_url}/v1", api_key="app-sandbox-chat")

    text = post(admin_client, entered(empty, admin_token="", dify_key=""))
    assert "In which inboxes shall the bot answer?" in text

    elsewhere = f"http://127.0.0.1:{free_port()}"
    text = post(
        admin_client,
        entered(empty, chatwoot_url=elsewhere, admin_token="", dify_key=""),
    )
    assert "Enter the token." in text


def test_the_steps_cannot_be_skipped(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    text = post(admin_client, chosen())

    assert "That took too long" in text
    assert not Bot.objects.exists()


def test_wants_an_inbox_and_a_name(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    post(admin_client, entered(empty))

    without_inbox = post(admin_client, chosen(inbox=[]))
    without_name = post(admin_client, chosen(bot_name="", inbox=[str(API)]))

    assert "Choose at least one inbox" in without_inbox
    assert "This field is required" in without_name
    assert f'value="{API}" checked' in without_name
    assert not Bot.objects.exists()


def test_another_bots_inbox_needs_a_tick_of_its_own(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    rival = empty.api("POST", "/agent_bots", {"name": "Rival", "outgoing_url": ""})
    empty.api("POST", f"/inboxes/{API}/set_agent_bot", {"agent_bot": rival["id"]})

    text = post(admin_client, entered(empty))
    assert "has the bot “Rival”" in text
    assert f'name="take" value="{API}"' in text

    left = post(admin_client, chosen(inbox=[str(API)]))
    assert "Inbox “API” was left to “Rival”." in left

    post(admin_client, entered(empty))
    taken = post(admin_client, chosen(inbox=[str(API)], take=[str(API)]))
    assert "Inbox “API” was linked to the agent bot." in taken


def test_a_try_that_was_cut_off_offers_to_go_on(
    admin_client: Client, empty: SandboxChatwoot
) -> None:
    post(admin_client, entered(empty))
    empty.fault(kind="status", path="/agent_bots$")

    cut = post(admin_client, chosen())
    assert "It did not get to its end" in cut
    assert "Go on from here" in cut

    whole = post(admin_client, chosen())
    assert "The bot is set up" in whole
    assert (ChatwootAccount.objects.count(), DifyApp.objects.count()) == (1, 1)


def test_a_token_of_several_accounts_asks_which(
    admin_client: Client, wire: responses.RequestsMock, settings: Settings
) -> None:
    accounts = [
        {"id": 3, "name": "Shop", "role": "administrator"},
        {"id": 4, "name": "Sister", "role": "administrator"},
        {"id": 5, "name": "Elsewhere", "role": "agent"},
    ]
    server = "https://chat.test/api/v1"
    wire.get(f"{server}/profile", json={"id": 1, "name": "Ada", "accounts": accounts})
    wire.get("https://dify.test/v1/info", json={"name": "App", "mode": "chat"})
    wire.get("https://dify.test/v1/parameters", json={"user_input_form": []})
    wire.get(f"{server}/accounts/4/inboxes", json={"payload": []})
    wire.get(f"{server}/accounts/4/agent_bots", json=[])
    data = {
        "step": "connect",
        "chatwoot_url": "chat.test",
        "admin_token": "t",
        "dify_url": "dify.test",
        "dify_key": "app-1",
    }

    text = post(admin_client, data)
    assert "Which account of Chatwoot?" in text
    assert ("Sister" in text, "Elsewhere" in text) == (True, False)

    assert "Which account" in post(admin_client, {"step": "account", "account": "5"})
    text = post(admin_client, {"step": "account", "account": "4"})
    assert "account “Sister”" in text
    assert "The account has no inbox yet" in text


def test_begins_with_the_addresses_that_are_stored(admin_client: Client) -> None:
    make_account(base_url="https://chat.example.com")
    make_app(base_url="https://dify.example.com/v1")

    text = admin_client.get(SETUP).content.decode()

    assert 'value="https://chat.example.com"' in text
    assert 'value="https://dify.example.com/v1"' in text


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_only_administrators_set_up(role: str) -> None:
    user = User.objects.create(username="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    assert client.get(SETUP).status_code == 403
    assert client.post(SETUP, {"step": "finish"}).status_code == 403
