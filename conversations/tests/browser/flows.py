"""Steps that several tests do on the admin's pages."""

from __future__ import annotations

import re

import requests
from playwright.sync_api import Page, expect

from local_stack.testing import RunningStack

# A job is polled every two seconds, and waits for a free worker.
JOB_PATIENCE_MS = 60_000


def act(page: Page, *, action: str, rows: list[str]) -> None:
    """Tick the rows of a list with these texts, choose an action and go."""
    for text in rows:
        row = page.locator("#result_list tbody tr", has_text=text).first
        row.locator("input.action-select").check()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run", exact=True).click()


def expect_job_done(page: Page, *, title: str, total: int) -> None:
    """Expect the page of a job, and its end to appear without anybody's reload."""
    expect(page).to_have_url(re.compile(r"/admin/conversations/job/\d+/change/"))
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "100", timeout=JOB_PATIENCE_MS)
    expect(page.locator("#job-progress")).to_contain_text(f"{total} of {total}")
    expect(page.locator("#job-progress")).to_contain_text("Everything was gone through")
    expect(page.get_by_role("heading", name="Report", exact=True)).to_be_visible()


def open_conversation(page: Page, number: int) -> None:
    """Go to the page of a conversation by its number in Chatwoot, through the list."""
    page.goto(f"/admin/conversations/conversation/?q=%23{number}")
    page.locator(
        "#result_list tbody tr:first-of-type a[href*='/change/']"
    ).first.click()
    expect(page.get_by_role("heading", name="The whole story")).to_be_visible()


def in_dify(stack: RunningStack) -> set[str]:
    """Return the conversations that the played Dify remembers."""
    url = f"{stack.sandbox}/_sandbox/dify/conversations"
    found = requests.get(url, timeout=10).json()["conversations"]
    return {str(row["id"]) for row in found}
