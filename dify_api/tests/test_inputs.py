"""What we know becomes what the app declares."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from dify_api.inputs import shape_inputs
from dify_api.payloads import InputField, parse_parameters
from dify_api.tests import recorded

REQUIRED = "input `x` is required by the app but has no value; "


def field(kind: str = "text-input", **own: Any) -> InputField:
    return InputField(variable="x", label="X", kind=kind, **own)


SELECT = field("select", options=("en", "Pt-BR"))


@pytest.mark.parametrize(
    ("declared", "value", "shaped"),
    [
        # Text: numbers, booleans and lists are refused (recordings inputs/09, 17, 18).
        (field(), "a", "a"),
        (field(), "", ""),
        (field(), 42, "42"),
        (field(), 1.5, "1.5"),
        (field(), True, "true"),
        (field(), False, "false"),
        (field(), ["a", "ü"], '["a", "ü"]'),
        (field(), {"a": None}, '{"a": null}'),
        (field(), "a\x00b", "ab"),
        (field("paragraph"), 7, "7"),
        (field(max_length=3), "abc", "abc"),
        # Number: numeric texts are taken (inputs/15), others refused (inputs/16).
        (field("number"), 7, 7),
        (field("number"), 7.5, 7.5),
        (field("number"), "7", 7),
        (field("number"), " -7.5 ", -7.5),
        (field("number"), "1e3", 1000.0),
        (field("number"), True, 1),
        # Select: must be an option, letter for letter.
        (SELECT, "en", "en"),
        (SELECT, "EN", "en"),
        (SELECT, " pt-br ", "Pt-BR"),
        (field("select", options=("1", "2")), 2, "2"),
        (field("checkbox"), True, True),
        (field("checkbox"), "Yes", True),
        (field("checkbox"), 1, True),
        (field("checkbox"), "off", False),
        (field("checkbox"), 0, False),
        # recording inputs/20
        (field("json_object"), {"a": [1]}, {"a": [1]}),
        (field("json_object"), '{"a": 1}', {"a": 1}),
    ],
)
def test_value_takes_the_declared_type(
    declared: InputField, value: Any, shaped: Any
) -> None:
    result = shape_inputs({"x": value}, fields=[declared])

    assert result.inputs == {"x": shaped}
    assert type(result.inputs["x"]) is type(shaped)
    assert result.notes == ()
    assert result.missing == ()


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (field(), None),
        (field("number"), ""),
        (SELECT, ""),
        (field("checkbox"), " "),
        (field("json_object"), ""),
        (field("file"), {"type": "image"}),
        (field("file-list"), []),
        (field("external_data_tool"), "a"),
        (field("brand_new"), "a"),
    ],
)
def test_optional_input_without_a_usable_value_is_left_out(
    declared: InputField, value: Any
) -> None:
    result = shape_inputs({"x": value}, fields=[declared])

    assert (result.inputs, result.notes, result.missing) == ({}, (), ())


@pytest.mark.parametrize(
    ("declared", "value", "wanted"),
    [
        (field("number"), "many", "a number"),
        (field("number"), float("nan"), "a number"),
        (field("number"), "inf", "a number"),
        (field("number"), [1], "a number"),
        (SELECT, "ru", "one of the app's options"),
        (field("checkbox"), "maybe", "true or false"),
        (field("checkbox"), 2, "true or false"),
        (field("json_object"), "[1]", "a JSON object"),
        (field("json_object"), "{", "a JSON object"),
        (field("json_object"), 5, "a JSON object"),
    ],
)
def test_unfit_value_is_left_out_and_noted(
    declared: InputField, value: Any, wanted: str
) -> None:
    result = shape_inputs({"x": value}, fields=[declared])

    assert result.inputs == {}
    assert result.notes == (f"input `x` was left out: its value is not {wanted}",)


def test_too_long_text_is_cut_and_noted() -> None:
    """Recording inputs/13: one character too many, and the message is refused."""
    result = shape_inputs({"x": "🙂" * 49}, fields=[field(max_length=48)])

    assert result.inputs == {"x": "🙂" * 48}
    assert result.notes == (
        "input `x` was cut to the 48 characters that the app allows",
    )


@pytest.mark.parametrize("value", [None, ...])
@pytest.mark.parametrize(
    ("declared", "shaped", "note"),
    [
        # Recordings inputs/10, 11: null is refused, an empty text is not.
        (field(required=True), "", "an empty one was sent"),
        (field("paragraph", required=True), "", "an empty one was sent"),
        (field(required=True, default="d"), "d", "its default was sent"),
        (field(required=True, default=""), "", "an empty one was sent"),
        (field("number", required=True, default="5"), 5, "its default was sent"),
        (field("number", required=True), "", "an empty one was sent"),
        (field("checkbox", required=True), False, "an empty one was sent"),
        (field("json_object", required=True), {}, "an empty one was sent"),
        (
            field("select", required=True, options=("en",), default="en"),
            "en",
            "its default was sent",
        ),
    ],
)
def test_required_input_without_a_value_gets_one(
    declared: InputField, shaped: Any, note: str, value: Any
) -> None:
    wanted = {} if value is ... else {"x": value}

    result = shape_inputs(wanted, fields=[declared])

    assert result.inputs == {"x": shaped}
    assert result.notes == (REQUIRED + note,)
    assert result.missing == ()


@pytest.mark.parametrize(
    "declared",
    [
        field("select", required=True, options=("en", "de")),
        field("select", required=True, options=("en",), default="gone"),
        field("file", required=True),
    ],
)
def test_required_input_that_cannot_be_made_up_is_missing(declared: InputField) -> None:
    result = shape_inputs({}, fields=[declared])

    assert result.inputs == {}
    assert result.missing == ("x",)
    assert result.notes[-1] == f"{REQUIRED}Dify will refuse it"


def test_only_declared_inputs_are_sent() -> None:
    parameters = parse_parameters(recorded.body("1.14.2/meta/08_parameters_inputs"))
    wanted: JsonObject = {
        "chatwoot_conversation_id": 42,
        "conversation_status": "open",
        "contact_email": "ana@example.com",
    }

    result = shape_inputs(wanted, fields=parameters.inputs)

    assert result.inputs == {
        "chatwoot_conversation_id": "42",
        "conversation_status": "open",
    }
    assert result.notes == ()
