"""The audit fails on what is known, and is visibly skipped where nothing is known."""

from __future__ import annotations

import json

import pytest
from packaging.requirements import Requirement

from local_stack.audit import BASE, requirements, verdict, with_dependencies

KNOWN = {"name": "requests", "version": "2.34.2", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "2.10",
    "vulns": [
        {"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]},
        {"id": "PYSEC-2021-66", "fix_versions": []},
    ],
}
UNKNOWN = {"name": "celery", "skip_reason": "Dependency not found on PyPI"}


def report(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_vulnerability_fails_the_check() -> None:
    found = verdict(report(KNOWN, BAD, UNKNOWN), "")

    assert found.code == 1
    assert found.lines[1:] == [
        "  jinja2 2.10: PYSEC-2019-217, fixed in 2.10.1",
        "  jinja2 2.10: PYSEC-2021-66, fixed in no version yet",
    ]


def test_no_known_vulnerability_passes_and_names_what_was_not_looked_up() -> None:
    found = verdict(report(KNOWN, UNKNOWN), "")

    assert found.code == 0
    assert found.lines == [
        "Packages without a known vulnerability: 1.",
        "SKIPPED, the index does not know: celery",
    ]


def test_an_index_without_data_is_a_visible_skip() -> None:
    found = verdict(report(UNKNOWN, UNKNOWN), "No known vulnerabilities found")

    assert found.code == 0
    assert found.lines == [
        "SKIPPED: the package index of this machine has no data about "
        "vulnerabilities; 2 packages were not looked up."
    ]


@pytest.mark.parametrize("output", ["", "<html>", "[]", "{}", "null"])
def test_an_index_that_cannot_be_reached_is_a_visible_skip(output: str) -> None:
    found = verdict(output, "WARNING: slow\nERROR: Max retries exceeded\n")

    assert found.code == 0
    assert found.lines == [
        "SKIPPED: the package index cannot be asked (ERROR: Max retries exceeded)."
    ]


def test_what_the_packages_need_is_audited_too() -> None:
    found = with_dependencies(requirements(BASE.read_text()))

    # kombu comes with celery, redis with its extra, urllib3 with requests.
    assert {"Django", "kombu", "redis", "urllib3", "psycopg-pool"} <= set(found)
    assert "pytest" not in found


def test_comments_are_no_requirements() -> None:
    text = "# why\ncelery[redis]==5.7.0  # broker\n\n"

    assert requirements(text) == [Requirement("celery[redis]==5.7.0")]
