"""Whom the customer chose: where the choice is looked up, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge_project.lib.types import JsonObject
from conversations import support_mode
from conversations.models import Bot
from conversations.support_mode import Choice


def chosen(value: Any, **settings: Any) -> str:
    return support_mode.chosen(Bot(**settings), {"support_mode": value})


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        ("bot", "bot"),
        ("AI агент", "bot"),
        ("  ai\u00a0Агент ", "bot"),
        ("AIAgent", "bot"),
        ("Assistant\u200b", "bot"),
        ("ИИ", "bot"),
        ("human", "human"),
        ("Человек", "human"),
        ("OPERATOR", "human"),
        (["", "bot"], "bot"),
        ("robot", "unknown"),
        ("bot or human", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
        ({"value": "bot"}, "unknown"),
        ([], "unknown"),
        (1, "unknown"),
        (True, "unknown"),
    ],
)
def test_reads_values_by_the_tables_of_the_start(value: Any, choice: str) -> None:
    assert chosen(value) == choice


@pytest.mark.parametrize(
    "typed", ["Живой человёк", "живой человек", "Живой челове\u0308к"]
)
def test_an_io_may_be_typed_without_its_dots(typed: str) -> None:
    assert chosen(typed, support_mode_human_values="Живой человек") == Choice.HUMAN
    assert chosen(typed, support_mode_bot_values="живой человёк") == Choice.BOT


@pytest.mark.parametrize(
    ("value", "choice"), [(True, "bot"), (False, "human"), (1, "bot"), (2.5, "human")]
)
def test_checkboxes_and_numbers_can_be_listed(value: Any, choice: str) -> None:
    tables = {
        "support_mode_bot_values": "true\n1",
        "support_mode_human_values": "False\n2.5",
    }

    assert chosen(value, **tables) == choice


def test_each_bot_has_tables_of_its_own() -> None:
    assert chosen("Chatty", support_mode_bot_values="chatty\n\n") == Choice.BOT
    assert chosen("bot", support_mode_bot_values="") == Choice.UNKNOWN


@pytest.mark.parametrize(
    ("sources", "choice"),
    [
        # conversation custom, conversation additional, contact custom, and additional
        (("bot", "human", "human", "human"), "bot"),
        ((None, "human", "bot", "bot"), "human"),
        (("", None, "bot", "human"), "bot"),
        ((None, "", {}, "human"), "human"),
        # What is set but unknown decides: nobody knows what was meant.
        (("something", "bot", "bot", "bot"), "unknown"),
        ((None, None, None, None), "unknown"),
    ],
)
def test_the_first_place_that_has_it_decides(
    sources: tuple[Any, ...], choice: str
) -> None:
    bot = Bot()
    found: list[JsonObject] = [{"support_mode": value} for value in sources]

    assert support_mode.chosen(bot, *found) == choice


def test_another_name_can_be_set_or_several() -> None:
    bot = Bot(support_mode_attribute="preferred_channel, support_mode")

    assert support_mode.chosen(bot, {"support_mode": "human"}) == Choice.HUMAN
    both: JsonObject = {"support_mode": "human", "preferred_channel": "bot"}
    assert support_mode.chosen(bot, both) == Choice.BOT
    # The place counts more than the name.
    assert (
        support_mode.chosen(
            bot, {"support_mode": "human"}, {"preferred_channel": "bot"}
        )
        == Choice.HUMAN
    )


def test_tells_whether_it_is_set_at_all() -> None:
    bot = Bot()

    assert support_mode.is_set(bot, {}, {"support_mode": "whatever"})
    assert support_mode.is_set(bot, {"support_mode": False})
    assert not support_mode.is_set(bot, {"other": "bot"}, {"support_mode": None})
    assert not support_mode.is_set(Bot(support_mode_attribute=""), {"": "bot"})


def test_the_examples_values_stand_in_the_tables() -> None:
    path = Path(__file__).parents[2] / "examples" / "support_mode.yml"
    (attribute,) = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert [chosen(value) for value in attribute["values"]] == [
        Choice.BOT,
        Choice.HUMAN,
        Choice.BOT,
        Choice.HUMAN,
    ]
