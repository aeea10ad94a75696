"""What the doctor sees of a played Chatwoot, and that it only reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
import responses
from pytest_django import Settings

from chatwoot_api.models import ChatwootAccount, Health
from conversations.doctor import MENDS, Line, State, examine
from conversations.models import Bot, WebhookEvent
from conversations.tests.factories import make_account, make_bot
from conversations.tests.sandbox_chatwoot import API, WEBSITE, SandboxChatwoot
from local_stack.data_dir import free_port
from local_stack.testing import wait_until

pytestmark = pytest.mark.django_db

SECRET = "sandbox-webhook-secret"


@pytest.fixture
def account(sandbox: SandboxChatwoot, settings: Settings) -> ChatwootAccount:
    """The sandbox's account, whose agent bot calls our address; nobody is there."""
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    url = f"{settings.PUBLIC_URL}/api/v1/chatwoot-webhook"
    sandbox.api("PATCH", "/agent_bots/1", {"outgoing_url": url})
    sandbox.set(keep_pending_on_bot_failure=False)
    sandbox.control("DELETE", "/wire")
    return sandbox.account(webhook_secret=SECRET)


def chatwoot(account: ChatwootAccount) -> dict[str, Line]:
    """The lines about Chatwoot, by check."""
    account.refresh_from_db()
    return {x.check: x for x in examine(account=account) if x.topic == "chatwoot"}


def states(lines: dict[str, Line]) -> dict[str, str]:
    """All that is not ok."""
    return {c: x.state.value for c, x in lines.items() if x.state is not State.OK}


def test_has_nothing_to_say_of_a_good_account(account: ChatwootAccount) -> None:
    lines = chatwoot(account)

    assert states(lines) == {}
    assert lines["chatwoot_version"].found == "4.15.1"
    assert lines["inboxes"].found == "Website, API"
    assert "Ada Admin, administrator" in lines["admin_token"].found


def test_only_reads_settings(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    number = sandbox.start()
    # Nobody listens at the bot's address here, so Chatwoot opens it after a moment.
    wait_until(
        lambda: bool(sandbox.state(number)["status"] == "open"),
        patience_s=20,
        what="the end of the sandbox's own delivery",
    )
    before = sandbox.state(number)

    examine()

    calls = sandbox.calls()
    assert {call.partition(" ")[0] for call in calls} == {"GET"}
    # Conversation 0 does not exist: asking for it only tries the tokens.
    assert {c for c in calls if "conversations" in c} == {"GET /conversations/0"}
    assert sandbox.state(number) == before
    assert WebhookEvent.objects.count() == 0


def test_a_chatwoot_that_is_away_is_asked_once(wire: responses.RequestsMock) -> None:
    account = make_account(webhook_secret="")
    wire.get("https://chat.test/api", body=requests.ConnectionError("away"))

    lines = chatwoot(account)

    assert states(lines) == {"chatwoot_reachable": "failed"}
    assert [c.request.url for c in wire.calls] == ["https://chat.test/api"]


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [
        ("4.12.1", "failed", "cannot sign"),
        ("4.14.1", "warning", "Bots may not read"),
        ("nightly", "warning", "not known what"),
    ],
)
def test_tells_an_old_version(
    sandbox: SandboxChatwoot,
    account: ChatwootAccount,
    version: str,
    state: str,
    words: str,
) -> None:
    sandbox.set(chatwoot_version=version)

    line = chatwoot(account)["chatwoot_version"]

    assert line.state.value == state
    assert words in line.meaning


def test_tells_refused_tokens_and_forgets_it_when_they_work_again(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    sandbox.set(bot_token_refused=True, admin_token_refused=True)

    found = states(chatwoot(account))

    assert (found["bot_token"], found["admin_token"]) == ("failed", "failed")
    account.refresh_from_db()
    assert account.health == Health.REFUSED

    sandbox.set(bot_token_refused=False, admin_token_refused=False)
    assert states(chatwoot(account)) == {}
    account.refresh_from_db()
    assert account.health == Health.OK
    assert account.admin_token_refused_at is None


def test_tells_whose_tokens_are_mixed_up(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    ChatwootAccount.objects.update(
        bot_token="sandbox-admin-token", admin_token="sandbox-agent-marta-token"
    )

    lines = chatwoot(account)

    assert "token of a person: Ada Admin" in lines["bot_token"].found
    assert "Marta Keller, who is no administrator" in lines["admin_token"].found
    assert lines["bot_token"].state is lines["admin_token"].state is State.FAILED
    # Marta is in two of three teams.
    assert lines["teams"].state is State.WARNING
    assert lines["teams"].found == "Marta Keller is no member of: returns."


def test_tells_a_missing_token(account: ChatwootAccount) -> None:
    ChatwootAccount.objects.update(bot_token="", admin_token="")

    found = states(chatwoot(account))

    assert (found["bot_token"], found["admin_token"]) == ("failed", "warning")
    assert found["agent_bot"] == found["teams"] == "skipped"


def test_tells_that_the_agent_bot_is_gone(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    sandbox.api("DELETE", "/agent_bots/1")

    line = chatwoot(account)["agent_bot"]

    assert line.state is State.FAILED
    assert "Run the set-up again" in line.remedy


def break_address(sandbox: SandboxChatwoot, account: ChatwootAccount) -> None:
    sandbox.api("PATCH", "/agent_bots/1", {"outgoing_url": "https://old.test/hook"})


def break_secret(sandbox: SandboxChatwoot, account: ChatwootAccount) -> None:
    sandbox.api("POST", "/agent_bots/1/reset_secret", {})


def break_token(sandbox: SandboxChatwoot, account: ChatwootAccount) -> None:
    ChatwootAccount.objects.update(bot_token="sandbox-nobody")


def keep_pending(sandbox: SandboxChatwoot, account: ChatwootAccount) -> None:
    sandbox.set(keep_pending_on_bot_failure=True)


@pytest.mark.parametrize(
    ("break_it", "check", "mend"),
    [
        (break_address, "agent_bot_address", "set_address"),
        (break_secret, "agent_bot_secret", "fetch_secret"),
        (break_token, "bot_token", "fetch_secret"),
        (keep_pending, "keep_pending", "keep_pending_off"),
    ],
)
def test_mends_what_it_finds_broken(
    sandbox: SandboxChatwoot,
    account: ChatwootAccount,
    break_it: Callable[[SandboxChatwoot, ChatwootAccount], None],
    check: str,
    mend: str,
) -> None:
    break_it(sandbox, account)

    line = chatwoot(account)[check]
    assert line.state in (State.FAILED, State.WARNING)
    assert line.mend == mend

    MENDS[mend].run(account.pk)

    assert states(chatwoot(account)) == {}


def test_the_old_secret_still_counts_after_a_new_one_was_fetched(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    sandbox.api("POST", "/agent_bots/1/reset_secret", {})

    MENDS["fetch_secret"].run(account.pk)

    account.refresh_from_db()
    assert account.previous_webhook_secret == SECRET
    assert account.webhook_secret not in ("", SECRET)
    assert MENDS["fetch_secret"].run(account.pk) == (
        "Token and secret were those of Chatwoot already."
    )


def test_links_free_inboxes_of_a_bot_and_leaves_those_of_others(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    rival = sandbox.api("POST", "/agent_bots", {"name": "Rival", "outgoing_url": ""})
    sandbox.api("POST", f"/inboxes/{WEBSITE}/set_agent_bot", {"agent_bot": None})
    sandbox.api("POST", f"/inboxes/{API}/set_agent_bot", {"agent_bot": rival["id"]})
    bot = make_bot(account)
    for number, name in ((WEBSITE, "Website"), (API, "API"), (99, "Gone")):
        bot.inboxes.create(account=account, chatwoot_inbox_id=number, name=name)

    line = next(x for x in examine(bot=bot) if x.check == "bot_inboxes")

    assert line.state is State.FAILED
    assert line.found == (
        "Without an agent bot: Website. With another agent bot: API. "
        "Not in Chatwoot any more: Gone."
    )
    assert MENDS["link_inboxes"].run(account.pk) == "Linked: Website."
    linked = sandbox.api("GET", f"/inboxes/{WEBSITE}/agent_bot")["agent_bot"]
    left = sandbox.api("GET", f"/inboxes/{API}/agent_bot")["agent_bot"]
    assert (linked["id"], left["name"]) == (1, "Rival")


def test_warns_of_two_bots_for_the_same_inboxes(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    make_bot(account, name="Elder")
    bot = make_bot(account, name="Younger")

    line = next(x for x in examine(bot=bot) if x.check == "bot_inboxes")

    assert line.state is State.WARNING
    assert line.found == "Another bot is switched on for the same inboxes: Elder."


def test_adds_the_administrator_to_the_teams(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    line = chatwoot(account)["teams"]
    assert line.found == "Ada Admin is no member of: support, sales, returns."

    assert MENDS["join_teams"].run(account.pk) == "Added to 3 teams."

    assert chatwoot(account)["teams"].found == "Ada Admin is a member of all teams."
    members = sandbox.api("GET", "/teams/1/team_members")
    assert sorted(m["id"] for m in members) == [1, 2, 3]
    assert MENDS["join_teams"].run(account.pk) == "Added to 0 teams."


def test_looks_only_at_what_it_is_asked_about(account: ChatwootAccount) -> None:
    bot = make_bot(account, name="Mine")
    make_bot(account, name="Other")

    lines = examine(bot=bot)

    assert {x.about.name for x in lines if x.topic == "bots"} == {"Mine"}
    assert Bot.objects.count() == 2
    topics = {x.topic for x in examine(app=bot.dify_app)}
    assert topics == {"dify", "processes"}
