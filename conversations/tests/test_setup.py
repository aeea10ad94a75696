"""Set-up against the played Chatwoot and Dify: made, repeated, repaired, gone on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import responses
from pytest_django import Settings

from chatwoot_api.models import ChatwootAccount
from conversations.doctor import State
from conversations.models import AuditEntry, Bot
from conversations.setup import (
    FieldProblem,
    Plan,
    carry_out,
    find_app,
    find_chatwoot,
    find_inboxes,
    known_account,
    known_app,
    read_address,
)
from conversations.setup.addresses import NoAddress, read_api_address
from conversations.setup.finding import transient
from conversations.tests.factories import make_account, make_app, make_bot
from conversations.tests.sandbox_chatwoot import API, WEBSITE, SandboxChatwoot
from dify_api.models import DifyApp
from local_stack.data_dir import free_port

PLAIN = 3


@pytest.fixture
def _public_url(settings: Settings) -> None:
    """Where nobody answers: what the doctor says of that is not asked here."""
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def empty(sandbox: SandboxChatwoot, _public_url: None) -> SandboxChatwoot:
    """A Chatwoot without any agent bot."""
    sandbox.set(seeded_bot=False)
    sandbox.control("POST", "/reset")
    return sandbox


def plan_for(sandbox: SandboxChatwoot, **overrides: Any) -> Plan:
    values: dict[str, Any] = {
        "chatwoot_url": sandbox.base_url,
        "account_id": 1,
        "account_name": "Sandbox Store",
        "admin_token": "sandbox-admin-token",
        "dify_url": f"{sandbox.base_url}/v1",
        "dify_key": "app-sandbox-chat",
        "app_name": "Sandbox chat",
        "bot_name": "Helper",
        "language": "en",
        "inbox_ids": (WEBSITE,),
    }
    return Plan(**{**values, **overrides})


def bot_of_inbox(sandbox: SandboxChatwoot, inbox_id: int) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.api("GET", f"/inboxes/{inbox_id}/agent_bot")
    return dict(found["agent_bot"])


def said(report: Any) -> list[str]:
    return [step.text for step in report.steps]


# --- What was entered ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "account_id"),
    [
        ("https://chat.example.com", "https://chat.example.com", None),
        (" chat.example.com/ ", "https://chat.example.com", None),
        ("https://chat.example.com/api/v1", "https://chat.example.com", None),
        ("https://x.test/app/accounts/7/dashboard?a=1", "https://x.test", 7),
        ("https://x.test/cw/app/accounts/7/inbox/2", "https://x.test/cw", 7),
        ("https://x.test/api/v1/accounts/12/teams", "https://x.test", 12),
        ("https://x.test/app/login", "https://x.test", None),
        ("10.0.0.5:3000", "http://10.0.0.5:3000", None),
        ("localhost:3000", "http://localhost:3000", None),
        ("http://rails:3000/", "http://rails:3000", None),
    ],
)
def test_reads_the_address_as_it_is_pasted(
    text: str, url: str, account_id: int | None
) -> None:
    found = read_address(text)

    assert (found.url, found.account_id) == (url, account_id)


@pytest.mark.parametrize(
    "text",
    ["https://", "ftp://x.test", "my chatwoot", "https://a:b@x.test", "http://x:99999"],
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(NoAddress):
        read_address(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("api.dify.ai", "https://api.dify.ai/v1"),
        ("https://api.dify.ai/v1/", "https://api.dify.ai/v1"),
        ("https://dify.test/v1/chat-messages", "https://dify.test/v1"),
        ("https://dify.test/app/0f/overview", "https://dify.test/v1"),
        ("https://cloud.dify.ai/apps", "https://api.dify.ai/v1"),
        ("http://10.0.0.5/sub/v1", "http://10.0.0.5/sub/v1"),
    ],
)
def test_reads_the_address_of_the_api(text: str, url: str) -> None:
    assert read_api_address(text) == url


# --- What it opens ---------------------------------------------------------------


def test_finds_owner_and_account(sandbox: SandboxChatwoot) -> None:
    found = find_chatwoot(sandbox.base_url, token="sandbox-admin-token")

    assert found.profile.name == "Ada Admin"
    assert [(m.account_id, m.name) for m in found.accounts] == [(1, "Sandbox Store")]


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("no-such-token", "does not know this token"),
        ("sandbox-bot-token", "token of an agent bot"),
        ("sandbox-agent-marta-token", "Marta Keller, whose token this is, is no adm"),
    ],
)
def test_says_at_the_token_what_is_wrong_with_it(
    sandbox: SandboxChatwoot, token: str, words: str
) -> None:
    with pytest.raises(FieldProblem, match=words) as caught:
        find_chatwoot(sandbox.base_url, token=token)

    assert caught.value.field == "admin_token"


def test_says_that_the_pasted_account_is_not_the_tokens(
    sandbox: SandboxChatwoot,
) -> None:
    with pytest.raises(FieldProblem, match="is in no such account") as caught:
        find_chatwoot(sandbox.base_url, token="sandbox-admin-token", account_id=9)

    assert caught.value.field == "admin_token"


def test_says_at_the_address_that_nobody_is_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(FieldProblem, match="Nothing answers at") as chatwoot:
        find_chatwoot(url, token="x")
    with pytest.raises(FieldProblem, match="Nothing answers at") as dify:
        find_app(f"{url}/v1", key="app-x")

    assert (chatwoot.value.field, dify.value.field) == ("chatwoot_url", "dify_url")


def test_says_at_the_address_that_it_is_another_program(
    wire: responses.RequestsMock,
) -> None:
    wire.get("https://x.test/api/v1/profile", body="<html>", status=404)
    wire.get("https://x.test/v1/info", body="<html>", status=200)

    with pytest.raises(FieldProblem, match="not as Chatwoot does") as chatwoot:
        find_chatwoot("https://x.test", token="x")
    with pytest.raises(FieldProblem, match="not as Dify's API does") as dify:
        find_app("https://x.test/v1", key="app-x")

    assert (chatwoot.value.field, dify.value.field) == ("chatwoot_url", "dify_url")


def test_says_where_the_address_redirects_to(wire: responses.RequestsMock) -> None:
    moved = {"Location": "https://x.test/api/v1/profile"}
    wire.get("http://x.test/api/v1/profile", status=301, headers=moved)

    with pytest.raises(FieldProblem, match="redirects to https://x.test") as caught:
        find_chatwoot("http://x.test", token="x")

    assert caught.value.field == "chatwoot_url"


def test_says_at_the_key_that_the_app_is_not_published(
    sandbox: SandboxChatwoot,
) -> None:
    sandbox.control("PATCH", "/dify/apps/chat", {"published": False})

    with pytest.raises(FieldProblem, match="never published") as caught:
        find_app(f"{sandbox.base_url}/v1", key="app-sandbox-chat")

    assert caught.value.field == "dify_key"


def test_says_at_the_key_that_it_is_refused(sandbox: SandboxChatwoot) -> None:
    with pytest.raises(FieldProblem, match="does not accept this key") as caught:
        find_app(f"{sandbox.base_url}/v1", key="app-nobody")

    assert caught.value.field == "dify_key"


@pytest.mark.usefixtures("_public_url")
def test_says_of_each_inbox_whose_bot_it_has(
    sandbox: SandboxChatwoot,
) -> None:
    other = sandbox.api("POST", "/agent_bots", {"name": "Rival", "outgoing_url": ""})
    sandbox.api("POST", f"/inboxes/{API}/set_agent_bot", {"agent_bot": other["id"]})
    account = transient(sandbox.base_url, token="sandbox-admin-token", account_id=1)
    account.bot_token = "sandbox-bot-token"

    found = {one.id: (one.state, one.bot_name) for one in find_inboxes(account)}

    assert found == {
        WEBSITE: ("ours", ""),
        API: ("taken", "Rival"),
        PLAIN: ("free", ""),
    }


# --- What is stored already ------------------------------------------------------


@pytest.mark.django_db
def test_knows_stored_rows_however_their_address_is_written() -> None:
    account = make_account(base_url="https://chat.test/api/v1/", account_id=2)
    app = make_app(base_url="https://dify.test/", api_key="app-1")

    assert known_account("https://chat.test") == account
    assert known_account("https://chat.test", account_id=3) is None
    assert known_app("https://dify.test/v1") == app
    assert known_app("https://dify.test/v1", key="app-1") == app
    assert known_app("https://dify.test/v1", key="app-2", name=app.name) is None

    DifyApp.objects.all().mark_refused("401")
    assert known_app("https://dify.test/v1", key="app-2", name=app.name) == app


# --- Doing it --------------------------------------------------------------------


@pytest.mark.django_db
def test_makes_everything_from_nothing(empty: SandboxChatwoot) -> None:
    report = carry_out(plan_for(empty), actor="lena")

    assert said(report) == [
        "Chatwoot account “Sandbox Store” was made.",
        "Dify app “Sandbox chat” was made: chatbot.",
        "Agent bot “Helper” was made in Chatwoot.",
        "Bot “Helper” was made; 10 inputs are filled.",
        "Inbox “Website” was linked to the agent bot.",
    ]
    assert report.is_done
    account, app = ChatwootAccount.objects.get(), DifyApp.objects.get()
    bot = Bot.objects.get()
    there = bot_of_inbox(empty, WEBSITE)
    assert account.key == "sandbox-store"
    assert there["outgoing_url"].endswith("/api/v1/chatwoot-webhook/sandbox-store")
    assert (there["access_token"], there["secret"]) == (
        account.bot_token,
        account.webhook_secret,
    )
    assert (bot.account, bot.dify_app, bot.language) == (account, app, "en")
    assert [inbox.chatwoot_inbox_id for inbox in bot.inboxes.all()] == [WEBSITE]
    assert bot.inputs["language"] == "contact.language"
    assert "message_count" not in bot.inputs
    assert account.teams.count() == 3
    assert bot_of_inbox(empty, API) == {}
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.account) == ("set_up", "lena", account)
    assert "sandbox" not in str(entry.details)


@pytest.mark.django_db
def test_repeats_without_changing_anything(empty: SandboxChatwoot) -> None:
    carry_out(plan_for(empty), actor="lena")
    bots = empty.api("GET", "/agent_bots")
    rows = [m.objects.values().get() for m in (ChatwootAccount, Bot)]

    again = carry_out(plan_for(empty, bot_name="Another name"), actor="lena")

    assert said(again) == [
        "Chatwoot account “Sandbox Store” was there already.",
        "Dify app “Sandbox chat” was there already: chatbot.",
        "Agent bot “Helper” was in Chatwoot already, with our address.",
        "Bot “Helper” was there already.",
        "Inbox “Website” was linked already.",
    ]
    assert empty.api("GET", "/agent_bots") == bots
    now = [m.objects.values().get() for m in (ChatwootAccount, Bot)]
    # Reading the lists again is all that was done.
    assert {**now[0], "mirrored_at": None} == {**rows[0], "mirrored_at": None}
    assert now[1] == rows[1]


@pytest.mark.django_db
def test_repairs_what_was_deleted_in_chatwoot(empty: SandboxChatwoot) -> None:
    carry_out(plan_for(empty), actor="lena")
    before = ChatwootAccount.objects.get()
    number = bot_of_inbox(empty, WEBSITE)["id"]
    empty.api("DELETE", f"/agent_bots/{number}")

    report = carry_out(plan_for(empty), actor="lena")

    assert report.is_done
    assert "Agent bot “Helper” was made in Chatwoot." in said(report)
    account, there = ChatwootAccount.objects.get(), bot_of_inbox(empty, WEBSITE)
    assert account.bot_token == there["access_token"] != before.bot_token
    assert account.webhook_secret == there["secret"] != before.webhook_secret
    assert account.previous_webhook_secret == before.webhook_secret
    assert Bot.objects.count() == 1


@pytest.mark.django_db
def test_takes_no_inbox_from_another_bot_unless_told(empty: SandboxChatwoot) -> None:
    rival = empty.api("POST", "/agent_bots", {"name": "Rival", "outgoing_url": ""})
    empty.api("POST", f"/inboxes/{API}/set_agent_bot", {"agent_bot": rival["id"]})
    wanted = plan_for(empty, inbox_ids=(WEBSITE, API))

    left = carry_out(wanted, actor="lena")

    assert bot_of_inbox(empty, API)["name"] == "Rival"
    assert left.steps[-1].state is State.WARNING
    assert left.steps[-1].text == "Inbox “API” was left to “Rival”."

    taken = carry_out(replace(wanted, taken_over=frozenset({API})), actor="lena")

    assert bot_of_inbox(empty, API)["name"] == "Helper"
    assert taken.steps[-1].text == "Inbox “API” was linked to the agent bot."


@pytest.mark.django_db
def test_goes_on_where_it_was_cut_off(empty: SandboxChatwoot) -> None:
    empty.fault(kind="status", path=f"/inboxes/{API}/set_agent_bot$")
    wanted = plan_for(empty, inbox_ids=(WEBSITE, API))

    cut = carry_out(wanted, actor="lena")

    assert not cut.is_done
    assert cut.steps[-1].state is State.FAILED
    assert cut.steps[-1].text.startswith("Inbox 2: ")
    assert "it goes on from here" in cut.steps[-1].hint
    assert bot_of_inbox(empty, WEBSITE)["name"] == "Helper"
    assert Bot.objects.count() == 1

    empty.control("DELETE", "/faults")
    whole = carry_out(wanted, actor="lena")

    assert whole.is_done
    assert said(whole)[-2:] == [
        "Inbox “Website” was linked already.",
        "Inbox “API” was linked to the agent bot.",
    ]
    assert len(empty.api("GET", "/agent_bots")) == 1
    assert [e.details["done"] for e in AuditEntry.objects.order_by("pk")] == [
        False,
        True,
    ]


@pytest.mark.django_db
def test_does_not_make_a_second_bot_after_an_unknown_outcome(
    empty: SandboxChatwoot,
) -> None:
    empty.fault(kind="status_after", path="/agent_bots$", status=504)

    cut = carry_out(plan_for(empty), actor="lena")
    empty.control("DELETE", "/faults")
    whole = carry_out(plan_for(empty), actor="lena")

    assert (cut.is_done, whole.is_done) == (False, True)
    assert len(empty.api("GET", "/agent_bots")) == 1


@pytest.mark.usefixtures("_public_url")
@pytest.mark.django_db
def test_keeps_what_an_operator_set_at_the_bot(
    sandbox: SandboxChatwoot,
) -> None:
    """The demo's own bot, made by `bootstrap`, answers in all inboxes."""
    account = sandbox.account(webhook_secret="sandbox-webhook-secret")
    app = make_app(
        name="Mine", base_url=f"{sandbox.base_url}/v1", api_key="app-sandbox-chat"
    )
    bot = make_bot(account, name="Mine", dify_app=app, inputs={"x": "contact.name"})

    report = carry_out(plan_for(sandbox, inbox_ids=(PLAIN,)), actor="lena")

    bot.refresh_from_db()
    assert report.is_done
    assert (bot.name, bot.inputs, bot.inboxes.count()) == (
        "Mine",
        {"x": "contact.name"},
        0,
    )
    # It was found by its token and calls our address from now on.
    assert bot_of_inbox(sandbox, PLAIN)["id"] == 1
    assert "Agent bot “Bridge bot” calls our address now." in said(report)


@pytest.mark.django_db
def test_a_new_token_replaces_the_refused_one(empty: SandboxChatwoot) -> None:
    carry_out(plan_for(empty), actor="lena")
    ChatwootAccount.objects.update(
        admin_token="old-one", admin_token_refused_at="2026-11-22T19:00:00Z"
    )

    report = carry_out(plan_for(empty), actor="lena")

    account = ChatwootAccount.objects.get()
    assert report.is_done
    assert account.admin_token == "sandbox-admin-token"
    assert account.admin_token_refused_at is None


@pytest.mark.django_db
def test_says_what_the_doctor_still_finds(empty: SandboxChatwoot) -> None:
    report = carry_out(plan_for(empty), actor="lena")

    # Nobody listens at PUBLIC_URL, and no worker runs in a test.
    assert [line.check for line in report.left if line.state is State.FAILED] == [
        "round_trip",
        "worker",
    ]
