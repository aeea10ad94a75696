"""Whatever a flow writes, the readers of arguments keep their promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_project.lib.types import JsonValue
from dify_api.arguments import (
    Misread,
    as_bool,
    as_int,
    as_list,
    as_object,
    as_text,
    as_texts,
    cleaned,
    is_not_set,
)
from dify_api.tests.test_arguments import READERS

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["None", "a, b", "{{#a.b#}}", "['", "[None]", '{"a": 1}', "sys.x"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
NOTHING = st.sampled_from(
    [
        None,
        "",
        "None",
        "null",
        "nil",
        "undefined",
        "NaN",
        "N/A",
        "-",
        "{{#conversation.region#}}",
        "{{ region }}",
        "conversation.region",
        "sys.query",
        "1719212345678.text",
    ]
)
# No quotes, escapes or brackets, so that each may stand in a text as it is.
WORDS = st.text("abcxyzé ё1", min_size=1, max_size=8).filter(lambda text: text.strip())


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(WORDS, inner, max_size=3),
        inner.map(json.dumps),
        inner.map(repr),
        st.lists(inner, max_size=3).map(repr),
        st.tuples(st.sampled_from([" ", "\n", "\t", "\u00a0"]), inner).map(
            lambda pair: f"{pair[0]}{'' if pair[1] is None else pair[1]}{pair[0]}"
        ),
    )


@given(st.recursive(NOTHING, wrapped, max_leaves=6))
def test_nothing_wrapped_is_nothing(value: JsonValue) -> None:
    assert is_not_set(value)
    assert cleaned(value) is None


@given(
    NOTHING.filter(lambda value: value is not None),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
)
def test_nothing_in_any_case_is_nothing(
    value: str, change: Callable[[str], str]
) -> None:
    assert is_not_set(change(value))


@given(NOTHING, WORDS, st.booleans())
def test_nothing_with_other_words_is_a_text(
    value: str | None, word: str, first: bool
) -> None:
    text = f"{word}: {value}" if first else f"{value} {word.strip()}!"
    assert not is_not_set(text)
    assert as_text(text) == text.strip()


def check(value: JsonValue) -> None:
    """Each reader answers or refuses; None means not set, or a list without texts."""
    unset = is_not_set(value)
    for read in READERS:
        try:
            result = read(value)
        except Misread:
            assert not unset
        else:
            assert (result is None) == unset or read is as_texts


@given(VALUES)
def test_readers_raise_nothing_but_misread(value: Any) -> None:
    check(value)


@given(st.text("[]{}(),:\"'\\ \nNoneax0.-#/u", max_size=60))
def test_broken_texts_raise_nothing_but_misread(text: str) -> None:
    check(text)


PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS.map(str.strip)
    | st.text(max_size=10).map(lambda text: f"it's {text}.").filter(str.isprintable),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(WORDS.map(str.strip), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(WORDS.map(str.strip), PLAIN, min_size=1, max_size=4))
def test_objects_survive_either_spelling(value: dict[str, Any]) -> None:
    assert as_object(value) == value
    assert as_object(json.dumps(value)) == value
    assert as_object(json.dumps(value, ensure_ascii=False, indent=1)) == value
    assert as_object(repr(value)) == value


@given(st.lists(PLAIN, min_size=1, max_size=4))
def test_lists_survive_either_spelling(value: list[Any]) -> None:
    assert as_list(value) == value
    assert as_list(json.dumps(value)) == value
    assert as_list(repr(value)) == value


@given(st.lists(st.none() | st.integers() | st.text(max_size=10), max_size=5))
def test_texts_survive_either_spelling(value: list[Any]) -> None:
    meant = as_texts(value)
    assert as_texts(repr(value)) == meant
    assert as_texts(json.dumps(value)) == meant


@given(st.lists(WORDS.map(str.strip), min_size=1, max_size=5))
def test_comma_separated_texts_are_a_list(words: list[str]) -> None:
    assert as_texts(", ".join(words)) == list(dict.fromkeys(words))


@given(st.booleans(), st.integers(-(10**15) + 1, 10**15 - 1))
def test_booleans_and_numbers_survive_as_text(yes: bool, number: int) -> None:
    assert as_bool(str(yes)) is yes
    assert as_bool(json.dumps(yes)) is yes
    assert as_int(str(number)) == number
    assert as_text(number) == str(number)


# The time limit of each test is what a quadratic reader would run into.
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        "{" * 100_000,
        "{{" * 50_000,
        "{{}}" * 25_000 + "x",
        "{{} " * 25_000,
        "((" * 50_000,
        "[" + "-" * 99_000 + "1]",
        "[" + "not " * 24_000 + "1]",
        '"' * 100_000,
        "'\"" * 50_000,
        '["' + "\\" * 99_000 + '"]',
        '["' * 50_000,
        "[" + "'a'," * 24_000 + "]",
        "[" + "a " * 49_000 + "]",
        "[" + " " * 99_000 + "]",
        "http://a" + " ," * 49_000 + "b",
        "," * 100_000,
        "a.b" * 33_000,
        "sys" + ".a" * 49_000 + "!",
        "9" * 100_000,
        "[" + "9" * 99_000 + "]",
        "[" + "1e" * 49_000 + "]",
    ],
    ids=lambda text: f"{text[:8]}…",
)
@pytest.mark.timeout(10)
def test_hostile_texts_are_read_in_linear_time(text: str) -> None:
    check(text)


def test_a_value_nested_beyond_reason_is_nothing_or_refused() -> None:
    deep: JsonValue = None
    for _ in range(20_000):
        deep = [deep]
    assert [read(deep) for read in READERS] == [None] * len(READERS)
    deep = 1
    for _ in range(20_000):
        deep = {"a": deep}
    assert not is_not_set(deep)
    for read in (cleaned, as_text, as_texts, as_object, as_list):
        with pytest.raises(Misread):
            read(deep)
