"""The stack, the browser and logged-in pages.

Playwright's loop runs in the tests' thread, and Django refuses its database beside
one: so the browser ends with this folder, and its tests see only the stack's own
database, through its pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from conversations.tests.browser import chromium, traffic
from conversations.tests.browser.checks import Watch
from local_stack.testing import RunningStack, running_stack

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 15_000

AsRole = Callable[[str], Page]


@pytest.fixture(scope="package")
def executable() -> str:
    return chromium.find()


@pytest.fixture(scope="package")
def stack(
    executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A bot with some traffic, beside the sandbox; one for all tests of the folder."""
    with running_stack(tmp_path_factory.mktemp("browser") / "data") as running:
        traffic.make(running)
        yield running


@pytest.fixture(scope="package")
def empty_stack(
    executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """Nothing is set up yet: no account, no Dify app, no bot."""
    folder = tmp_path_factory.mktemp("browser-empty") / "data"
    with running_stack(folder, env={"BOOTSTRAP": "false"}) as running:
        yield running


@pytest.fixture(scope="package")
def browser(executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=executable, args=chromium.arguments()
        )
        yield launched
        launched.close()


class Logins:
    """Logs in once for each name, and opens windows with what the browser got."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._states: dict[tuple[str, str], object] = {}

    def window(
        self, stack: RunningStack, *, name: str, password: str, locale: str = "en"
    ) -> BrowserContext:
        """Return a fresh window of somebody who is logged in."""
        key = (stack.web, name)
        if key not in self._states:
            self._states[key] = self._log_in(stack, name=name, password=password)
        context = self._browser.new_context(
            base_url=stack.web,
            locale=locale,
            viewport=WIDE,  # type: ignore[arg-type] # two numbers
            storage_state=self._states[key],  # type: ignore[arg-type] # as it gave it
        )
        context.set_default_timeout(PATIENCE_MS)
        return context

    def _log_in(self, stack: RunningStack, *, name: str, password: str) -> object:
        with self._browser.new_context(base_url=stack.web, locale="en") as context:
            page = context.new_page()
            page.goto("/admin/login/")
            page.fill("input[name=username]", name)
            page.fill("input[name=password]", password)
            page.press("input[name=password]", "Enter")
            page.wait_for_url("**/admin/")
            return context.storage_state()


@pytest.fixture(scope="package")
def logins(browser: Browser) -> Logins:
    return Logins(browser)


@pytest.fixture
def windows() -> Iterator[list[BrowserContext]]:
    """Windows that are closed after the test."""
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    """Fails the test for any trouble that a page had in the browser."""
    made: list[Watch] = []
    yield made
    troubles = [trouble for watch in made for trouble in watch.take()]
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def open_page(
    logins: Logins, windows: list[BrowserContext], watches: list[Watch]
) -> Callable[..., Page]:
    """Open a page: `open_page(stack, name=..., password=..., locale="ru")`."""

    def opened(
        stack: RunningStack, *, name: str = "", password: str = "", locale: str = "en"
    ) -> Page:
        window = logins.window(
            stack,
            name=name or stack.username,
            password=password or stack.password,
            locale=locale,
        )
        windows.append(window)
        page = window.new_page()
        watches.append(Watch(page))
        return page

    return opened


@pytest.fixture
def page(stack: RunningStack, open_page: Callable[..., Page]) -> Page:
    """A window of the administrator, in English, 1280 px wide."""
    return open_page(stack)


@pytest.fixture
def as_role(stack: RunningStack, open_page: Callable[..., Page]) -> AsRole:
    """A window of an "operator" or an "auditor"."""

    def opened(role: str) -> Page:
        return open_page(stack, name=role, password=traffic.PASSWORD)

    return opened
