"""What a run's text means: plain, JSON with choices, files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations import answers
from conversations.choices import chosen_by_number
from conversations.models import Bot, PipelineRun
from conversations.rich import Rich

YES_NO: tuple[JsonObject, ...] = (
    {"title": "Yes", "value": "Yes"},
    {"title": "No", "value": "It is not damaged"},
)


def read(answer: str, **values: Any) -> answers.Answer:
    return answers.read(PipelineRun(answer=answer, **values), bot=Bot())


def test_text_is_left_alone() -> None:
    answer = read("Dear Anna,\n\n  {not JSON}  ")

    assert answer == answers.Answer(text="Dear Anna,\n\n  {not JSON}  ")


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "\n```\n{}\n```\n"])
def test_a_json_answer_has_buttons(fence: str) -> None:
    buttons = ["Yes", {"title": "No", "value": "It is not damaged"}]
    told = json.dumps({"text": "Is it **damaged**?", "buttons": buttons}, indent=1)

    answer = read(fence.replace("{}", told))

    assert answer.text == "Is it **damaged**?"
    assert answer.choices == Rich(content_type="input_select", items=YES_NO)
    assert answer.notes == ()


def test_a_json_answer_has_cards() -> None:
    card: JsonObject = {
        "title": "Tent",
        "actions": [{"type": "link", "text": "Shop", "uri": "https://shop.test/t"}],
    }

    answer = read(json.dumps({"cards": [card]}))

    assert answer.text == ""
    assert answer.choices == Rich(content_type="cards", items=(card,))
    assert not answer.is_empty


@pytest.mark.parametrize("name", ["fields", "items"])
def test_a_json_answer_has_a_form(name: str) -> None:
    field: JsonObject = {"name": "street", "label": "Street", "type": "text"}
    form = {name: [field], "button": "Send"}

    answer = read(json.dumps({"text": "Where to?", "form": form}))

    assert answer.choices == Rich(
        content_type="form", items=(field,), button_label="Send"
    )


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        ({"cards": [{"title": "Tent"}]}, "needs “actions”"),
        ({"buttons": [{"label": "Yes"}]}, "has the unknown key label"),
        ({"buttons": ["x"] * 101}, "holds 101 values"),
        ({"form": [{"name": "a", "label": "A", "type": "date"}]}, "a type other than"),
        ({"cards": "a card"}, "left out"),
    ],
)
def test_what_chatwoot_would_refuse_leaves_the_text(
    broken: dict[str, Any], note: str
) -> None:
    answer = read(json.dumps({"text": "Is it damaged?", **broken}))

    assert (answer.text, answer.choices) == ("Is it damaged?", None)
    (told,) = answer.notes
    assert told.startswith("The JSON answer's items were left out. ")
    assert note in told


@pytest.mark.parametrize(
    "data",
    [
        '{"order": 1042}',
        "{}",
        "[1, 2]",
        '{"text": "half',
        '{"text": ""}',
        "{" * 60_000 + "}",
        '{"a":' * 20_000 + "1" + "}" * 20_000,
        "```json\nno json\n```",
    ],
)
def test_other_json_is_the_answer_as_it_is(data: str) -> None:
    assert read(data) == answers.Answer(text=data)


def test_a_json_answer_of_text_alone_is_its_text() -> None:
    assert read('{"text": "Hello", "language": "en"}') == answers.Answer(text="Hello")


def test_broken_items_without_a_text_are_shown_as_they_came() -> None:
    data = '{"cards": [{"title": "Tent"}]}'

    answer = read(data)

    assert (answer.text, answer.choices) == (data, None)
    assert len(answer.notes) == 1


def test_files_are_those_of_the_run_and_those_in_the_text() -> None:
    text = (
        "![tent](/files/tools/a.png?sign=1) and [the report](https://d.test/files/r.pdf"
        "?timestamp=1&nonce=2&sign=3), ![x](https://img.test/x(1).png 'title') "
        "[a page](https://shop.test/files/tents) `![code](https://img.test/y.png)`\n"
        "```\n![more](https://img.test/z.png)\n```\n"
        "![again](https://img.test/x(1).png) ![no](data:image/png;base64,AA==)"
    )
    files = [
        {"url": "/files/tools/a.png?sign=9", "filename": "a.png", "kind": "image"},
        {"url": ""},
        "odd",
    ]

    answer = read(text, files=files)

    assert answer.text == text
    assert [(file.url, file.name) for file in answer.files] == [
        ("/files/tools/a.png?sign=9", "a.png"),
        ("https://d.test/files/r.pdf?timestamp=1&nonce=2&sign=3", ""),
        ("https://img.test/x(1).png", ""),
    ]


def test_a_file_alone_is_an_answer() -> None:
    assert not read("", files=[{"url": "/files/tools/a.png?sign=9"}]).is_empty
    assert read(" \n").is_empty


@pytest.mark.parametrize("text", ["2", " 2.", "#2", "(2)", "2)"])
def test_a_number_chooses(text: str) -> None:
    rich: JsonObject = {"content_type": "input_select", "items": list(YES_NO)}

    assert chosen_by_number(text, rich) == "No (It is not damaged)"


@pytest.mark.parametrize("text", ["0", "3", "2 tents", "two", "", "²", "-1", "22222"])
def test_no_other_text_chooses(text: str) -> None:
    rich: JsonObject = {"content_type": "input_select", "items": list(YES_NO)}

    assert chosen_by_number(text, rich) == ""


def test_a_number_chooses_nothing_of_cards() -> None:
    assert chosen_by_number("1", {"content_type": "cards", "items": [{}]}) == ""
    assert chosen_by_number("1", {}) == ""


def test_our_tokens_are_masked_however_they_are_spelt() -> None:
    """The run's text is masked, but JSON has escapes."""
    token = "bridge-conv-" + "a" * 40
    spelt = json.dumps({"text": f"It is {token}", "buttons": [token]})

    answer = read(spelt.replace("bridge", "\\u0062ridge"))

    assert answer.text == "It is [secret]"
    items: tuple[JsonObject, ...] = ({"title": "[secret]", "value": "[secret]"},)
    assert answer.choices == Rich(content_type="input_select", items=items)


def test_what_no_database_takes_is_not_in_a_json_answer() -> None:
    answer = read('{"text": "a\\u0000b\\ud800", "buttons": ["x\\u0000"]}')

    assert answer.text == "a\ufffdb\ufffd"
    items: tuple[JsonObject, ...] = ({"title": "x\ufffd", "value": "x\ufffd"},)
    assert answer.choices == Rich(content_type="input_select", items=items)


@pytest.mark.parametrize("key", ["text", "buttons", "cards", "form"])
@pytest.mark.parametrize("depth", [100, 300, 480, 900, 100_000])
def test_a_json_answer_of_brackets_is_an_answer_all_the_same(
    key: str, depth: int
) -> None:
    told = f'{{"{key}": {"[" * depth}1{"]" * depth}}}'

    answer = read(told)

    assert not answer.is_empty
