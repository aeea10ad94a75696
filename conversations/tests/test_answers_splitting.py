"""Where an answer is cut into messages; nothing of it is lost, whatever it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.answers.channels import Shows, characters, utf8_bytes, utf16_units
from conversations.answers.shaping import blocks
from conversations.answers.splitting import MAX_PARTS, SizeOf, parts_of

PARAGRAPH = "The seam is covered by the warranty, and so is the zip. " * 4


def split(
    text: str,
    *,
    wanted: bool = True,
    max_size: int = 100_000,
    size_of: SizeOf = characters,
    shows: Shows = Shows.MARKDOWN,
) -> list[str]:
    return parts_of(
        blocks(text, shows=shows), wanted=wanted, max_size=max_size, size_of=size_of
    )


def paragraphs(count: int) -> str:
    return "\n\n".join(f"{number}. part. {PARAGRAPH}" for number in range(1, count + 1))


def test_a_short_answer_is_one_message() -> None:
    assert split("One.\n\nTwo.\n\nThree.") == ["One.\n\nTwo.\n\nThree."]


def test_nothing_is_one_message_of_none() -> None:
    assert split(" \n\n") == []


def test_a_long_answer_is_cut_at_blank_lines() -> None:
    parts = split(f"{PARAGRAPH}\n\n{PARAGRAPH}\n\n{PARAGRAPH}\n\n{PARAGRAPH}")

    assert parts == [f"{PARAGRAPH}\n\n{PARAGRAPH}"] * 2


def test_it_is_one_message_where_splitting_is_off() -> None:
    text = f"{PARAGRAPH}\n\n{PARAGRAPH}\n\n{PARAGRAPH}"

    assert split(text, wanted=False) == [text]


def test_there_are_six_messages_at_most() -> None:
    text = "\n\n".join(PARAGRAPH + str(number) for number in range(40))

    parts = split(text)

    assert len(parts) == MAX_PARTS
    assert "\n\n".join(parts) == text


@pytest.mark.parametrize(
    "whole",
    [
        "```python\n" + "x = 1\n\n\n" * 120 + "```",
        "- " + "\n\n- ".join(["an item of a list, " * 3] * 12),
        "| A | B |\n|---|---|\n" + "| a cell | another |\n" * 40,
        "> " + "\n>\n> ".join(["a quote of somebody, " * 3] * 12),
    ],
    ids=["code", "list", "table", "quote"],
)
def test_code_lists_tables_and_quotes_stay_whole(whole: str) -> None:
    parts = split(f"{PARAGRAPH}\n\n{whole}\n\n{PARAGRAPH}")

    assert whole.strip("\n") in parts


def test_a_title_stays_with_its_text_and_a_list_with_its_line() -> None:
    text = f"{PARAGRAPH}\n\n{PARAGRAPH}\n\n# Title\n\nThese:\n\n- {PARAGRAPH}\n- b"

    assert split(text)[-1].startswith("# Title\n\nThese:\n\n- ")


def test_what_no_message_can_hold_is_cut_also_where_splitting_is_off() -> None:
    parts = split(paragraphs(12), wanted=False, max_size=1600)

    assert [len(part) <= 1600 for part in parts] == [True] * len(parts)
    assert "\n\n".join(parts) == paragraphs(12)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    parts = split("A sentence of words. " * 100, wanted=False, max_size=500)

    assert {part.strip()[-6:] for part in parts} == {"words."}


def test_links_stay_whole() -> None:
    link = "[the terms of the shop](https://shop.test/terms/of/the/shop)"

    parts = split(f"Read {link} please, " * 30, wanted=False, max_size=200)

    assert sum(part.count(link) for part in parts) == 30


def test_code_that_is_too_long_is_code_in_each_message() -> None:
    code = "\n".join(f"print({number})" for number in range(200))

    parts = split(f"```python\n{code}\n```", wanted=False, max_size=500)

    assert len(parts) > 3
    assert all(len(part) <= 500 for part in parts)
    inside = [part.removeprefix("```python\n").removesuffix("\n```") for part in parts]
    assert "\n".join(inside) == code


WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["\n\n", "\n", " ", "- a", "1. b", "> c", "# d", "| e | f |\n|---|---|\n"]
        + ["[g](https://h.test/i)", "👍🏽", "Привет", "x" * 300, "`j k`", "***"]
    ),
)


def bare(text: str) -> str:
    """What has to come out again: all but blanks, which may fall into a cut."""
    return re.sub(r"\s", "", text)


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(WORDS, max_size=40).map("".join),
    wanted=st.booleans(),
    max_size=st.integers(20, 400),
    size_of=st.sampled_from([characters, utf16_units, utf8_bytes]),
)
def test_nothing_is_lost_and_no_message_is_too_long(
    text: str, wanted: bool, max_size: int, size_of: SizeOf
) -> None:
    parts = split(text, wanted=wanted, max_size=max_size, size_of=size_of)

    assert bare("".join(parts)) == bare(text.replace("\r", "\n"))
    assert [part for part in parts if size_of(part) > max_size] == []
    assert all(part.strip() for part in parts)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text("abc`# -", max_size=40), max_size=40),
    max_size=st.integers(40, 200),
)
def test_code_is_code_again_and_none_of_it_is_lost(
    lines: list[str], max_size: int
) -> None:
    code = "\n".join(lines)

    parts = split(f"~~~~\n{code}\n~~~~", wanted=False, max_size=max_size)

    assert bare("".join(part.replace("~~~~", "") for part in parts)) == bare(code)
    assert [part for part in parts if len(part) > max_size] == []
    assert all(part.startswith("~~~~\n") and part.endswith("\n~~~~") for part in parts)


@pytest.mark.parametrize("text", ["`a` " * 60_000, "https://a.b/ " * 20_000])
@pytest.mark.timeout(30)
def test_thousands_of_links_or_code_take_no_longer_than_words(text: str) -> None:
    parts = split(text, wanted=False, max_size=140_000)

    assert "".join(parts) == text
    assert all(part.endswith(" ") for part in parts)
