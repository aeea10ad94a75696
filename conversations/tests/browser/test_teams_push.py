"""Teams from a file into Chatwoot: what is wanted, the difference, the push."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import no_serious_findings, screenshot
from conversations.tests.browser.flows import expect_job_done
from local_stack.testing import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(180)]

FILE = """\
teams:
  - name: night shift
    description: From ten in the evening
    members: [marta.keller@sandbox.test]
"""


def teams(stack: RunningStack) -> dict[str, dict[str, Any]]:
    """Return the teams that the played Chatwoot has."""
    answer = requests.get(
        f"{stack.sandbox}/api/v1/accounts/1/teams",
        headers={"api-access-token": "sandbox-admin-token"},
        timeout=10,
    )
    answer.raise_for_status()
    return {row["name"]: row for row in answer.json()}


def test_a_team_of_a_file_gets_into_chatwoot(stack: RunningStack, page: Page) -> None:
    before = teams(stack)
    assert "night shift" not in before
    page.goto("/admin/wishes/")
    page.get_by_role("link", name="Import a file…").click()
    page.locator("input[type=file]").set_input_files(
        {"name": "teams.yaml", "mimeType": "text/yaml", "buffer": FILE.encode()}
    )
    page.get_by_role("button", name="Show what it changes").click()
    expect(page.locator(".bridge-list")).to_contain_text("team “night shift”: new")
    page.get_by_role("button", name="Want all this").click()

    expect(page.get_by_text("Chatwoot was not changed.")).to_be_visible()
    row = page.locator(".bridge-wish-table tr", has_text="night shift")
    expect(row).to_contain_text("missing there")
    assert teams(stack) == before
    no_serious_findings(page)
    screenshot(page, "teams-missing-1280")

    page.get_by_role("link", name="Compare and write to Chatwoot…").click()
    writes = page.locator("section[aria-labelledby=push-writes] .bridge-item")
    expect(writes).to_have_count(1)
    expect(writes).to_contain_text("team “night shift”: make")
    no_serious_findings(page)
    screenshot(page, "teams-difference-1280")
    page.get_by_role("button", name="Write what is ticked to Chatwoot").click()

    # The team, and its member.
    expect_job_done(page, title="Write to Chatwoot", total=2)
    after = teams(stack)
    assert set(after) == {*before, "night shift"}
    assert after["night shift"]["description"] == "From ten in the evening"
    page.goto("/admin/wishes/")
    expect(row).to_contain_text("in sync")
