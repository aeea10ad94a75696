"""Agent bots, the owner of a token, and the version, as Chatwoot answers them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import responses

from bridge_project.lib.errors import NotFound, OutcomeUnknown, UnexpectedReply
from chatwoot_api.bot_payloads import AccountFacts, AgentBotRow, ServerFacts
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.refusals import NotOpenToBots, TokenRefused

SERVER = "https://chat.test"
ACCOUNT = f"{SERVER}/api/v1/accounts/2"
BOT = {
    "id": 7,
    "name": "Bridge",
    "outgoing_url": "https://bridge.test/api/v1/chatwoot-webhook",
    "access_token": "the-access-token",
    "secret": "the-secret",
    "system_bot": False,
}


@pytest.fixture
def client() -> ChatwootClient:
    account = ChatwootAccount(base_url=SERVER, account_id=2, admin_token="admin-token")
    return ChatwootClient(account)


def test_tells_version_and_clock_without_a_token(
    client: ChatwootClient, wire: responses.RequestsMock
) -> None:
    wire.get(
        f"{SERVER}/api",
        json={"version": "4.15.1", "queue_services": "ok"},
        headers={"Date": "Sun, 22 Nov 2026 19:00:00 GMT"},
    )

    facts = client.server_facts()

    assert facts.number == (4, 15, 1)
    assert facts.clock == datetime(2026, 11, 22, 19, tzinfo=UTC)
    assert "api-access-token" not in wire.calls[0].request.headers


@pytest.mark.parametrize(
    ("version", "number"),
    [("v4.13.0-ce", (4, 13, 0)), ("4.14", (4, 14, 0)), ("develop", None), ("", None)],
)
def test_reads_the_version(version: str, number: tuple[int, int, int] | None) -> None:
    assert ServerFacts(version=version).number == number


@pytest.mark.parametrize("answer", [{"body": "<html>"}, {"json": {"status": "ok"}}])
def test_another_program_is_no_chatwoot(
    client: ChatwootClient, wire: responses.RequestsMock, answer: dict[str, str]
) -> None:
    wire.get(f"{SERVER}/api", **answer)

    with pytest.raises(UnexpectedReply, match="Is the address that of Chatwoot"):
        client.server_facts()


def test_profile_tells_accounts_and_roles(
    client: ChatwootClient, wire: responses.RequestsMock
) -> None:
    accounts = [
        {"id": 2, "name": "Shop", "role": "administrator"},
        {"id": 3, "name": "Other", "role": "agent"},
        {"name": "no number"},
    ]
    body = {"id": 5, "name": "Ada", "accounts": accounts}
    wire.get(f"{SERVER}/api/v1/profile", json=body)

    profile = client.profile()

    assert (profile.id, profile.name, len(profile.accounts)) == (5, "Ada", 2)
    mine, other = profile.membership(2), profile.membership(3)
    assert mine is not None
    assert other is not None
    assert mine.is_administrator
    assert not other.is_administrator
    assert profile.membership(4) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Access to this endpoint is not authorized for bots", NotOpenToBots),
        ("Invalid Access Token", TokenRefused),
    ],
)
def test_profile_tells_a_bot_from_nobody(
    client: ChatwootClient,
    wire: responses.RequestsMock,
    text: str,
    error: type[Exception],
) -> None:
    wire.get(f"{SERVER}/api/v1/profile", json={"error": text}, status=401)

    with pytest.raises(error):
        client.profile()


def test_reads_agent_bots_and_keeps_their_secrets_out_of_sight(
    client: ChatwootClient, wire: responses.RequestsMock
) -> None:
    system = {"id": 1, "name": "Captain", "account_id": None}
    wire.get(f"{ACCOUNT}/agent_bots", json=[BOT, system, {"name": "no number"}])

    ours, of_all = client.agent_bots()

    assert (ours.id, ours.access_token, ours.secret) == (
        7,
        "the-access-token",
        "the-secret",
    )
    assert (ours.is_system, of_all.is_system) == (False, True)
    assert "the-access-token" not in repr(ours)
    assert "the-secret" not in repr(ours)


def test_makes_a_bot_and_does_not_repeat_it(
    client: ChatwootClient, wire: responses.RequestsMock
) -> None:
    wire.post(f"{ACCOUNT}/agent_bots", json=BOT)
    fields = {"name": "Bridge", "description": "d", "outgoing_url": "https://b.test/x"}

    row = client.create_agent_bot(**fields)

    assert row.id == 7
    body = wire.calls[0].request.body
    assert json.loads(body or "") == {**fields, "bot_type": "webhook"}

    wire.replace(responses.POST, f"{ACCOUNT}/agent_bots", status=504, body="")
    with pytest.raises(OutcomeUnknown):
        client.create_agent_bot(**fields)


def test_links_and_reads_inboxes(
    client: ChatwootClient, wire: responses.RequestsMock
) -> None:
    wire.get(f"{ACCOUNT}/inboxes/4/agent_bot", json={"agent_bot": BOT})
    wire.get(f"{ACCOUNT}/inboxes/5/agent_bot", json={"agent_bot": {}})
    wire.get(f"{ACCOUNT}/inboxes/6/agent_bot", json={"error": "?"}, status=404)
    wire.post(f"{ACCOUNT}/inboxes/5/set_agent_bot", body="")

    linked = client.inbox_agent_bot(4)
    client.set_agent_bot(5, bot_id=7)

    assert isinstance(linked, AgentBotRow)
    assert linked.id == 7
    assert client.inbox_agent_bot(5) is None
    with pytest.raises(NotFound):
        client.inbox_agent_bot(6)
    posted = next(c.request.body for c in wire.calls if c.request.method == "POST")
    assert json.loads(posted or "") == {"agent_bot": 7}


@pytest.mark.parametrize(
    ("body", "keeps"),
    [
        ({"name": "Shop", "settings": {"keep_pending_on_bot_failure": True}}, True),
        ({"name": "Shop", "settings": {}}, False),
        ({"name": "Shop"}, None),
    ],
)
def test_reads_the_account(
    client: ChatwootClient,
    wire: responses.RequestsMock,
    body: dict[str, object],
    keeps: bool | None,
) -> None:
    wire.get(ACCOUNT, json=body)

    assert client.account() == AccountFacts(
        name="Shop", keeps_pending_on_bot_failure=keeps
    )
