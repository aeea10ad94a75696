"""Labels and attributes merge, whoever else changes them at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from chatwoot_api.models import ChatwootAccount
from conversations.actions import Outcome, change, lock
from conversations.actions.lock import EXPIRES_AFTER_S, _Lines
from conversations.models import ActionLock, Bot, UnknownNames
from conversations.tests.factories import make_bot
from conversations.tests.sandbox_chatwoot import (
    SandboxChatwoot,
    make_sandbox_account,
    target_of,
)


class _NoLine(_Lines):
    """Lets everybody in at once, as if each were a process of its own."""

    def join(self, key: tuple[int, int]) -> threading.Event:
        turn = super().join(key)
        turn.set()
        return turn


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("line", [_Lines, _NoLine])
def test_fifty_callbacks_at_once_lose_nothing(
    sandbox: SandboxChatwoot, monkeypatch: pytest.MonkeyPatch, line: type[_Lines]
) -> None:
    monkeypatch.setattr(lock, "_lines", line())
    bot = make_bot(make_sandbox_account(sandbox))
    number = sandbox.start(custom_attributes={"language": "de"})

    def merge(index: int) -> list[Outcome]:
        try:
            return change(
                target_of(number, bot=Bot.objects.get(pk=bot.pk), for_s=45.0),
                {
                    "custom_attributes": {f"key_{index}": f"value {index}"},
                    "labels_add": [f"label-{index}"],
                },
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=50) as pool:
        outcomes = [row for rows in pool.map(merge, range(50)) for row in rows]

    assert {outcome.result for outcome in outcomes} == {"applied"}
    state = sandbox.state(number)
    wanted = {f"key_{index}": f"value {index}" for index in range(50)}
    assert state["custom_attributes"] == {"language": "de"} | wanted
    assert sorted(state["labels"]) == sorted(f"label-{i}" for i in range(50))
    assert not ActionLock.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_fifty_callbacks_at_a_slow_chatwoot_all_get_their_turn(
    sandbox: SandboxChatwoot,
) -> None:
    """With the time that a callback has, and 0.3 s for each of its two calls."""
    bot = make_bot(make_sandbox_account(sandbox))
    number = sandbox.start()
    path = f"/conversations/{number}"
    sandbox.fault(kind="delay", delay_s=0.3, times=1000, method="*", path=path)

    def merge(index: int) -> list[Outcome]:
        try:
            return change(
                target_of(number, bot=Bot.objects.get(pk=bot.pk), for_s=45.0),
                {"custom_attributes": {f"key_{index}": "x"}},
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=50) as pool:
        outcomes = [row for rows in pool.map(merge, range(50)) for row in rows]

    assert {outcome.code or outcome.result for outcome in outcomes} == {"applied"}
    wanted = {f"key_{index}": "x" for index in range(50)}
    assert sandbox.state(number)["custom_attributes"] == wanted


def test_is_busy_while_another_process_has_the_lock(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    now = timezone.now()
    account = sandbox_bot.account_id
    ActionLock.objects.take(account, number=number, now=now, for_s=EXPIRES_AFTER_S)

    outcomes = change(
        target_of(number, bot=sandbox_bot, for_s=2.0),
        {"labels_add": "vip", "status": "open"},
    )

    codes = {outcome.field: outcome.code for outcome in outcomes}
    assert codes == {"labels_add": "busy", "status": ""}
    assert sandbox.state(number)["labels"] == []
    assert sandbox.state(number)["status"] == "open"


def test_takes_the_lock_of_a_process_that_died(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    long_ago = timezone.now() - timedelta(minutes=1)
    account = sandbox_bot.account_id
    ActionLock.objects.take(account, number=number, now=long_ago, for_s=1)

    (outcome,) = change(target_of(number, bot=sandbox_bot), {"labels_add": "vip"})

    assert outcome.result == "applied"
    assert not ActionLock.objects.exists()


def attributes_of(
    sandbox: SandboxChatwoot, bot: Bot, wanted: Any, **more: Any
) -> tuple[Outcome, dict[str, Any]]:
    number = sandbox.start(custom_attributes={"kept": "yes"})
    outcome = change(target_of(number, bot=bot), {"custom_attributes": wanted, **more})[
        0
    ]
    values = sandbox.state(number)["custom_attributes"]
    return outcome, {key: value for key, value in values.items() if key != "kept"}


def define(bot: Bot, *, key: str, kind: str, **fields: Any) -> None:
    client = target_of(1, bot=bot).client
    made = client.create_definition(
        {
            "attribute_key": key,
            "attribute_display_name": key.title(),
            "attribute_display_type": kind,
            "attribute_model": "conversation_attribute",
            **fields,
        }
    )
    bot.account.attribute_definitions.create(
        chatwoot_definition_id=made.id,
        key=key,
        display_name=made.display_name,
        model=made.model,
        display_type=made.display_type,
        values=list(made.values),
        regex_pattern=made.regex_pattern,
        regex_cue=made.regex_cue,
    )


@pytest.mark.parametrize(
    ("kind", "sent", "written"),
    [
        ("number", "12", 12),
        ("number", " 12.50 ", 12.5),
        ("currency", 7.0, 7),
        ("percent", "45 %", 45),
        ("date", "2026-12-01", "2026-12-01"),
        ("date", "1.2.2026", "2026-02-01"),
        ("date", "2026-12-01T23:30:00Z", "2026-12-01"),
        ("date", "2026/12/01", "2026-12-01"),
        ("checkbox", "True", True),
        ("checkbox", 0, False),
        ("link", "https://shop.example/x", "https://shop.example/x"),
        ("text", {"a": [1]}, '{"a": [1]}'),
        ("text", True, "true"),
        ("text", 5, "5"),
    ],
)
def test_writes_values_as_their_type_wants_them(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str, sent: Any, written: Any
) -> None:
    define(sandbox_bot, key="wanted_value", kind=kind)

    outcome, values = attributes_of(sandbox, sandbox_bot, {"Wanted Value": sent})

    assert outcome.result == "applied"
    assert values == {"wanted_value": written}


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("number", "a dozen"),
        ("number", "1,5"),
        ("number", True),
        ("number", 10_000_000_000),
        ("number", "1" * 400),
        ("currency", ["1"]),
        ("date", "tomorrow"),
        ("date", "31.2.2026"),
        ("checkbox", "perhaps"),
        ("link", "shop.example"),
        ("link", "javascript:alert(1)"),
        ("text", "x" * 1501),
        ("list", "none of them"),
    ],
)
def test_refuses_values_that_do_not_fit(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str, sent: Any
) -> None:
    define(sandbox_bot, key="wanted_value", kind=kind, attribute_values=["A", "B"])

    outcome, values = attributes_of(sandbox, sandbox_bot, {"wanted_value": sent})

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert outcome.possible == (("A", "B") if kind == "list" else ())
    assert values == {}


def test_writes_the_valid_attributes_and_tells_of_the_others(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    outcome, values = attributes_of(
        sandbox,
        sandbox_bot,
        {"Topic": "Refund", "language": "ru", "order number": None},
    )

    assert values == {"language": "ru"}
    assert (outcome.result, outcome.code) == ("applied", "bad_value")
    assert outcome.extra == {
        "refused": {
            "Topic": "“topic” cannot be “Refund”. Possible: Order, Return, Other."
        }
    }
    assert outcome.possible == ("Order", "Return", "Other")


def test_removes_attributes_by_their_names(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(custom_attributes={"language": "de", "topic": "Order"})

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"custom_attributes_remove": "Topic, nothing", "custom_attributes": "None"},
    )

    assert [(row.field, row.result) for row in outcomes] == [
        ("custom_attributes", "skipped"),
        ("custom_attributes_remove", "applied"),
    ]
    assert sandbox.state(number)["custom_attributes"] == {"language": "de"}


def test_the_contacts_attributes_merge_and_can_be_removed(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(contact_attributes={"customer_tier": "gold", "old": "1"})
    target = target_of(number, bot=sandbox_bot)

    outcomes = change(
        target,
        {"contact_attributes": {"tier": "x"}, "contact_attributes_remove": ["old"]},
    )

    assert [row.result for row in outcomes] == ["applied", "applied"]
    conversation, _last = target.client.show_conversation(number)
    assert conversation.contact is not None
    assert conversation.contact.custom_attributes == {
        "customer_tier": "gold",
        "tier": "x",
    }


def test_accepts_unknown_names_as_they_are(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"labels_add": "Brand New", "custom_attributes": {"mood": 3}},
    )

    assert [row.result for row in outcomes] == ["applied", "applied"]
    assert sandbox.state(number)["labels"] == ["Brand New"]
    assert sandbox.state(number)["custom_attributes"] == {"mood": 3}


def test_refuses_unknown_names_if_the_bot_says_so(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox_bot.unknown_names = UnknownNames.REFUSE
    number = sandbox.start()

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {
            "labels_add": "VIP, Brand New",
            "labels_set": "nothing-known",
            "custom_attributes": {"mood": 3},
        },
    )

    found = {row.field: row for row in outcomes}
    assert found["custom_attributes"].code == "unknown_attribute"
    assert "order_number" in found["custom_attributes"].possible
    assert found["labels_set"].code == "unknown_label"
    added = found["labels_add"]
    assert (added.result, added.code) == ("applied", "unknown_label")
    assert added.possible == ("billing", "bug", "return", "vip")
    assert sandbox.state(number)["labels"] == ["vip"]
    assert sandbox.state(number)["custom_attributes"] == {}


def test_defines_unknown_names_if_the_bot_says_so(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox_bot.unknown_names = UnknownNames.CREATE
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)

    outcomes = change(
        target,
        {
            "labels_add": "Brand New",
            "custom_attributes": {"mood": 3, "angry": True, "why": "late"},
        },
    )

    assert [row.result for row in outcomes] == ["applied", "applied"]
    assert sandbox.state(number)["labels"] == ["brand-new"]
    kinds = {d.key: d.display_type for d in target.client.attribute_definitions()}
    assert (kinds["mood"], kinds["angry"], kinds["why"]) == (
        "number",
        "checkbox",
        "text",
    )
    assert "brand-new" in {row.title for row in target.client.account_labels()}
    account = ChatwootAccount.objects.get(pk=sandbox_bot.account_id)
    assert account.labels.filter(title="brand-new").exists()
    assert account.attribute_definitions.filter(key="mood").exists()


def test_sets_adds_and_removes_labels_with_one_call(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.control("PATCH", f"/conversations/{number}", {"labels": ["bug", "own"]})
    sandbox.control("DELETE", "/wire")

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"labels_remove": "BUG", "labels_add": ["Vip", "vip"]},
    )

    assert [row.after for row in outcomes] == [["own", "vip"]] * 2
    assert sandbox.state(number)["labels"] == ["own", "vip"]
    path = f"/conversations/{number}"
    assert sandbox.calls() == [f"GET {path}", f"POST {path}/labels"]


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"/^\d{3}$/", "123", True),
        (r"^\d{3}$", "12x", False),
        (r"/^ab$/i", "AB", True),
        (r"^(a+)+$", "a" * 60 + "!", True),  # too slow to be asked
        ("(", "anything", True),
        (r"(?<name>x", "anything", True),
    ],
)
def test_asks_patterns_that_cannot_take_long(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, pattern: str, text: str, fits: bool
) -> None:
    define(
        sandbox_bot,
        key="code",
        kind="text",
        regex_pattern=pattern,
        regex_cue="Three digits.",
    )

    outcome, values = attributes_of(sandbox, sandbox_bot, {"code": text})

    assert values == ({"code": text} if fits else {})
    if not fits:
        assert outcome.message == f"“code” cannot be “{text}”. Three digits."


def test_two_flows_that_define_the_same_name_share_it(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    """The mirror does not know yet what another bridge process has just made."""
    sandbox_bot.unknown_names = UnknownNames.CREATE
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    target.client.create_label({"title": "brand-new"})
    target.client.create_definition(
        {
            "attribute_key": "mood",
            "attribute_display_name": "Mood",
            "attribute_display_type": "list",
            "attribute_model": "conversation_attribute",
            "attribute_values": ["Good", "Bad"],
        }
    )

    outcomes = change(
        target, {"labels_add": "Brand New", "custom_attributes": {"mood": "good"}}
    )

    assert [(row.result, row.message) for row in outcomes] == [("applied", "")] * 2
    assert sandbox.state(number)["labels"] == ["brand-new"]
    assert sandbox.state(number)["custom_attributes"] == {"mood": "Good"}


def test_callers_of_one_process_are_let_in_as_they_came() -> None:
    lines, key = _Lines(), (1, 2)
    first, second, third = (lines.join(key) for _ in range(3))
    other = lines.join((1, 3))

    assert [turn.is_set() for turn in (first, second, third, other)] == [
        True,
        False,
        False,
        True,
    ]
    lines.leave(key, second)  # has not waited to the end
    assert not third.is_set()
    lines.leave(key, first)
    assert third.is_set()
    lines.leave(key, third)
    assert lines.join(key).is_set()
