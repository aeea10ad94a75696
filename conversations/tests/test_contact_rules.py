"""For whom a bot answers: what is a rule, and whom it is about."""

from __future__ import annotations

from typing import Any

import pytest

from conversations.contact_rules import (
    MAX_RULES,
    Person,
    is_for,
    is_like,
    matches,
    parse,
    problems,
)
from conversations.models import Bot

ANNA = Person(
    contact_id=640,
    phone="+4915112345678",
    email="Anna@Example.com",
    labels=("VIP", "refund"),
    attributes=({"plan": "Gold", "seats": 3, "trial": False}, {"tags": ["a", "beta"]}),
)
NOBODY = Person()


@pytest.mark.parametrize(
    "rule",
    [
        "label:vip",
        "Label : VIP",
        "label:ref*",
        "attribute:plan=gold",
        "attribute:PLAN = G?ld",
        "attribute:plan",
        "attribute:seats=3",
        "attribute:trial=false",
        "attribute:tags=beta",
        "phone:+49*",
        "phone:+49 151 1234-5678",
        "email:*@example.com",
        "EMAIL:anna@EXAMPLE.com",
        "contact:640",
    ],
)
def test_is_about(rule: str) -> None:
    rules, wrong = parse(rule)

    assert wrong == ()
    assert matches(rules, ANNA)
    assert not matches(rules, NOBODY)


@pytest.mark.parametrize(
    "rule",
    [
        "label:vi",
        "label:vip?",
        "attribute:plan=go",
        "attribute:plans",
        "attribute:trial",
        "attribute:seats=33",
        "phone:+48*",
        "email:*@example.co",
        "email:*example.com.evil.test",
        "contact:64",
    ],
)
def test_is_not_about(rule: str) -> None:
    rules, wrong = parse(rule)

    assert (len(rules), wrong) == (1, ())
    assert not matches(rules, ANNA)


def test_only_stars_and_question_marks_stand_for_anything() -> None:
    rules, _wrong = parse("label:[v]ip\nlabel:v.p\nlabel:^vip$")

    assert not matches(rules, ANNA)
    assert matches(rules, Person(labels=("[V]IP",)))


def test_says_of_each_line_why_it_is_no_rule() -> None:
    text = (
        "# our best\n\nlabel:vip\nvip\nlabel:\nattribute:=gold\nphone:home\ncontact:x\n"
    )

    assert problems(text) == [
        "Line 4, “vip”: a rule begins with label:, attribute:, phone:, email: or "
        "contact:.",
        "Line 5, “label:”: nothing follows the colon.",
        "Line 6, “attribute:=gold”: the attribute's name is missing.",
        "Line 7, “phone:home”: a phone number has digits, as in phone:+49*.",
        "Line 8, “contact:x”: a contact is named by its number in Chatwoot, as in "
        "contact:17.",
    ]
    assert len(parse(text)[0]) == 1


def test_a_list_ends_somewhere() -> None:
    rules, wrong = parse("\n".join(f"contact:{n}" for n in range(MAX_RULES + 1)))

    assert len(rules) == MAX_RULES
    assert wrong == (
        f"Line 501, “contact:500”: there may be {MAX_RULES} rules at most.",
    )
    assert problems("label:" + "x" * 200) == [
        f"Line 1, “label:{'x' * 54}”: a rule has 200 characters at most."
    ]


def test_many_stars_take_no_time() -> None:
    # A backtracking pattern would not come back from this.
    assert not is_like("a" * 500, "*a" * 90 + "*b")
    assert is_like("a" * 500, "*a" * 90 + "*")


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, True),
        ({"allow_rules": "label:vip"}, True),
        ({"allow_rules": "label:gold"}, False),
        ({"allow_rules": "# nobody yet"}, True),
        # What is no rule lets nobody in; the form refuses it anyway.
        ({"allow_rules": "vip"}, False),
        ({"ignore_rules": "email:*@example.com"}, False),
        ({"ignore_rules": "vip"}, True),
        ({"allow_rules": "label:vip", "ignore_rules": "label:refund"}, False),
        ({"test_only": True}, False),
        ({"test_only": True, "test_rules": "contact:640"}, True),
        ({"test_rules": "contact:1"}, True),
        ({"test_only": True, "test_rules": "label:vip", "allow_rules": "x"}, False),
        (
            {
                "test_only": True,
                "test_rules": "contact:640",
                "ignore_rules": "phone:+49*",
            },
            False,
        ),
    ],
)
def test_who_is_answered(lists: dict[str, Any], expected: bool) -> None:
    assert is_for(Bot(**lists), ANNA) is expected
