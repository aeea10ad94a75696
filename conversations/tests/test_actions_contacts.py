"""The conversation's contact, and the conversation as a flow reads it."""

from __future__ import annotations

from typing import Any

import pytest

from conversations.actions import (
    NotDone,
    read_contact,
    read_conversation,
    update_contact,
)
from conversations.models import Bot
from conversations.tests.factories import app_of, make_bot, make_memory
from conversations.tests.sandbox_chatwoot import (
    SandboxChatwoot,
    make_sandbox_account,
    mirror_of,
    target_of,
)


def test_updates_and_reads_the_contact(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(name="Misty", contact_attributes={"old": 1, "kept": 2})
    target = target_of(number, bot=sandbox_bot)

    outcome = update_contact(
        target,
        {
            "name": " Misty Harbor ",
            "email": "None",
            "phone_number": "0049 (30) 123-456",
            "custom_attributes": {"Customer tier": "Silver"},
            "custom_attributes_remove": "old",
        },
    )

    assert (outcome.field, outcome.result) == ("contact", "applied")
    assert outcome.before == {
        "name": "Misty",
        "phone_number": "",
        "custom_attributes": {"old": 1},
    }
    contact = read_contact(target)
    assert contact["name"] == "Misty Harbor"
    assert contact["phone_number"] == "+4930123456"
    assert contact["custom_attributes"] == {"kept": 2, "customer_tier": "silver"}
    assert update_contact(target, {"name": "Misty Harbor"}).result == "unchanged"


def test_skips_a_contact_without_news(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    target = target_of(sandbox.start(), bot=sandbox_bot)

    outcome = update_contact(target, {"name": "None", "custom_attributes": "{}"})

    assert (outcome.result, outcome.code) == ("skipped", "not_set")
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"email": "nobody"},
        {"phone_number": "123"},
        {"name": "x" * 256},
        {"custom_attributes": {"customer_tier": "bronze"}},
    ],
)
def test_refuses_odd_contact_fields(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, wanted: Any
) -> None:
    outcome = update_contact(target_of(sandbox.start(), bot=sandbox_bot), wanted)

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert sandbox.calls() == []


def test_writes_what_is_valid_of_a_contact(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    target = target_of(sandbox.start(), bot=sandbox_bot)

    outcome = update_contact(target, {"email": "nobody", "identifier": "crm-5"})

    assert (outcome.result, outcome.code) == ("applied", "bad_value")
    sentence = "email: “nobody” is no e-mail address."
    assert outcome.message == sentence
    assert outcome.extra["refused"] == {"email": sentence}
    assert read_contact(target)["identifier"] == "crm-5"


def test_tells_what_was_done_when_the_second_call_fails(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(name="Misty", contact_attributes={"old": 1})
    target = target_of(number, bot=sandbox_bot, for_s=3.0)
    sandbox.fault(
        kind="status", status=503, times=1000, path="/destroy_custom_attributes$"
    )

    outcome = update_contact(
        target, {"name": "Misty Harbor", "custom_attributes_remove": "old"}
    )

    assert (outcome.result, outcome.code) == ("applied", "chatwoot_unavailable")
    assert outcome.before == {"name": "Misty", "custom_attributes": {"old": 1}}
    assert outcome.after == {"name": "Misty Harbor", "custom_attributes": {"old": 1}}
    refused = outcome.extra["refused"]
    assert isinstance(refused, dict)
    assert list(refused) == ["custom_attributes_remove"]
    assert outcome.message.startswith("custom_attributes_remove: Chatwoot cannot")


def test_nothing_was_done_when_the_only_call_fails(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(contact_attributes={"old": 1})
    target = target_of(number, bot=sandbox_bot)
    sandbox.fault(kind="status", status=422, path="/destroy_custom_attributes$")

    outcome = update_contact(target, {"custom_attributes_remove": "old"})

    assert (outcome.result, outcome.code) == ("refused", "refused_by_chatwoot")


def test_what_is_refused_of_a_contact_that_stays_as_it_is(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    target = target_of(sandbox.start(name="Misty"), bot=sandbox_bot)

    outcome = update_contact(
        target, {"name": "Misty", "custom_attributes": {"customer_tier": "bronze"}}
    )

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert outcome.possible == ("gold", "silver")
    assert outcome.extra["refused"] == {"customer_tier": outcome.message}


def test_shows_why_chatwoot_takes_no_second_contact_with_an_address(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox.start(email="one@shop.example")
    target = target_of(sandbox.start(), bot=sandbox_bot)

    outcome = update_contact(target, {"email": "one@shop.example"})

    assert (outcome.result, outcome.code) == ("refused", "refused_by_chatwoot")
    assert "already been taken" in outcome.message


def test_reads_by_the_mirror_without_asking(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    row = mirror_of(number, bot=sandbox_bot, team_name="sales", chatwoot_team_id=2)
    memory = make_memory(row, app_of(sandbox_bot))

    found = read_conversation(
        target_of(number, bot=sandbox_bot, conversation=row), fresh=False
    )

    assert (found["source"], found["status"]) == ("mirror", "pending")
    assert (found["team"], found["team_id"]) == ("sales", 2)
    assert found["dify_conversation_id"] == memory.dify_conversation_id
    assert sandbox.calls() == []


def test_reads_afresh_when_asked_or_unknown(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 2})
    row = mirror_of(number, bot=sandbox_bot)

    for conversation, fresh in ((row, True), (None, False)):
        target = target_of(number, bot=sandbox_bot, conversation=conversation)
        found = read_conversation(target, fresh=fresh)
        assert (found["source"], found["team"]) == ("chatwoot", "sales")
        assert isinstance(found["contact"], dict)


def test_tells_when_a_conversation_is_gone_or_unreadable(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    with pytest.raises(NotDone) as caught:
        read_conversation(target_of(999_999, bot=sandbox_bot), fresh=True)
    assert caught.value.code == "conversation_not_found"

    number = sandbox.start()
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 2})
    bot = make_bot(
        make_sandbox_account(sandbox, admin_token="", base_url=f"{sandbox.base_url}/")
    )
    with pytest.raises(NotDone) as caught:
        read_conversation(target_of(number, bot=bot), fresh=True)
    assert caught.value.code == "no_admin_token"
