"""Chatwoot unassigns for a number that it does not know; nothing may get lost."""

from __future__ import annotations

from typing import Any

import pytest

from chatwoot_api.models import Agent, Team
from conversations.actions import Outcome, change
from conversations.models import Bot
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, target_of

SUPPORT, SALES = 1, 2
ADA, MARTA, JONAS = 1, 2, 3
NOBODY = 99


def assigned(sandbox: SandboxChatwoot, **fields: int | str) -> int:
    """Begin a conversation that belongs to somebody."""
    number = sandbox.start()
    for name in ("team_id", "assignee_id"):
        if name in fields:
            more = {k: v for k, v in fields.items() if k == "assignee_type"}
            body = {name: fields[name]} | (more if name == "assignee_id" else {})
            sandbox.api("POST", f"/conversations/{number}/assignments", body)
    return number


def whose(sandbox: SandboxChatwoot, number: int) -> tuple[Any, Any]:
    meta = sandbox.conversation(number)["meta"]
    team, assignee = meta.get("team") or {}, meta.get("assignee") or {}
    return team.get("id"), assignee.get("id")


def one(bot: Bot, number: int, **wanted: Any) -> Outcome:
    (outcome,) = change(target_of(number, bot=bot), wanted)
    return outcome


@pytest.mark.parametrize("assignee_id", [ADA, MARTA, JONAS, 0])
def test_a_team_that_was_deleted_takes_nothing_away(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, assignee_id: int
) -> None:
    """Nor may the old team, when it is put back, change who is assigned."""
    number = assigned(sandbox, team_id=SUPPORT, assignee_id=assignee_id)
    sandbox.api("PATCH", f"/teams/{SUPPORT}", {"allow_auto_assign": True})
    sandbox.api("DELETE", f"/teams/{SALES}")

    outcome = one(sandbox_bot, number, team="Sales")

    assert (outcome.result, outcome.code) == ("refused", "unknown_team")
    assert outcome.possible == ("returns", "support")
    assert outcome.message == (
        "Chatwoot no longer has the team “sales” (#2). The conversation stays with "
        "support. Possible: returns, support."
    )
    assert whose(sandbox, number) == (SUPPORT, assignee_id or None)
    names = Team.objects.filter(account=sandbox_bot.account).values_list("name")
    assert sorted(names) == [("returns",), ("support",)]


def test_an_agent_who_left_takes_nobody_off(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = assigned(sandbox, assignee_id=MARTA)
    Agent.objects.create(
        account=sandbox_bot.account, chatwoot_agent_id=NOBODY, name="Gone Person"
    )

    outcome = one(sandbox_bot, number, assignee="gone person")

    assert (outcome.result, outcome.code) == ("refused", "unknown_agent")
    assert "The conversation stays with Marta Keller." in outcome.message
    assert "Gone Person" not in outcome.possible
    assert whose(sandbox, number) == (None, MARTA)
    assert not Agent.objects.filter(chatwoot_agent_id=NOBODY).exists()


def test_a_bot_that_was_assigned_gets_it_back(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = assigned(sandbox, assignee_id=1, assignee_type="AgentBot")
    before = sandbox.conversation(number)["meta"]
    Agent.objects.create(
        account=sandbox_bot.account, chatwoot_agent_id=NOBODY, name="Gone Person"
    )

    assert one(sandbox_bot, number, assignee="Gone Person").code == "unknown_agent"

    after = sandbox.conversation(number)["meta"]
    assert after["assignee_type"] == "AgentBot"
    assert after["assignee"] == before["assignee"]


def test_says_so_if_nobody_had_it(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    number = sandbox.start()
    sandbox.api("DELETE", f"/teams/{SALES}")

    outcome = one(sandbox_bot, number, team="sales")

    assert outcome.code == "unknown_team"
    assert "The conversation has no team now." in outcome.message
    assert whose(sandbox, number) == (None, None)


def test_gives_it_back_even_if_the_lists_cannot_be_read(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = assigned(sandbox, team_id=SUPPORT)
    sandbox.api("DELETE", f"/teams/{SALES}")
    sandbox.fault(kind="status", status=503, times=50, method="GET", path="/teams$")

    outcome = one(sandbox_bot, number, team="sales")

    assert (outcome.code, outcome.possible) == ("unknown_team", ("returns", "support"))
    assert whose(sandbox, number)[0] == SUPPORT


def test_says_so_if_it_cannot_be_given_back(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = assigned(sandbox, team_id=SUPPORT)
    sandbox.api("DELETE", f"/teams/{SALES}")
    path = "/assignments$"
    sandbox.fault(
        kind="status", status=422, times=50, path=path, content=f'"team_id": {SUPPORT}'
    )

    outcome = one(sandbox_bot, number, team="sales")

    assert outcome.code == "unknown_team"
    assert "lost support and could not be given back" in outcome.message
