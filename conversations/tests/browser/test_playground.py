"""A talk with the sandbox's chat app, from the question to the answer, and its end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import (
    no_serious_findings,
    no_sideways_scroll,
    screenshot,
)
from conversations.tests.browser.conftest import PHONE, AsRole
from local_stack.testing import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def address(stack: RunningStack) -> str:
    return "/admin/playground/1/"


def send(page: Page, text: str) -> None:
    page.locator("#playground-question").fill(text)
    page.keyboard.press("Enter")


def test_a_talk_to_the_answer_and_its_end(page: Page, address: str) -> None:
    page.goto(address)
    send(page, "Where is my tent?")

    first = page.locator("article").first
    expect(first).to_contain_text("You asked: “Where is my tent?”.", timeout=30_000)
    expect(first).not_to_have_attribute("aria-busy", "true")
    expect(first).to_contain_text("answered")
    assert "?talk=" in page.url
    first.get_by_text("Events of the stream").click()
    expect(first.locator("table")).to_contain_text("message_end")
    no_serious_findings(page)
    screenshot(page, "playground-1280")

    send(page, "And the pegs?")
    second = page.locator("article").nth(1)
    expect(second).to_contain_text("You asked: “And the pegs?”.", timeout=30_000)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # two numbers
    no_sideways_scroll(page)
    no_serious_findings(page)
    screenshot(page, "playground-390")

    page.get_by_role("button", name="End the talk").click()
    expect(page.get_by_text("The talk is ended.")).to_be_visible()
    expect(page.locator("article")).to_have_count(0)


def test_the_answer_appears_as_it_streams_and_can_be_stopped(
    page: Page, address: str
) -> None:
    page.goto(address)
    send(page, "/slow 60")

    answer = page.locator("article [data-answer]")
    expect(answer).to_be_visible(timeout=30_000)
    first = answer.inner_text()
    expect(answer).not_to_have_text(first)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("article")).to_contain_text("stopped")
    expect(page.get_by_text("Stopped. Dify is told so, too.")).to_be_visible()


def test_what_cannot_be_asked_is_said_beside_the_question(
    page: Page, address: str
) -> None:
    page.goto(address)
    page.get_by_text("Customer and inputs").click()
    page.get_by_label("With the values of conversation").fill("999999")
    send(page, "Hello?")

    expect(page.locator("#playground")).to_contain_text(
        "No conversation with this number is stored here."
    )
    expect(page.locator("article")).to_have_count(0)


def test_it_works_without_htmx(page: Page, address: str) -> None:
    """A reload shows the state. Unfold's own frame needs Alpine."""
    page.route(re.compile(r"/htmx"), lambda route: route.fulfill(body=""))
    page.goto(address)
    page.locator("#playground-question").fill("Where is my order?")
    page.get_by_role("button", name="Send").click()

    for _reload in range(30):
        if page.get_by_text("You asked: “Where is my order?”.").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("article")).to_contain_text("You asked: “Where is my order?”.")


def test_an_auditor_reads_and_cannot_ask(as_role: AsRole, address: str) -> None:
    page = as_role("auditor")
    page.goto(address)

    expect(page.get_by_text("You may read the talks.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
