"""Every page: no trouble in the console, nothing sideways, axe content, both themes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from conversations.tests.browser import walk
from conversations.tests.browser.checks import (
    Watch,
    axe,
    focused,
    path_of,
    screenshot,
    sideways_scroll,
)
from conversations.tests.browser.conftest import PHONE, WIDE
from local_stack.testing import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("translations"),
]

# What the fresh stack's sidebar and lists lead to, at the very least.
AT_LEAST = 45
# Another theme has other colours, and a narrow window other boxes that scroll.
_RULES_IN_DARK = ("color-contrast", "scrollable-region-focusable", "link-name")


def test_every_page_is_well_in_both_themes_and_on_a_phone(page: Page) -> None:
    found: list[str] = []
    watch = Watch(page)
    seen = 0
    for address in walk.every_page(page):
        seen += 1
        problems = watch.take()
        show(page, theme="light", size=WIDE)
        problems += sideways_scroll(page) + axe(page)
        screenshot(page, f"{file_name(address)}-light-1280")
        show(page, theme="dark", size=PHONE)
        problems += [
            f"dark, 390 px: {one}"
            for one in sideways_scroll(page) + axe(page, only=_RULES_IN_DARK)
        ]
        screenshot(page, f"{file_name(address)}-dark-390")
        found += [f"{address}: {problem}" for problem in problems]

    assert not found, "\n".join(found)
    assert seen >= AT_LEAST


def file_name(address: str) -> str:
    return address.strip("/").replace("/", "-").partition("?")[0]


def show(page: Page, *, theme: str, size: dict[str, int]) -> None:
    """Show the page as it looks there; Unfold's theme is a class of the document."""
    page.set_viewport_size(size)  # type: ignore[arg-type] # two numbers
    page.evaluate(
        "dark => document.documentElement.classList.toggle('dark', dark)",
        arg=theme == "dark",
    )


def test_every_page_is_well_in_russian(
    stack: RunningStack, open_page: Callable[..., Page]
) -> None:
    page = open_page(stack, locale="ru")
    found: list[str] = []
    watch = Watch(page)
    # A form to add has the texts of the form to change.
    for address in walk.every_page(page, with_forms=False):
        problems = watch.take()
        if page.locator("html").get_attribute("lang") != "ru":
            problems.append("is not in Russian")
        for size in (PHONE, WIDE):
            page.set_viewport_size(size)  # type: ignore[arg-type] # two numbers
            problems += [f"{size['width']} px: {one}" for one in sideways_scroll(page)]
        found += [f"{address}: {problem}" for problem in problems]

    assert not found, "\n".join(found)


def test_the_keyboard_reaches_every_link_of_the_sidebar(page: Page) -> None:
    wanted = set(walk.sidebar(page))
    page.goto("/admin/")
    reached: set[str] = set()
    unmarked: list[str] = []
    for _press in range(150):
        page.keyboard.press("Tab")
        now = focused(page)
        if now["href"].startswith("/admin/"):
            reached.add(path_of(now["href"]))
        if now["tag"] != "BODY" and not now["marked"]:
            unmarked.append(f"{now['tag']} {now['href']} {now['text']}")

    assert sorted(wanted - reached) == []
    assert not unmarked, "\n".join(unmarked)
