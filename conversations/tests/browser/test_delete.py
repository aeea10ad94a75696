"""Deleting in Dify: with a question before, progress, and proof in Dify itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import no_serious_findings, screenshot
from conversations.tests.browser.flows import (
    act,
    expect_job_done,
    in_dify,
    open_conversation,
)
from conversations.tests.browser.traffic import Customer
from local_stack.testing import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(180)]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def customers(stack: RunningStack, *names: str) -> list[Customer]:
    """People who were answered, and whom Dify remembers."""
    made = [Customer(stack, name=name) for name in names]
    for one in made:
        one.says("Please remember me.")
    for one in made:
        one.is_answered()
    return made


def asked_to_delete(page: Page) -> list[str]:
    """Return the numbers in Dify that the page names before anything happens."""
    expect(page.get_by_text("it cannot be undone")).to_be_visible()
    lines = page.locator(".bridge-list > li").all_inner_texts()
    return [number for line in lines for number in _UUID.findall(line)]


def test_one_conversation_is_deleted_only_after_a_yes(
    stack: RunningStack, page: Page
) -> None:
    (dora,) = customers(stack, "Dora")
    open_conversation(page, dora.number)
    page.get_by_role("button", name="Delete in Dify…").click()
    (number,) = asked_to_delete(page)
    no_serious_findings(page)
    screenshot(page, "delete-ask-1280")
    page.get_by_role("link", name="No, go back").click()
    assert number in in_dify(stack)

    open_conversation(page, dora.number)
    page.get_by_role("button", name="Delete in Dify…").click()
    page.get_by_role("button", name="Delete in Dify").click()

    expect_job_done(page, title="Delete Dify conversations", total=1)
    assert number not in in_dify(stack)
    # The story of the conversation stays, and says so.
    open_conversation(page, dora.number)
    button = page.get_by_role("button", name="Delete in Dify…")
    expect(button).to_have_count(0)


def test_several_are_deleted_from_the_list(stack: RunningStack, page: Page) -> None:
    erik, ines, kept = customers(stack, "Erik Two", "Ines Two", "Karl Two")
    page.goto("/admin/conversations/conversation/")
    act(page, action="Delete in Dify…", rows=["Erik Two", "Ines Two"])
    numbers = asked_to_delete(page)
    assert len(numbers) == 2
    assert set(numbers) <= in_dify(stack)
    page.get_by_role("button", name="Delete in Dify").click()

    expect_job_done(page, title="Delete Dify conversations", total=2)
    no_serious_findings(page)
    screenshot(page, "delete-job-1280")
    assert not set(numbers) & in_dify(stack)
    for gone, count in ((erik, 0), (ines, 0), (kept, 1)):
        open_conversation(page, gone.number)
        button = page.get_by_role("button", name="Delete in Dify…")
        expect(button).to_have_count(count)
