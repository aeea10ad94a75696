"""On a phone: the bot is silenced in a conversation, and let speak again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import no_sideways_scroll, screenshot
from conversations.tests.browser.conftest import PHONE
from conversations.tests.browser.flows import open_conversation
from conversations.tests.browser.traffic import Customer
from local_stack.testing import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(180)]


def test_the_bot_is_paused_and_resumed_on_a_phone(
    stack: RunningStack, page: Page
) -> None:
    paula = Customer(stack, name="Paula")
    paula.says("Hello?")
    paula.is_answered()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # two numbers

    open_conversation(page, paula.number)
    no_sideways_scroll(page)
    page.get_by_role("button", name="Pause the bot").click()
    said = "The bot is silent in 1 conversation from now on."
    expect(page.get_by_text(said)).to_be_visible()
    expect(page.get_by_role("button", name="Pause the bot")).to_have_count(0)
    no_sideways_scroll(page)
    screenshot(page, "conversation-paused-390")

    paula.says("Are you there?")
    story = page.locator(".bridge-chat")
    for _look in range(40):
        if story.get_by_text("Are you there?").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(story).to_contain_text("the bot is paused in this conversation")
    assert len(paula.answers()) == 1

    page.get_by_role("button", name="Let the bot speak again").click()
    expect(page.get_by_role("button", name="Pause the bot")).to_be_visible()
    page.get_by_role("link", name="Answer again…").click()
    expect(page.locator(".bridge-foreseen")).to_contain_text("Are you there?")
    no_sideways_scroll(page)
    page.get_by_role("button", name="Answer again").click()
    assert "Are you there?" in paula.is_answered(times=2)[1]
