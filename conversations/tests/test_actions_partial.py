"""Attributes and labels of which only some are taken, and what is told of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chatwoot_api.models import ChatwootAccount
from conversations.actions import Outcome, change
from conversations.models import Bot, UnknownNames
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, target_of

TOPICS = ("Order", "Return", "Other")


def one(bot: Bot, number: int, **wanted: Any) -> Outcome:
    (outcome,) = change(target_of(number, bot=bot), wanted)
    return outcome


def long_ago(bot: Bot) -> None:
    """Let the mirrors be old enough to be read anew."""
    accounts = ChatwootAccount.objects.filter(pk=bot.account_id)
    accounts.update(mirrored_at=timezone.now() - timedelta(minutes=2))


def test_what_stays_as_it_is_beside_a_refusal_is_refused(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(custom_attributes={"language": "de"})

    outcome = one(
        sandbox_bot, number, custom_attributes={"language": "de", "topic": "Refund"}
    )

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert outcome.possible == TOPICS
    assert outcome.extra["refused"] == {"topic": outcome.message}
    assert outcome.message == (
        "“topic” cannot be “Refund”. Possible: Order, Return, Other."
    )


@pytest.mark.parametrize(
    ("attributes", "keys"),
    [
        ({"topic": "Refund"}, ["topic"]),
        ({"topic": "Refund", "note": "x" * 1501}, ["topic", "note"]),
        ({"count": 10**10, "": 1}, ["count", ""]),
    ],
)
def test_each_refused_attribute_has_a_sentence_with_its_key(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, attributes: Any, keys: list[str]
) -> None:
    outcome = one(sandbox_bot, sandbox.start(), custom_attributes=attributes)

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    refused = outcome.extra["refused"]
    assert isinstance(refused, dict)
    assert list(refused) == keys
    for key, sentence in refused.items():
        assert f"“{key}”" in str(sentence)
        assert str(sentence) in outcome.message


def test_a_label_that_is_there_beside_an_unknown_one_is_refused(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox_bot.unknown_names = UnknownNames.REFUSE
    number = sandbox.start()
    sandbox.control("PATCH", f"/conversations/{number}", {"labels": ["vip"]})

    outcome = one(sandbox_bot, number, labels_add="vip, never heard")

    assert (outcome.result, outcome.code) == ("refused", "unknown_label")
    assert outcome.possible == ("billing", "bug", "return", "vip")
    assert outcome.extra["refused"] == {"never heard": outcome.message}
    assert outcome.message == (
        "There is no label “never heard”. Possible: billing, bug, return, vip."
    )


def test_a_label_that_is_too_long_says_so(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    outcome = one(sandbox_bot, sandbox.start(), labels_add=["vip", "x" * 256])

    assert (outcome.result, outcome.code) == ("applied", "bad_value")
    assert "has 256 characters" in outcome.message


def test_names_what_chatwoot_does_not_let_be_defined(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    sandbox_bot.unknown_names = UnknownNames.CREATE
    number = sandbox.start()
    path = "/(custom_attribute_definitions|labels)$"
    sandbox.fault(
        kind="status",
        status=422,
        times=2,
        path=path,
        content="ill",
        body='{"message": "Not this one"}',
    )

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"custom_attributes": {"ill": 1, "mood": 3}, "labels_add": "Ill, Brand New"},
    )

    assert [(row.result, row.code) for row in outcomes] == [
        ("applied", "refused_by_chatwoot")
    ] * 2
    assert [row.message for row in outcomes] == [
        "The attribute “ill” could not be defined. Chatwoot refused it: Not this one",
        "The label “Ill” could not be defined. Chatwoot refused it: Not this one",
    ]
    state = sandbox.state(number)
    assert state["custom_attributes"] == {"mood": 3}
    assert state["labels"] == ["brand-new"]


def test_the_contacts_two_fields_are_told_of_each_for_itself(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(contact_attributes={"old": 1})
    sandbox.fault(kind="status", status=422, path="/destroy_custom_attributes$")

    outcomes = change(
        target_of(number, bot=sandbox_bot),
        {"contact_attributes": {"tier": "x"}, "contact_attributes_remove": "old"},
    )

    assert [(row.field, row.result, row.code) for row in outcomes] == [
        ("contact_attributes", "applied", ""),
        ("contact_attributes_remove", "refused", "refused_by_chatwoot"),
    ]
    contact = sandbox.conversation(number)["meta"]["sender"]
    assert contact["custom_attributes"] == {"old": 1, "tier": "x"}


def test_asks_chatwoot_once_for_a_value_that_a_list_has_got(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    definition = sandbox_bot.account.attribute_definitions.get(key="topic")
    target_of(number, bot=sandbox_bot).client.update_definition(
        definition.chatwoot_definition_id, {"attribute_values": [*TOPICS, "Refund"]}
    )
    # Just read: whoever asks for what is not there asks no more often.
    assert one(sandbox_bot, number, custom_attributes={"topic": "refund"}).code
    long_ago(sandbox_bot)

    outcome = one(sandbox_bot, number, custom_attributes={"topic": "refund"})

    assert (outcome.result, outcome.code) == ("applied", "")
    assert sandbox.state(number)["custom_attributes"] == {"topic": "Refund"}


def test_an_unknown_value_is_refused_also_if_the_lists_cannot_be_read(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    long_ago(sandbox_bot)
    sandbox.fault(kind="status", status=503, times=50, method="GET", path="/teams$")

    outcome = one(sandbox_bot, sandbox.start(), custom_attributes={"topic": "Refund"})

    assert (outcome.code, outcome.possible) == ("bad_value", TOPICS)


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        ({"labels_add": "EXTRA care, bug"}, ["Extra Care", "own", "bug"]),
        ({"labels_add": "extra-care"}, ["Extra Care", "own"]),
        ({"labels_set": "OWN, vip"}, ["own", "vip"]),
        ({"labels_remove": "extra-care"}, ["own"]),
        ({"labels_remove": "own", "labels_add": "Own"}, ["Extra Care", "own"]),
    ],
)
def test_a_label_that_is_there_gets_no_second_spelling(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, wanted: Any, after: list[str]
) -> None:
    number = sandbox.start()
    labels = ["Extra Care", "own"]
    sandbox.control("PATCH", f"/conversations/{number}", {"labels": labels})

    outcomes = change(target_of(number, bot=sandbox_bot), wanted)

    assert sorted(sandbox.state(number)["labels"]) == sorted(after)
    for outcome in outcomes:
        assert isinstance(outcome.after, list)
        assert sorted(map(str, outcome.after)) == sorted(after)


def test_tells_the_labels_that_chatwoot_answers(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.fault(
        kind="status", status=200, path="/labels$", body='{"payload": ["vip", "New"]}'
    )

    outcome = one(sandbox_bot, number, labels_add="vip, new")

    assert outcome.after == ["vip", "New"]
