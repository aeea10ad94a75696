"""What people and models write for a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatwoot_api.models import Agent, Inbox, Label, Team
from chatwoot_api.names import Ambiguous, fold, names_of, number_of, pick
from chatwoot_api.settings_payloads import AgentRow, InboxRow, LabelRow, TeamRow

TEAMS = [
    TeamRow(id=3, name="support"),
    TeamRow(id=7, name="second line"),
    TeamRow(id=12, name="отдел королёв"),
    TeamRow(id=40, name="12"),
    TeamRow(id=41, name="none"),
]
AGENTS = [
    AgentRow(id=1, name="Ada Admin", available_name="Ada", email="ada@shop.test"),
    AgentRow(id=2, name="Anna Berg", available_name="Anna", email="a.berg@shop.test"),
    AgentRow(id=5, name="Anna Weiß", available_name="Anna", email="a.weiss@shop.test"),
    AgentRow(id=6, name="anna", available_name="", email=""),
]


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("  Second \u00a0 LINE\n", "second line"),
        ("Королёв", "королев"),
        ("КОРОЛЕ\u0308В", "королев"),
        ("Straße", "strasse"),
        ("ＶＩＰ", "vip"),
        ('"Support"', "support"),
        ("«Поддержка»", "поддержка"),
        ("“'Support'”", "support"),
        ('"', '"'),
        ('""', ""),
        ("it's", "it's"),
        ("", ""),
    ],
)
def test_folds_what_does_not_matter(written: str, folded: str) -> None:
    assert fold(written) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("Support", 3),
        ("'support' ", 3),
        ("SECOND  LINE", 7),
        ("Отдел Королев", 12),
        (7, 7),
        ("7", 7),
        ("#7", 7),
        ("second line (#7)", 7),
        # A team of just this name comes before the number.
        ("12", 40),
        ("#12", 12),
        (12, 12),
        ("None", 41),
        ("sup", None),
        ("second-line", None),
        ("", None),
        ('""', None),
        ("99", None),
        ("support (#99)", None),
        (99, None),
        ("9" * 30, None),
        ("٣", None),
    ],
)
def test_finds_a_team(wanted: str | int, number: int | None) -> None:
    team = pick(TEAMS, wanted)

    assert (team.id if team else None) == number


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("ОтделКоролев", 12),
        ("SecondLine", 7),
        ("sup port", 3),
        ("no ne", 41),
        (" ", None),
    ],
)
def test_finds_a_team_written_with_other_spaces(
    wanted: str, number: int | None
) -> None:
    team = pick(TEAMS, wanted)

    assert (team.id if team else None) == number


def test_spaces_make_a_difference_where_both_are_there() -> None:
    teams = [TeamRow(id=1, name="on call"), TeamRow(id=2, name="oncall")]

    assert pick(teams, "On Call") is teams[0]
    assert pick(teams, "OnCall") is teams[1]
    with pytest.raises(Ambiguous) as caught:
        pick(teams, "on ca ll")
    assert caught.value.names == ["on call (#1)", "oncall (#2)"]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("Ada", 1),
        ("ada admin", 1),
        ("ADA@shop.test", 1),
        ("anna weiss", 5),
        ("Anna Berg (#2)", 2),
        # Written just so, it is the one of the three.
        ("anna", 6),
    ],
)
def test_finds_an_agent_by_any_name(wanted: str, number: int) -> None:
    agent = pick(AGENTS, wanted)

    assert agent is not None
    assert agent.id == number


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("Anna", ["Anna Berg (#2)", "Anna Weiß (#5)"]),
        ("ANNA", ["Anna Berg (#2)", "Anna Weiß (#5)", "anna (#6)"]),
    ],
)
def test_does_not_guess_between_two(wanted: str, names: list[str]) -> None:
    with pytest.raises(Ambiguous) as caught:
        pick(AGENTS, wanted)

    assert caught.value.names == names
    assert [pick(AGENTS, name) for name in names] == [
        row for row in AGENTS if f"(#{row.id})" in " ".join(names)
    ]


@pytest.mark.parametrize(
    "row",
    [
        Team(pk=99, chatwoot_team_id=3, name="a"),
        Label(pk=99, chatwoot_label_id=3, title="a"),
        Inbox(pk=99, chatwoot_inbox_id=3, name="a"),
        Agent(pk=99, chatwoot_agent_id=3, name="a"),
        TeamRow(id=3, name="a"),
        LabelRow(id=3, title="a"),
        InboxRow(id=3, name="a"),
    ],
)
def test_numbers_are_chatwoots(row: Team | Label | Inbox | Agent | TeamRow) -> None:
    assert (number_of(row), list(names_of(row))) == (3, ["a"])
    assert pick([row], "3") is pick([row], "A") is row
    assert pick([row], 99) is None
