"""Every page of the admin that somebody can reach, found by its links."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from conversations.tests.browser.checks import path_of

# The first link of a list's first row; a list may begin with a link to elsewhere.
_FIRST_ROW = "#result_list tbody tr:first-of-type a[href*='/change/']"
_ADD = "a[href$='/add/'], a[href*='/add/?']"


def sidebar(page: Page) -> list[str]:
    """Return the addresses in the sidebar."""
    page.goto("/admin/")
    links = page.locator("#nav-sidebar-apps a[href]")
    found = links.evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    return sorted({path for path in map(path_of, found) if path.startswith("/admin/")})


def every_page(page: Page, *, with_forms: bool = True) -> Iterator[str]:
    """Yield the sidebar's pages, and of each list one row and the form for another.

    The page is there when its address is yielded.
    """
    selectors = (_FIRST_ROW, _ADD) if with_forms else (_FIRST_ROW,)
    for address in sidebar(page):
        page.goto(address)
        further = [
            page.locator(selector).first.get_attribute("href")
            for selector in selectors
            if page.locator(selector).count()
        ]
        yield address
        for href in further:
            if href:
                page.goto(href)
                yield path_of(page.url)
