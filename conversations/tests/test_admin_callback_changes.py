"""What one line says of a callback: what it changed, or why it did not."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations.admin.callback_changes import Change, changes, in_short, is_unchanged
from conversations.models import Callback


def line(**values: Any) -> str:
    """Return the line of a callback that was not stored."""
    callback = Callback(**{"status": "success", **values})
    return in_short(callback, answer=callback.answer)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"team": None}, {"team": "sales"}, "team – → sales"),
        (
            {"labels_add": ["a"], "labels_remove": ["a", "b"], "status": "pending"},
            {"labels_add": ["a", "b"], "labels_remove": ["b"], "status": "open"},
            "labels a → a, b; labels a, b → b; status pending → open",
        ),
        (
            {"custom_attributes": {"region": None, "vip": 1}, "team": "sales"},
            {"custom_attributes": {"region": "north", "vip": 1}, "team": "sales"},
            "attributes · region – → north",
        ),
        (
            {"contact": {"name": "A", "custom_attributes": {"note": "x"}}},
            {"contact": {"name": "B", "custom_attributes": {"note": "y"}}},
            "contact · name A → B; contact · custom_attributes · note x → y",
        ),
        ({"priority": "x" * 50}, {"priority": None}, f"priority {'x' * 39}… → –"),
        ({"message": None}, {"message": "Your order\nleft."}, "“Your order left.”"),
        ({"message": None}, {"message": "y" * 61}, f"“{'y' * 59}…”"),
        ({"message": None}, {"message": ""}, "(no text)"),
        (
            {"note": None, "team": None},
            {"note": "Call back", "team": "sales"},
            "private note “Call back”; team – → sales",
        ),
        ({}, {}, "–"),
    ],
)
def test_changes_fit_on_one_line(
    before: JsonObject, after: JsonObject, text: str
) -> None:
    assert line(before=before, after=after) == text


def test_many_changes_are_cut() -> None:
    after: JsonObject = {f"field{number}": number for number in range(100)}

    assert len(line(after=after)) == 200


def test_where_nothing_changed_the_flow_was_told_why() -> None:
    assert line(status="skipped", message="Not set: team.") == "Not set: team."
    refused = line(status="error", code="unknown_team", message="No team “x”.")
    assert refused == "No team “x”."
    assert line(message="Read.") == "Read."


def test_of_what_was_done_in_part_the_part_is_shown() -> None:
    text = line(
        status="partial",
        before={"status": "pending"},
        after={"status": "open"},
        message="Done: status. team: No team “x”.",
    )

    assert text == "status pending → open"


def test_a_message_on_its_way_is_known_from_its_arguments() -> None:
    for name in ("content", "message", "note"):
        asked = {name: " Hello ", "private": False}
        assert line(status="running", arguments=asked) == "“Hello”"
    assert line(status="running", arguments={"content": None, "team": "x"}) == "–"


def test_what_was_cut_off_says_so() -> None:
    text = line(status="error", code="outcome_unknown", http_status=None)
    assert text == "The process was stopped while it served the request."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"result": "unchanged"}, True),
        ({"result": "applied"}, False),
        ({}, False),
        ({"fields": {"a": {"result": "unchanged"}}}, True),
        (
            {"fields": {"a": {"result": "unchanged"}, "b": {"result": "skipped"}}},
            True,
        ),
        ({"fields": {"b": {"result": "skipped"}}}, False),
        (
            {"fields": {"a": {"result": "unchanged"}, "b": {"result": "applied"}}},
            False,
        ),
    ],
)
def test_what_was_so_already_is_known(answer: JsonObject, *, expected: bool) -> None:
    callback = Callback(status="success", operation="set_status")

    assert is_unchanged(callback, answer=answer) is expected


def test_what_was_so_already_is_told() -> None:
    same: JsonObject = {"status": "open", "team": "Sales"}
    unchanged = {"result": "unchanged"}

    told = line(before=same, after=same, answer=unchanged)

    assert told == "status open; team Sales: was so already"
    assert line(answer=unchanged) == "It was so already; nothing was changed."


def test_a_started_conversation_is_never_so_already() -> None:
    answer: JsonObject = {
        "conversation_id": 88,
        "fields": {"status": {"result": "unchanged"}},
    }
    callback = Callback(
        status="success",
        operation="start_conversation",
        before={"status": "open"},
        after={"status": "open"},
        message="Already so: status.",
    )

    assert is_unchanged(callback, answer=answer) is False
    assert in_short(callback, answer=answer) == "started #88"


def test_a_time_that_moved_is_a_change() -> None:
    callback = Callback(
        status="success",
        before={"status": "snoozed"},
        after={"status": "snoozed"},
        message="Done: status.",
    )

    assert in_short(callback, answer={"result": "applied"}) == "Done: status."


def test_objects_in_objects_are_told_one_by_one() -> None:
    callback = Callback(
        before={"contact": {"custom_attributes": {"tier": "gold"}}},
        after={"contact": {"custom_attributes": {"tier": None}}},
    )

    assert changes(callback) == [
        Change("contact · custom_attributes · tier", "gold", "–")
    ]
