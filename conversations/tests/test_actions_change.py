"""Changing a conversation: real HTTP to the sandbox that plays Chatwoot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.errors import UpstreamUnavailable
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount
from conversations.actions import FIELDS, Outcome, change, changes, status
from conversations.actions import state as states
from conversations.models import Bot, Turn
from conversations.tests.factories import make_bot, make_turn
from conversations.tests.sandbox_chatwoot import (
    SandboxChatwoot,
    make_sandbox_account,
    mirror_of,
    target_of,
)


def by_field(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.field: outcome for outcome in outcomes}


def results(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.field: outcome.code or outcome.result for outcome in outcomes}


def test_changes_everything_in_one_go_and_the_status_last(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {
            "status": "Open",
            "note": "Wants a refund",
            "assignee": "marta keller",
            "team": " Sales ",
            "priority": "HIGH",
            "labels_add": "VIP, return",
            "custom_attributes": '{"topic": "order", "order_number": 17}',
            "contact_attributes": {"customer_tier": "GOLD"},
        },
    )

    assert set(results(outcomes).values()) == {"applied"}
    assert [outcome.field for outcome in outcomes] == [
        name for name in FIELDS if name in by_field(outcomes)
    ]
    state = sandbox.state(number)
    assert state["status"] == "open"
    assert state["priority"] == "high"
    assert state["labels"] == ["vip", "return"]
    assert state["custom_attributes"] == {"topic": "Order", "order_number": "17"}
    notes = [row for row in state["messages"] if row["private"]]
    assert [row["content"] for row in notes] == ["Wants a refund"]
    calls = sandbox.calls()
    one = f"/conversations/{number}"
    assert calls.count(f"GET {one}") == 1
    assert calls[-1] == f"POST {one}/toggle_status"
    assert by_field(outcomes)["team"].extra == {"team_id": 2}
    assert by_field(outcomes)["assignee"].extra == {"assignee_id": 2}
    assert by_field(outcomes)["status"].before == "pending"


NOT_SET: list[JsonValue] = [
    None,
    "",
    " ",
    "None",
    "null",
    "-",
    "{{#env.x#}}",
    "conversation.foo",
    [],
]


@pytest.mark.parametrize("value", NOT_SET)
def test_calls_nobody_when_nothing_is_set(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, value: Any
) -> None:
    number = sandbox.start()

    outcomes = change(target_of(number, bot=sandbox_bot), dict.fromkeys(FIELDS, value))

    assert [outcome.field for outcome in outcomes] == list(FIELDS)
    assert {outcome.result for outcome in outcomes} == {"skipped"}
    assert {outcome.code for outcome in outcomes} == {"not_set"}
    assert sandbox.calls() == []


def test_one_refused_field_does_not_stop_the_others(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"priority": "normal", "team": "suport", "status": "open"},
    )

    assert results(outcomes) == {
        "priority": "unknown_priority",
        "team": "unknown_team",
        "status": "applied",
    }
    found = by_field(outcomes)
    assert found["team"].message == (
        "There is no team “suport”. Possible: returns, sales, support."
    )
    assert found["team"].possible == ("returns", "sales", "support")
    assert found["priority"].possible == ("low", "medium", "high", "urgent")
    # An unknown team must never get there: Chatwoot would unassign.
    assert not [call for call in sandbox.calls() if "assignments" in call]


def test_setting_what_is_set_calls_nobody(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    wanted: JsonObject = {
        "status": "pending",
        "priority": "low",
        "team": "sales",
        "assignee": "jonas.weber@sandbox.test",
        "labels_add": "vip",
        "custom_attributes": {"language": "de"},
        "contact_attributes": {"customer_tier": "gold"},
    }
    change(target_of(number, bot=sandbox_bot), wanted)
    sandbox.control("DELETE", "/wire")

    outcomes = change(target_of(number, bot=sandbox_bot), wanted)

    assert set(results(outcomes).values()) == {"unchanged"}
    assert sandbox.calls() == [f"GET /conversations/{number}"]


def test_clears_with_words_that_say_so(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    change(
        target_of(number, bot=sandbox_bot),
        {"priority": "low", "team": "sales", "assignee": 2, "labels_set": "vip, bug"},
    )

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {
            "priority": "Clear",
            "team": "unassign",
            "assignee": "remove",
            "labels_set": "clear",
        },
    )

    assert set(results(outcomes).values()) == {"applied"}
    assert by_field(outcomes)["team"].before == "sales"
    state = sandbox.state(number)
    assert state["priority"] is None
    assert state["labels"] == []
    assert by_field(outcomes)["labels_set"].before == ["vip", "bug"]


def test_asks_chatwoot_once_for_a_team_that_is_new(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    made = target.client.create_team({"name": "Ночная смёна"})
    accounts = ChatwootAccount.objects.filter(pk=sandbox_bot.account_id)
    accounts.update(mirrored_at=datetime.now(UTC) - timedelta(minutes=2))

    outcomes = change(target, {"team": "ночная  сМена"})

    assert by_field(outcomes)["team"].extra == {"team_id": made.id}
    assert results(outcomes) == {"team": "applied"}


def test_says_that_the_conversation_is_gone_for_each_field(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    outcomes = change(
        target_of(999_999, bot=sandbox_bot),
        {"status": "open", "labels_add": "vip", "priority": "loud"},
    )

    assert results(outcomes) == {
        "labels_add": "conversation_not_found",
        "priority": "unknown_priority",
        "status": "conversation_not_found",
    }


@pytest.mark.parametrize(
    ("status", "until", "code"),
    [
        ("closed", None, "unknown_status"),
        ("snoozed", "2001-01-01", "snooze_in_past"),
        (None, "soon", "bad_value"),
        ("snoozed", "99999999999999", "bad_value"),
        ("snoozed", 1e300, "bad_value"),
        ({"a": "b"}, None, "unknown_status"),
    ],
)
def test_refuses_odd_statuses(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, status: Any, until: Any, code: str
) -> None:
    number = sandbox.start()
    wanted = {"status": status, "snoozed_until": until}

    outcomes = change(target_of(number, bot=sandbox_bot), wanted)

    assert results(outcomes) == {"status": code}
    assert sandbox.calls() == []


def test_snoozes_with_a_time_alone(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    number = sandbox.start()
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    for text in (tomorrow.isoformat(), str(int(tomorrow.timestamp()))):
        outcomes = change(target_of(number, bot=sandbox_bot), {"snoozed_until": text})
        assert results(outcomes) == {"status": "applied"}
        until = tomorrow.isoformat().replace("+00:00", "Z")
        assert outcomes[0].extra == {"snoozed_until": until}

    assert sandbox.state(number)["status"] == "snoozed"


def test_waits_out_a_passing_trouble(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.fault(kind="status", status=503, times=2, path="/toggle_priority$")

    outcomes = change(target_of(number, bot=sandbox_bot), {"priority": "low"})

    assert results(outcomes) == {"priority": "applied"}
    path = f"POST /conversations/{number}/toggle_priority"
    assert sandbox.calls().count(path) == 3


def test_gives_up_in_time_when_the_trouble_stays(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.fault(kind="status", status=503, times=1000, method="*", path="/accounts/")

    outcomes = change(
        target_of(number, bot=sandbox_bot, for_s=1.0),
        {"priority": "low", "status": "open"},
    )

    assert results(outcomes) == {
        "priority": "chatwoot_unavailable",
        "status": "chatwoot_unavailable",
    }
    assert {outcome.result for outcome in outcomes} == {"failed"}


def test_begins_nothing_when_the_time_is_over(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()

    outcomes = change(
        target_of(number, bot=sandbox_bot, for_s=-1.0), {"priority": "low"}
    )

    assert results(outcomes) == {"priority": "chatwoot_unavailable"}
    assert sandbox.calls() == []


def test_shows_chatwoots_own_words_when_it_refuses(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.fault(
        kind="status",
        status=422,
        body='{"error": "No such thing, said app-0123456789abcdef"}',
        path="/toggle_priority$",
    )

    (outcome,) = change(target_of(number, bot=sandbox_bot), {"priority": "low"})

    assert (outcome.result, outcome.code) == ("refused", "refused_by_chatwoot")
    assert outcome.message == "Chatwoot refused it: No such thing, said [secret]"


def test_tells_that_a_token_is_refused_and_not_which(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.set(bot_token_refused=True, admin_token_refused=True)
    row = mirror_of(number, bot=sandbox_bot)

    (outcome,) = change(
        target_of(number, bot=sandbox_bot, conversation=row), {"priority": "low"}
    )

    assert (outcome.result, outcome.code) == ("failed", "token_refused")
    assert "sandbox-bot-token" not in outcome.message
    account = ChatwootAccount.objects.get(pk=sandbox_bot.account_id)
    assert account.health == "refused"
    assert account.admin_token_refused_at is not None


def test_the_administrators_token_takes_over_for_the_bots(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.set(bot_token_refused=True)

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"priority": "low", "note": "Look at this", "status": "open"},
    )

    assert set(results(outcomes).values()) == {"applied"}


def test_works_by_the_mirror_where_only_the_bots_token_is(
    sandbox: SandboxChatwoot, db: None
) -> None:
    """A team makes the bot's reads fail with 500; its writes go on working."""
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start(custom_attributes={"language": "de"})
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 1})
    sandbox.control("PATCH", f"/conversations/{number}", {"labels": ["vip"]})
    sandbox.control("DELETE", "/wire")
    row = mirror_of(
        number, bot=bot, custom_attributes={"language": "de"}, labels=["stale"]
    )

    outcomes = change(
        target_of(number, bot=bot, conversation=row),
        {"custom_attributes": {"topic": "x"}, "labels_add": "bug", "status": "open"},
    )

    assert set(results(outcomes).values()) == {"applied"}
    assert by_field(outcomes)["custom_attributes"].extra == {"based_on": "mirror"}
    state = sandbox.state(number)
    assert state["custom_attributes"] == {"language": "de", "topic": "x"}
    assert state["labels"] == ["vip", "bug"]
    assert sandbox.calls().count(f"GET /conversations/{number}") == 1


def test_does_not_replace_attributes_that_it_cannot_see(
    sandbox: SandboxChatwoot, db: None
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start(custom_attributes={"language": "de"})
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 1})

    outcomes = change(target_of(number, bot=bot), {"custom_attributes": {"topic": "x"}})

    assert results(outcomes) == {"custom_attributes": "no_admin_token"}
    assert sandbox.state(number)["custom_attributes"] == {"language": "de"}


def test_without_an_administrators_token_no_team_is_known(
    sandbox: SandboxChatwoot, db: None
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start()

    outcomes = change(target_of(number, bot=bot), {"team": "sales"})

    assert results(outcomes) == {"team": "no_admin_token"}
    assert sandbox.calls() == []


EVERYTHING: JsonObject = {"status": "open", "team": "sales", "labels_add": "bot-paused"}
NOTED = {"status": "open", "assignee": True, "pause": True}


def running_turn(number: int, *, bot: Bot, **fields: Any) -> Turn:
    row = mirror_of(number, bot=bot)
    return make_turn(
        row, bot, status=Turn.Status.RUNNING, started_at=timezone.now(), **fields
    )


def marks_after(turn: Turn) -> JsonObject:
    turn.refresh_from_db()
    names = ("status", "assignee", "pause", "spoke")
    return {name: turn.by_flow[name] for name in names if name in turn.by_flow}


@pytest.mark.parametrize(
    ("fault", "noted"),
    [
        (None, NOTED),
        # Surely not done: a human who does it later takes over.
        ({"kind": "status", "status": 422, "body": "{}"}, {}),
        ({"kind": "status", "status": 429, "body": "Retry later"}, {}),
        # It may have been done all the same.
        ({"kind": "status", "status": 500, "body": "{}"}, NOTED),
        ({"kind": "drop"}, NOTED),
        ({"kind": "drop_after"}, NOTED),
    ],
)
def test_notes_what_the_running_flow_does_unless_it_surely_did_not_work(
    sandbox: SandboxChatwoot,
    sandbox_bot: Bot,
    fault: dict[str, Any] | None,
    noted: JsonObject,
) -> None:
    number = sandbox.start()
    turn = running_turn(number, bot=sandbox_bot)
    if fault is not None:
        path = "/(toggle_status|assignments|labels)$"
        sandbox.fault(path=path, times=100, **fault)

    change(
        target_of(
            number,
            bot=sandbox_bot,
            conversation=turn.conversation,
            turn=turn,
            for_s=1.5,
        ),
        EVERYTHING,
    )

    assert marks_after(turn) == noted


def test_a_status_that_was_never_sent_is_not_noted(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    turn = running_turn(number, bot=sandbox_bot)
    target = target_of(
        number, bot=sandbox_bot, conversation=turn.conversation, turn=turn, for_s=1.0
    )
    now = states.read(target)
    # Nobody listens there: port 1.
    sandbox_bot.account.base_url = "http://127.0.0.1:1"
    away = target_of(
        number, bot=sandbox_bot, conversation=turn.conversation, turn=turn, for_s=1.0
    )

    with pytest.raises(UpstreamUnavailable):
        status.carry_out(status.StatusPlan(status="open"), state=now, target=away)

    assert marks_after(turn) == {}


def test_a_mark_stays_if_an_earlier_try_may_have_worked(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    turn = running_turn(number, bot=sandbox_bot)
    sandbox.fault(kind="drop_after", path="/toggle_status$")
    sandbox.fault(kind="status", status=422, body="{}", path="/toggle_status$")

    (outcome,) = change(
        target_of(number, bot=sandbox_bot, conversation=turn.conversation, turn=turn),
        {"status": "open"},
    )

    assert outcome.code == "refused_by_chatwoot"
    assert marks_after(turn) == {"status": "open"}


def test_a_failed_status_leaves_the_one_before_it_noted(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    turn = running_turn(number, bot=sandbox_bot)
    target = target_of(
        number, bot=sandbox_bot, conversation=turn.conversation, turn=turn
    )
    change(target, {"status": "open"})
    sandbox.fault(kind="status", status=422, body="{}", path="/toggle_status$")

    change(target, {"status": "resolved"})

    turn.refresh_from_db()
    assert turn.by_flow == {"status": "open", "statuses": ["open"]}


def test_a_status_that_a_human_has_set_is_not_the_flows(
    sandbox: SandboxChatwoot, db: None
) -> None:
    """By the mirror: the team makes the bot's reads fail."""
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start()
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 1})
    row = mirror_of(number, bot=bot, status="open")
    turn = make_turn(row, bot, status=Turn.Status.RUNNING, started_at=timezone.now())

    (outcome,) = change(
        target_of(number, bot=bot, conversation=row, turn=turn), {"status": "open"}
    )

    assert outcome.result == "applied"
    assert marks_after(turn) == {}


def test_the_agent_whom_the_flow_chose_is_noted_by_number(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    turn = running_turn(number, bot=sandbox_bot)
    target = target_of(
        number, bot=sandbox_bot, conversation=turn.conversation, turn=turn
    )

    change(target, {"team": "sales"})
    (outcome,) = change(target, {"assignee": "Jonas"})
    assert marks_after(turn)["assignee"] == outcome.extra["assignee_id"]
    change(target, {"assignee": "clear"})

    assert marks_after(turn) == {"assignee": 0}


@pytest.mark.parametrize(("old_after_s", "reads"), [(60.0, 1), (-1.0, 2)])
def test_looks_again_before_the_status_if_the_rest_took_long(
    sandbox: SandboxChatwoot,
    sandbox_bot: Bot,
    monkeypatch: pytest.MonkeyPatch,
    old_after_s: float,
    reads: int,
) -> None:
    monkeypatch.setattr(changes, "OLD_AFTER_S", old_after_s)
    number = sandbox.start()

    change(target_of(number, bot=sandbox_bot), {"labels_add": "vip", "status": "open"})

    calls = sandbox.calls()
    assert calls.count(f"GET /conversations/{number}") == reads
    assert calls[-1] == f"POST /conversations/{number}/toggle_status"


def test_an_agent_is_assigned_again_after_the_team_has_changed(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    """Chatwoot takes an agent off who is not in the new team."""
    number = sandbox.start()
    change(target_of(number, bot=sandbox_bot), {"assignee": "Jonas"})

    outcomes = change(
        target_of(number, bot=sandbox_bot), {"team": "sales", "assignee": "Jonas"}
    )

    assert results(outcomes) == {"team": "applied", "assignee": "applied"}
    calls = [call for call in sandbox.calls() if "assignments" in call]
    assert len(calls) == 3
