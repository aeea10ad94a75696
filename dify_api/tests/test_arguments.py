"""What flows write into arguments is read as what it means."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

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

READERS: tuple[Callable[[JsonValue], Any], ...] = (
    cleaned,
    as_bool,
    as_int,
    as_text,
    as_texts,
    as_object,
    as_list,
)
DEEP = "[" * 60 + "]" * 60

NOT_SET: list[JsonValue] = [
    # 8a: None in a text, a list without members, a file, all of them rendered as "".
    None,
    "",
    "  \n\t ",
    "\u00a0",
    "\ufeff",
    # The words: Python's repr of nested data, Template and Code nodes, older versions.
    "None",
    "none",
    "NONE",
    "null",
    "nil",
    "undefined",
    "NaN",
    float("nan"),
    "N/A",
    "n/a",
    "-",
    "—",
    " None ",
    # Quoted by an author, or twice by a template.
    '"None"',
    "'null'",
    '""',
    "`None`",
    "\"'None'\"",
    '"\\"None\\""',
    # 8a: a name that Dify does not render stays a template.
    "{{#sys.conversation_id#}}",
    "{{#1719212345678.a_name_of_more_than_thirty_letters#}}",
    "{{region}}",
    "{{ a }}, {{ b }}",
    "{{}}",
    # 8a: an unknown variable is its own path.
    "conversation.foo",
    "sys.conversation_id",
    "SYS.QUERY",
    "env.bridge_api_url",
    "1719212345.text",
    "1719212345678.structured_output.region",
    # 8a: lists and objects of nothing else; JSON, Python's repr, null rendered as "".
    [],
    {},
    [None],
    ["", "None", []],
    {"a": None, "b": {"c": "null"}},
    "[]",
    "{}",
    "[null]",
    "[None, None]",
    "[{'a': None}]",
    '[{"a": null}]',
    "[null, None, nan, undefined]",
    "[,]",
    "[, ]",
    '{"region": }',
    '["{{#conversation.foo#}}"]',
    "[{{#conversation.foo#}}]",
    '{"team": conversation.foo}',
    "[('None',)]",
    "{'None'}",
    '"[None]"',
    '["[null]"]',
    # 8b: what a tool passes for a parameter that the model left out.
    [[None]],
]


@pytest.mark.parametrize("value", NOT_SET, ids=repr)
def test_nothing_is_meant(value: JsonValue) -> None:
    assert is_not_set(value)
    assert [read(value) for read in READERS] == [None] * len(READERS)


@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        False,
        "0",
        "False",
        "None of your business",
        "n/a means not available",
        "NA",
        "nonexistent",
        "--- cut here ---",
        "Dear {{ contact.name }}",
        "{{a}} and {{b}}",
        "conversation.id is 5",
        "conversation",
        "conversations.example",
        "conversation.foo@shop.example",
        "shop.example",
        "https://shop.example/env.html",
        "system.query",
        "sys.2",
        "3.14",
        "12.50",
        "10.jpg",
        "1719212345",
        "[sic]",
        "{",
        "]",
        "[None",
        "[None, 'a']",
        '{"a": 0}',
        "[[],[],[False]]",
        [None, 0],
        {"a": [{"b": False}]},
        DEEP,
        float("inf"),
        "Ничего",
    ],
    ids=repr,
)
def test_something_is_meant(value: JsonValue) -> None:
    assert not is_not_set(value)


# One row for each rendering of 8a's table and each passing of 8b's.
READ: list[tuple[Callable[[JsonValue], Any], JsonValue, Any]] = [
    # True / False: unquoted and quoted.
    (as_bool, True, True),
    (as_bool, False, False),
    (as_bool, "True", True),
    (as_bool, "False", False),
    (as_bool, "true", True),
    (as_bool, '"true"', True),
    (as_bool, " yes ", True),
    (as_bool, "No", False),
    (as_bool, "on", True),
    (as_bool, "off", False),
    (as_bool, 1, True),
    (as_bool, 0, False),
    (as_bool, 1.0, True),
    (as_bool, "1", True),
    (as_bool, "0", False),
    (as_bool, "1.0", True),
    # 5, 1.5
    (as_int, 5, 5),
    (as_int, "5", 5),
    (as_int, "5.0", 5),
    (as_int, 5.0, 5),
    (as_int, " -5 ", -5),
    (as_int, "+5", 5),
    (as_int, "'5'", 5),
    (as_int, 0, 0),
    (as_text, 5, "5"),
    (as_text, 1.5, "1.5"),
    (as_text, True, "true"),
    (as_text, " two words ", "two words"),
    (as_text, '"quoted"', '"quoted"'),
    (as_text, "a\x00b\ud800", "a\ufffdb\ufffd"),
    # An object where a text is wanted, and a list.
    (as_text, {"a": "ü", "b": None}, '{"a": "ü"}'),
    (as_text, ["a", "None", 1], '["a", 1]'),
    (as_text, "[None, 'a']", "[None, 'a']"),
    # object: JSON, null stays null.
    (as_object, {"region": "North", "tier": None}, {"region": "North"}),
    (as_object, '{"region": "North", "tier": null}', {"region": "North"}),
    (as_object, '{"a": {"b": [1, null], "c": ""}}', {"a": {"b": [1]}}),
    # 8b: a dict given for a string is Python's repr.
    (as_object, "{'a': 1, 'b': None, 'c': True}", {"a": 1, "c": True}),
    (as_object, "{'it': \"it's\"}", {"it": "it's"}),
    (as_object, '"{\\"a\\": 1}"', {"a": 1}),
    (as_object, '{"a": , "b": 1}', {"b": 1}),
    (as_object, "{region: North West, age: 5}", {"region": "North West", "age": 5}),
    (as_object, {" a ": " b "}, {"a": "b"}),
    (as_object, {"a": False, "b": 0}, {"a": False, "b": 0}),
    # array[string]: JSON
    (as_texts, ["a", "b"], ["a", "b"]),
    (as_texts, '["a", "b"]', ["a", "b"]),
    (as_texts, '["a"]', ["a"]),
    # array[any]: Python's repr
    (as_texts, "['a', None]", ["a"]),
    (as_texts, "['a', \"it's\", 2, 1.5, True]", ["a", "it's", "2", "1.5", "true"]),
    (as_texts, "('a', 'b')", ["('a'", "'b')"]),
    # array[number]
    (as_texts, "[1, 2]", ["1", "2"]),
    (as_texts, 7, ["7"]),
    # Written by hand or by a model.
    (as_texts, "a, b", ["a", "b"]),
    (as_texts, "a,,b,", ["a", "b"]),
    (as_texts, "a\nb", ["a", "b"]),
    (as_texts, "two words", ["two words"]),
    (as_texts, "a, None, n/a, a", ["a"]),
    (as_texts, "None, null", None),
    (as_texts, ",", None),
    (as_texts, '"a, b"', ["a, b"]),
    (as_texts, '"a", "b"', ["a", "b"]),
    (as_texts, "'tis, 'twas", ["'tis", "'twas"]),
    (as_texts, "[North, South West]", ["North", "South West"]),
    (as_texts, "[, b]", ["b"]),
    (as_texts, ["a", " a ", "b", ["c", ["a"]]], ["a", "b", "c"]),
    (as_texts, ['["a", "b"]'], ["a", "b"]),
    (as_texts, ["a, b"], ["a, b"]),
    (as_texts, "['a, b']", ["a, b"]),
    (as_texts, ["{{#x.y#}}", "a"], ["a"]),
    (as_texts, "e\u0301t\u00e9", ["e\u0301t\u00e9"]),
    (as_texts, r'["\u00e9\ud83d\ude00"]', ["é😀"]),
    (as_texts, r"['\xe9\U0001f600\n']", ["é😀"]),
    (as_texts, "https://a.example/w_1,h_2.jpg", ["https://a.example/w_1,h_2.jpg"]),
    (
        as_texts,
        "https://a.example/x,y.jpg, https://b.example/z.jpg",
        ["https://a.example/x,y.jpg", "https://b.example/z.jpg"],
    ),
    (
        as_texts,
        "[https://a.example/x.jpg, https://b.example:8443/z.jpg]",
        ["[https://a.example/x.jpg", "https://b.example:8443/z.jpg]"],
    ),
    (as_texts, "[https://a.example/x.jpg]", ["https://a.example/x.jpg"]),
    (as_list, [1, None, {"a": None}], [1]),
    (as_list, '[{"title": "A", "value": null}]', [{"title": "A"}]),
    (as_list, "[{'title': 'A'}, {'title': None}]", [{"title": "A"}]),
    (as_list, {"title": "A"}, [{"title": "A"}]),
    (as_list, "{'title': 'A'}", [{"title": "A"}]),
    (cleaned, "  a ", "a"),
    (cleaned, ["a", None, {"b": "-"}, []], ["a"]),
    (cleaned, "['a', None]", "['a', None]"),
    (cleaned, 0, 0),
    (cleaned, False, False),
]


@pytest.mark.parametrize(("read", "value", "meant"), READ)
def test_what_is_meant(
    read: Callable[[JsonValue], Any], value: JsonValue, meant: Any
) -> None:
    result = read(value)
    assert result == meant
    assert type(result) is type(meant)


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (as_bool, "maybe", "“maybe” was sent, which is not true or false. Send true"),
        (as_bool, 2, "“2” was sent"),
        (as_bool, [True], "A list of 1 was sent"),
        (as_int, "five", "“five” was sent, which is not a whole number."),
        (as_int, 5.5, "“5.5” was sent"),
        (as_int, True, "“True” was sent"),
        (as_int, "9" * 5000, f"“{'9' * 80}…” was sent"),
        (as_int, 1e300, "“1e+300” was sent"),
        (as_int, {"a": 1}, "An object of 1 was sent"),
        (as_texts, {"a": 1}, "An object of 1 was sent, which is not a list of texts"),
        (as_texts, ["a", {"b": 1}], "A list of 2 was sent"),
        (as_object, "North", "“North” was sent, which is not an object"),
        (as_object, "['a']", "“['a']” was sent"),
        (as_object, "{" * 200, "“{{{"),
        (as_object, "[" * 100_001, "The text has 100001 characters"),
        (as_list, "a, b", "“a, b” was sent, which is not a list"),
        (as_list, 5, "“5” was sent"),
        (as_text, float("inf"), "“inf” was sent, which is not a finite number."),
        (cleaned, json.loads("[" * 60 + "1" + "]" * 60), "nested more than 50 levels"),
    ],
)
def test_what_cannot_be_meant(
    read: Callable[[JsonValue], Any], value: JsonValue, message: str
) -> None:
    with pytest.raises(Misread) as refused:
        read(value)
    assert message in refused.value.message
