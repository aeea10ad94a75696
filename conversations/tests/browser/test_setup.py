"""From an empty database to the first answer: addresses and tokens on one page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from conversations.tests.browser.checks import (
    no_serious_findings,
    no_sideways_scroll,
    screenshot,
)
from conversations.tests.browser.conftest import PHONE, WIDE
from conversations.tests.browser.traffic import Customer
from local_stack.testing import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("translations"),
]


def enter(page: Page, stack: RunningStack) -> None:
    """Fill in the first step with what the sandbox has."""
    url = f"{stack.sandbox}/app/accounts/1/dashboard"
    page.get_by_label("Chatwoot's address").fill(url)
    page.get_by_label("Access token of an administrator").fill("sandbox-admin-token")
    page.get_by_label("Address of Dify's API").fill(f"{stack.sandbox}/v1")
    page.get_by_label("API key of the Dify app").fill("app-sandbox-chat")


def test_from_nothing_to_the_first_answer(
    empty_stack: RunningStack, open_page: Callable[..., Page]
) -> None:
    page = open_page(empty_stack)
    page.goto("/admin/")
    page.get_by_role("link", name="Set up a bot").first.click()
    enter(page, empty_stack)
    no_serious_findings(page)
    page.get_by_role("button", name="Look at both").click()

    said = page.get_by_text("Chatwoot answers: account “Sandbox Store”, as Ada Admin.")
    expect(said).to_be_visible()
    expect(page.get_by_text("Dify answers: app “Sandbox chat” (chat).")).to_be_visible()
    ticked = page.locator("input[name=inbox]:checked")
    expect(ticked).to_have_count(1)
    no_serious_findings(page)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # two numbers
    no_sideways_scroll(page)
    screenshot(page, "setup-choose-390")
    page.get_by_role("button", name="Make the bot").click()
    expect(page.get_by_role("heading", name="The bot is set up")).to_be_visible()
    no_sideways_scroll(page)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type] # two numbers
    no_serious_findings(page)
    screenshot(page, "setup-done-1280")

    nora = Customer(empty_stack, name="Nora")
    nora.says("Is anybody there?")
    (answer,) = nora.is_answered()
    assert "Is anybody there?" in answer

    page.get_by_role("link", name="Ask the doctor").click()
    page.wait_for_url("**/admin/doctor/**")
    expect(page.locator("section[aria-busy]")).to_have_count(0, timeout=60_000)
    states = page.locator(".bridge-check-state")
    words = [text.strip() for text in states.all_inner_texts()]
    assert words.count("ok") >= 20, words
    assert "failed" not in words, page.locator(".bridge-doctor").all_inner_texts()
    no_serious_findings(page)


def test_the_pages_of_the_beginning_are_russian(
    empty_stack: RunningStack, open_page: Callable[..., Page]
) -> None:
    page = open_page(empty_stack, locale="ru")
    page.goto("/admin/setup/")

    expect(page).to_have_title(re.compile("^Настроить бота"))
    expect(page.get_by_label("Токен доступа администратора")).to_be_visible()
    page.get_by_label("Адрес Chatwoot").fill("no address")
    page.get_by_role("button", name="Проверить оба").click()
    expect(page.get_by_text("Это не адрес сервера.")).to_be_visible()

    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Требует внимания")).to_be_visible()
    # The switch of the language stays with the browser.
    expect(page.locator("html")).to_have_attribute("lang", "ru")
