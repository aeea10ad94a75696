"""Starting conversations: by callback, and with the command."""

from __future__ import annotations

from io import StringIO
from time import monotonic
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from chatwoot_api.models import Inbox
from conversations.actions import Outcome, start_conversation
from conversations.models import Bot
from conversations.tests.sandbox_chatwoot import (
    API,
    SandboxChatwoot,
    target_of,
)


def started(bot: Bot, **wanted: Any) -> list[Outcome]:
    return start_conversation(
        bot.account,
        bot=bot,
        client=target_of(1, bot=bot).client,
        wanted=wanted,
        until=monotonic() + 25,
    )


def test_starts_one_with_all_that_was_wanted(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    outcomes = started(
        sandbox_bot,
        inbox=" website ",
        contact_name="New Person",
        contact_email="new@shop.example",
        message="Your order is on its way.",
        team="sales",
        priority="low",
        labels="VIP",
        custom_attributes={"topic": "order"},
        status="open",
    )

    assert [(row.field, row.result) for row in outcomes] == [
        ("conversation", "applied"),
        ("message", "applied"),
        ("custom_attributes", "applied"),
        ("labels_add", "applied"),
        ("priority", "applied"),
        ("team", "applied"),
        ("status", "applied"),
    ]
    extra = outcomes[0].extra
    number = extra["conversation_id"]
    assert isinstance(number, int)
    assert outcomes[0].message == f"Conversation {number} was started."
    assert extra["contact_created"] is True
    assert extra["url"] == sandbox_bot.account.conversation_url(number)
    state = sandbox.state(number)
    assert (state["status"], state["priority"]) == ("open", "low")
    assert state["labels"] == ["vip"]
    assert state["custom_attributes"] == {"topic": "Order"}
    assert sandbox.public_messages(number) == ["Your order is on its way."]


@pytest.mark.parametrize(
    "person",
    [
        {"contact_email": "KNOWN@shop.example"},
        {"contact_identifier": "crm-5", "contact_name": "Another"},
        {"contact_phone": "+49 30 123456"},
        {"contact_id": "{id}"},
    ],
)
def test_finds_the_contact(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, person: dict[str, str]
) -> None:
    known = target_of(1, bot=sandbox_bot).client.create_contact(
        name="Known",
        email="known@shop.example",
        phone_number="+4930123456",
        identifier="crm-5",
    )
    wanted = {key: text.format(id=known.id) for key, text in person.items()}

    (outcome,) = started(sandbox_bot, inbox=API, **wanted)

    assert outcome.result == "applied"
    assert outcome.extra["contact_id"] == known.id
    assert outcome.extra["contact_created"] is False
    assert outcome.extra["inbox_id"] == API


@pytest.mark.parametrize(
    ("wanted", "code", "says"),
    [
        ({}, "not_set", "inbox (its name or number) and a contact"),
        ({"inbox": "None", "contact_email": "a@b.example"}, "not_set", "inbox"),
        ({"inbox": "website"}, "not_set", "a contact"),
        ({"inbox": "fax", "contact_name": "A"}, "inbox_not_found", "Website"),
        ({"inbox": 1, "contact_id": 9_999_999}, "contact_not_found", "9999999"),
        ({"inbox": 1, "contact_id": "abc"}, "misread", "abc"),
        ({"inbox": 1, "contact_phone": "12"}, "bad_value", "country code"),
        ({"inbox": 1, "contact_email": "x"}, "bad_value", "e-mail"),
    ],
)
def test_says_what_is_missing(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, wanted: Any, code: str, says: str
) -> None:
    (outcome,) = started(sandbox_bot, **wanted)

    assert (outcome.result, outcome.code) == ("refused", code)
    assert says in outcome.message
    assert not [call for call in sandbox.calls() if call.startswith("POST")]


def test_a_bot_starts_none_in_other_bots_inboxes(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    own = Inbox.objects.get(account=sandbox_bot.account, chatwoot_inbox_id=API)
    sandbox_bot.inboxes.add(own)

    (refused,) = started(sandbox_bot, inbox="Website", contact_name="A")
    (done,) = started(sandbox_bot, contact_name="A")

    assert (refused.code, refused.possible) == ("not_this_bots_inbox", ("API",))
    assert (done.result, done.extra["inbox_id"]) == ("applied", API)


@pytest.mark.parametrize(
    ("said", "results"),
    [
        ({}, []),
        ({"message": "None"}, ["skipped"]),
        ({"message": "x" * 150_001}, ["refused"]),
    ],
)
def test_says_that_nothing_was_said(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, said: Any, results: list[str]
) -> None:
    first, *others = started(sandbox_bot, inbox=API, contact_name="A", **said)

    number = first.extra["conversation_id"]
    assert first.message == f"Conversation {number} was started; no message was sent."
    assert [outcome.result for outcome in others] == results


def test_does_not_say_that_nothing_was_said_if_nobody_knows(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox.fault(kind="drop_after", times=1)
    sandbox.fault(kind="status", status=503, times=99, method="GET")

    first, message = started(sandbox_bot, inbox=API, contact_name="A", message="Hi")

    assert message.code == "outcome_unknown"
    number = first.extra["conversation_id"]
    assert first.message == f"Conversation {number} was started."


@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_never_starts_a_second_one_on_a_guess(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str
) -> None:
    sandbox.control("DELETE", "/wire")
    sandbox.fault(kind=kind, path="/conversations$", status=504)

    (outcome,) = started(sandbox_bot, inbox=1, contact_name="A", message="Hi")

    assert (outcome.result, outcome.code) == ("failed", "outcome_unknown")
    assert sandbox.calls().count("POST /conversations") == 1


def test_the_command_prints_number_and_address(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    output = StringIO()

    call_command(
        "start_conversation",
        inbox="API",
        contact_name="Ada",
        message="Hello",
        custom_attributes='{"topic": "Other"}',
        stdout=output,
    )

    lines = output.getvalue().splitlines()
    assert lines[:2] == ["message: applied", "custom_attributes: applied"]
    number = int(lines[2].split()[1].rstrip(":"))
    url = sandbox_bot.account.conversation_url(number)
    assert lines[2] == f"Conversation {number}: {url}"
    assert sandbox.public_messages(number) == ["Hello"]


def test_the_command_says_what_is_missing(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    with pytest.raises(CommandError, match="following is missing: inbox"):
        call_command("start_conversation")
    with pytest.raises(CommandError, match="Known bots: Nordbot"):
        call_command("start_conversation", bot="Other")
    with pytest.raises(CommandError, match="Known keys: account-"):
        call_command("start_conversation", account="other")


def test_the_command_fails_if_a_step_does(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    output = StringIO()

    with pytest.raises(CommandError, match="not everything was done: team"):
        call_command(
            "start_conversation",
            inbox="API",
            contact_name="Ada",
            team="suport",
            stdout=output,
        )

    assert "There is no team “suport”" in output.getvalue()
    assert "Conversation " in output.getvalue()
