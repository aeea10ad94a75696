"""What holds for every page: no trouble in the browser, no scrolling sideways, axe."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request, Response

# The others are advice.
SERIOUS = frozenset({"serious", "critical"})
_axe = Axe()


class Watch:
    """Collects what a person would see in the browser's console, and failed requests.

    A violation of the Content-Security-Policy is an error in the console.
    """

    def __init__(self, page: Page) -> None:
        self.troubles: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda err: self.troubles.append(f"script: {err}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def take(self) -> list[str]:
        """Return what came up since the last time."""
        troubles, self.troubles = self.troubles, []
        return troubles

    def _console(self, message: ConsoleMessage) -> None:
        # Of failed requests we know more than it says.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.troubles.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # A page that is left ends what it was loading, or asking every second.
        if request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.url}: HTTP {response.status}")


def axe(page: Page, *, only: Iterable[str] = ()) -> list[str]:
    """Return axe-core's serious and critical findings on the page as it is now."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = {"type": "rule", "values": list(only)}
    # Half a megabyte, which a page needs once; what was found well stays there.
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe.axe_script)
    run = "options => axe.run(options).then((found) => found.violations)"
    return [
        f"{one['id']} ({one['impact']}): {_on_one_line(node['html'])}"
        for one in page.evaluate(run, arg=options)
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


def sideways_scroll(page: Page) -> list[str]:
    """Return what makes the page wider than its window; wide tables have boxes."""
    # Charts take on the window's new size a moment later.
    for _look in range(10):
        wider: int = page.evaluate(_BEYOND)
        if wider <= 0:
            return []
        page.wait_for_timeout(100)
    culprits: list[str] = page.evaluate(_TOO_WIDE)
    # The innermost say what it is.
    lines = [_on_one_line(one) for one in culprits[-3:]]
    return [f"{wider} px too wide: {line}" for line in lines or ["?"]]


def _on_one_line(html: str) -> str:
    return " ".join(html.split())[:160]


_BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const clipped = (element) => {
        for (let up = element.parentElement; up; up = up.parentElement) {
            if (up === document.body) return false;
            if (getComputedStyle(up).overflowX !== "visible") return true;
        }
        return false;
    };
    return [...document.body.querySelectorAll("*")]
        .filter((one) => one.getBoundingClientRect().right > width + 1 && !clipped(one))
        .map((one) => one.outerHTML.slice(0, 400));
}"""


def no_sideways_scroll(page: Page) -> None:
    """Fail if the page scrolls sideways."""
    found = sideways_scroll(page)
    assert not found, "\n".join(found)


def no_serious_findings(page: Page) -> None:
    """Fail on axe-core's serious and critical findings."""
    found = axe(page)
    assert not found, "\n".join(found)


def focused(page: Page) -> dict[str, Any]:
    """Return what has the keyboard's focus, and whether a person can see that."""
    found: dict[str, Any] = page.evaluate(
        """() => {
            const one = document.activeElement;
            const style = getComputedStyle(one);
            const box = one.getBoundingClientRect();
            return {
                tag: one.tagName, href: one.getAttribute("href") || "",
                name: one.getAttribute("name") || "",
                text: (one.innerText || "").trim().slice(0, 60),
                in_view: box.width > 0 && box.height > 0,
                marked: style.outlineStyle !== "none" || style.boxShadow !== "none",
            };
        }"""
    )
    return found


def screenshot(page: Page, name: str) -> None:
    """Keep a picture in the folder BROWSER_SCREENSHOTS, if one is named."""
    folder = os.environ.get("BROWSER_SCREENSHOTS", "")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def path_of(url: str) -> str:
    """Return an address without its host."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
