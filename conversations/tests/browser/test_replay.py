"""Replaying a customer's message: what would happen, the check mark, the answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import no_serious_findings, screenshot
from conversations.tests.browser.flows import act, expect_job_done
from conversations.tests.browser.traffic import Customer
from local_stack.testing import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(180)]

QUESTION = "Where is my parcel?"


@pytest.fixture
def rita(stack: RunningStack, page: Page) -> Customer:
    """Somebody whose question is answered, and whose turn has ended."""
    customer = Customer(stack, name="Rita")
    customer.says(QUESTION)
    customer.is_answered()
    turns = f"/admin/conversations/turn/?q={customer.number}&status__exact=answered"
    for _look in range(40):
        page.goto(turns)
        if page.locator("#result_list tbody tr").count():
            return customer
        page.wait_for_timeout(250)
    raise TimeoutError("the turn did not end")


def show_dry_run(page: Page, customer: Customer) -> None:
    """Go through the list of events to what a replay would do."""
    page.goto(
        f"/admin/conversations/webhookevent/?q=%23{customer.number}"
        "&reason__exact=customer_message"
    )
    act(page, action="Replay…", rows=[QUESTION])
    expect(page.get_by_text("Nothing has happened yet.")).to_be_visible()


def test_what_was_answered_is_answered_again_only_with_the_check_mark(
    page: Page, rita: Customer
) -> None:
    show_dry_run(page, rita)
    row = page.locator(".bridge-foreseen tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("the customer would get a second answer")
    no_serious_findings(page)
    screenshot(page, "replay-dry-run-1280")

    page.get_by_role("button", name="Replay").click()
    expect_job_done(page, title="Replay events", total=1)
    report = page.locator("section", has=page.get_by_role("heading", name="Report"))
    expect(report).to_contain_text("only if you say so")
    assert len(rita.answers()) == 1

    show_dry_run(page, rita)
    page.get_by_label("Also where a human has answered since").check()
    page.get_by_role("button", name="Replay").click()
    expect_job_done(page, title="Replay events", total=1)
    no_serious_findings(page)
    screenshot(page, "replay-job-1280")

    first, second = rita.is_answered(times=2)
    assert QUESTION in first
    assert QUESTION in second


def test_after_a_human_has_answered_the_event_is_not_replayed(
    page: Page, rita: Customer
) -> None:
    rita.is_told("It arrives tomorrow.")

    page.goto(
        f"/admin/conversations/webhookevent/?q=%23{rita.number}"
        "&reason__exact=customer_message"
    )
    link = page.locator("#result_list tbody a[href*='webhookevent/']").first
    link.click()
    now = page.locator("section", has=page.get_by_role("heading", name="What would"))
    for _look in range(40):
        if now.get_by_text("A human has answered the customer since.").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(now).to_contain_text("A human has answered the customer since.")
    # The browser itself asks for the check mark; the server would refuse, too.
    page.get_by_role("button", name="Replay").click()
    tick = page.get_by_label("Answer all the same")
    expect(tick).to_be_focused()
    tick.evaluate("one => one.required = false")
    page.get_by_role("button", name="Replay").click()

    warning = page.get_by_text("A human has answered the customer since.").first
    expect(warning).to_be_visible()
    assert "/webhookevent/" in page.url
    assert len(rita.answers()) == 1
