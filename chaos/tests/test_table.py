"""The table shows every count, and the document around it stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.judge import Fate, Judgement
from chaos.table import BEGIN, END, Result, markdown, recovery, row, write_into

KEPT = Judgement(
    fates={"a": Fate.ANSWERED, "b": Fate.ANSWERED, "c": Fate.HANDED_OVER},
    in_flight=("one crossed",),
)


def test_a_row_shows_every_count() -> None:
    judgement = Judgement(
        fates={"a": Fate.SKIPPED, "b": Fate.GIVEN_UP, "c": Fate.LOST},
        lost=("one",),
        double=("one", "two"),
        silent=("one", "two", "three"),
    )

    result = Result(1, "it breaks", judgement, (2.0, 4.0, 9.0), duration_s=61.4)

    assert row(result) == (
        *("1. it breaks", "3", "0", "0", "1", "1"),
        *("**1**", "**2**", "0", "**3**", "0"),
        *("4.0 / 9.0 s", "61 s"),
    )


def test_kept_promises_are_plain_zeros() -> None:
    assert row(Result(2, "it holds", KEPT, duration_s=5)) == (
        *("2. it holds", "3", "2", "1", "0", "0"),
        *("0", "0", "0", "0", "1", "–", "5 s"),
    )


def test_a_scenario_that_could_not_be_judged_says_why() -> None:
    result = Result(3, "it ended", Judgement(), broken="TimeoutError: no worker")

    assert row(result)[1] == "**TimeoutError: no worker**"
    assert len(row(result)) == 13


@pytest.mark.parametrize(
    "judgement",
    [
        Judgement(lost=("one",)),
        Judgement(double=("one",)),
        Judgement(over_human=("one",)),
        Judgement(silent=("one",)),
    ],
)
def test_one_finding_breaks_the_promise(judgement: Judgement) -> None:
    assert Result(1, "", KEPT).is_kept is True
    assert Result(1, "", judgement).is_kept is False


def test_a_scenario_that_ended_early_is_not_kept() -> None:
    assert Result(1, "", KEPT, broken="RuntimeError").is_kept is False


def test_nothing_to_recover_is_a_dash() -> None:
    assert recovery(()) == "–"
    assert recovery((1.26,)) == "1.3 / 1.3 s"


def test_the_table_has_as_many_cells_in_each_line() -> None:
    text = markdown([Result(1, "one", KEPT, remarks=("two kills",))], caption="Today.")

    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {14}
    assert text.startswith("Today.\n\n| scenario |")
    assert text.endswith("\n- 1: two kills\n")


def test_only_the_table_of_a_document_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")

    write_into(document, "new\n")

    assert document.read_text() == (f"# Before\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter.\n")


def test_a_new_document_gets_just_the_table(tmp_path: Path) -> None:
    write_into(tmp_path / "new.md", "table")

    assert (tmp_path / "new.md").read_text() == f"{BEGIN}\n\ntable\n\n{END}\n"


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("nothing here\n")

    with pytest.raises(ValueError, match="has no lines"):
        write_into(document, "table")

    assert document.read_text() == "nothing here\n"
