"""Pictures of the admin for docs/admin.md: `python -m bench.screenshots --out FOLDER`.

Starts a whole stack of its own beside the sandbox, sets a bot up through the pages,
fills it with a shop's busy month (`bench.screenshot_rows`) and takes the pictures with
this machine's Chromium. Prints each picture's size.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from local_stack.testing import RunningStack, running_stack, wait_until

WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
FILL = "from bench import screenshot_rows; screenshot_rows.fill()"
OPEN_UP = "from bench import screenshot_copilot; screenshot_copilot.open_up()"
# Nobody looks into the files.
_SOME_BYTES = "c29tZSBieXRlcw=="
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Camera:
    """Opens pages as the administrator and keeps pictures of them."""

    def __init__(self, browser: Browser, stack: RunningStack, folder: Path) -> None:
        self.stack = stack
        self._browser = browser
        self._folder = folder
        self._login = self._log_in()
        self.page = self.window()

    def window(
        self, *, size: dict[str, int] = WIDE, locale: str = "en", dark: bool = False
    ) -> Page:
        """Open a window of somebody who is logged in."""
        return self._context(size=size, locale=locale, dark=dark).new_page()

    def take(
        self,
        name: str,
        address: str = "",
        *,
        at: str = "",
        page: Page | None = None,
        **window: Any,
    ) -> None:
        """Keep a picture of an address, scrolled to what `at` selects."""
        shown = page or (self.window(**window) if window else self.page)
        if address:
            shown.goto(address)
        shown.wait_for_load_state("networkidle")
        place = shown.locator(at).first if at else None
        if place is not None:
            place.evaluate(
                "one => { one.style.scrollMarginTop = '90px';"
                " one.scrollIntoView({block: 'start'}); }"
            )
        # Charts and drawers move for a moment.
        shown.wait_for_timeout(700)
        path = self._folder / f"{name}.png"
        shown.screenshot(path=path)
        if window and page is None:
            shown.context.close()
        say(f"{name:<28} {path.stat().st_size // 1024:>5} KB")

    def _context(
        self, *, size: dict[str, int], locale: str, dark: bool
    ) -> BrowserContext:
        context = self._browser.new_context(
            base_url=self.stack.web,
            locale=locale,
            viewport=size,  # type: ignore[arg-type] # two numbers
            color_scheme="dark" if dark else "light",
            storage_state=self._login,  # type: ignore[arg-type] # as it gave it
        )
        context.set_default_timeout(20_000)
        return context

    def _log_in(self) -> object:
        with self._browser.new_context(base_url=self.stack.web, locale="en") as context:
            page = context.new_page()
            page.goto("/admin/login/")
            page.fill("input[name=username]", self.stack.username)
            page.fill("input[name=password]", self.stack.password)
            page.press("input[name=password]", "Enter")
            page.wait_for_url("**/admin/")
            return context.storage_state()


class Customer:
    """Somebody who writes into the website's widget of the played Chatwoot."""

    def __init__(self, stack: RunningStack, *, name: str) -> None:
        self._base = f"{stack.sandbox}/_sandbox/conversations"
        made = requests.post(self._base, json={"name": name}, timeout=10)
        made.raise_for_status()
        self.number = int(made.json()["id"])

    def says(self, text: str, *, files: tuple[tuple[str, str], ...] = ()) -> None:
        """Write a message, with files by name and kind."""
        sent = [
            {"name": name, "content_type": kind, "base64": _SOME_BYTES}
            for name, kind in files
        ]
        self._post("customer-messages", {"content": text, "attachments": sent})

    def hears(self, text: str) -> None:
        """Get a reply of a human agent."""
        self._post("reply", {"content": text})

    def is_answered(self, *, times: int = 1) -> None:
        """Wait for the bot's answers."""
        wait_until(
            lambda: self._answers() >= times,
            patience_s=60,
            what=f"answer {times} in conversation {self.number}",
        )

    def _answers(self) -> int:
        seen = requests.get(f"{self._base}/{self.number}", timeout=10).json()
        return sum(one["sender_type"] == "AgentBot" for one in seen["messages"])

    def _post(self, what: str, body: dict[str, Any]) -> None:
        url = f"{self._base}/{self.number}/{what}"
        requests.post(url, json=body, timeout=10).raise_for_status()


def main() -> None:
    """Start everything, take all pictures, say how large they are."""
    parser = argparse.ArgumentParser(prog="python -m bench.screenshots")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the pictures"
    )
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    env = {"BOOTSTRAP": "false", "SANDBOX_SEEDED_BOT": "false"}
    with (
        tempfile.TemporaryDirectory() as data,
        running_stack(Path(data) / "data", env=env) as stack,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        take_all(Camera(browser, stack, folder))
        browser.close()
    total = sum(path.stat().st_size for path in folder.glob("*.png"))
    say(f"{total / 1e6:.1f} MB in all")


def chromium() -> str:
    """Return the path of this machine's browser."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, _BROWSERS)), None
    )
    if found is None:
        raise SystemExit("no Chromium on this machine: apt install chromium")
    return found


def take_all(camera: Camera) -> None:
    """Take them in the order in which a bridge grows."""
    empty(camera)
    set_up(camera)
    customer = first_talk(camera)
    camera.stack.shell(FILL)
    overview(camera)
    work(camera, customer=customer)
    more_than_text(camera)
    copilot(camera)
    bots(camera)
    settings(camera)
    engineers(camera)
    elsewhere(camera, customer=customer)


# --- What is on the pictures ----------------------------------------------------------


def empty(camera: Camera) -> None:
    """Nothing is set up yet."""
    camera.take("home-empty", "/admin/")
    camera.take("events-empty", "/admin/conversations/webhookevent/")


def set_up(camera: Camera) -> None:
    """From two addresses and two tokens to the bot."""
    page, sandbox = camera.page, camera.stack.sandbox
    page.goto("/admin/setup/")
    page.fill("input[name=chatwoot_url]", sandbox)
    page.fill("input[name=admin_token]", "sandbox-admin-token")
    page.fill("input[name=dify_url]", f"{sandbox}/v1")
    page.fill("input[name=dify_key]", "app-sandbox-chat")
    camera.take("setup-1-connect")
    page.get_by_role("button", name="Look at both").click()
    page.fill("input[name=bot_name]", "Shop assistant")
    camera.take("setup-2-choose")
    page.get_by_role("button", name="Make the bot").click()
    page.get_by_role("link", name="Ask the doctor").wait_for()
    camera.take("setup-3-done")
    page.get_by_role("link", name="Ask the doctor").click()
    checked(page)
    camera.take("doctor-ok")


def checked(page: Page) -> None:
    """Wait until the doctor has looked at everything."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "document.querySelectorAll('[hx-trigger*=load]').length === 0", timeout=60_000
    )


def first_talk(camera: Camera) -> Customer:
    """One customer, and the first answer."""
    customer = Customer(camera.stack, name="Anna Miller")
    customer.says("Where is my order? It should have come on Tuesday.")
    customer.is_answered()
    return customer


def overview(camera: Camera) -> None:
    """The busy home page, and the doctor with something to say."""
    camera.take("home", "/admin/")
    camera.take("home-dark", "/admin/", dark=True)
    camera.take("home-numbers", "/admin/?period=7d", at=".bridge-tiles")
    page = camera.page
    page.goto("/admin/doctor/")
    checked(page)
    camera.take("doctor-failures", at=".bridge-check:has-text('Wholesale')")


def work(camera: Camera, *, customer: Customer) -> None:
    """Conversations, events, turns and jobs."""
    customer.says("Can I still change the address?")
    customer.is_answered(times=2)
    customer.says("/quota")
    customer.is_answered(times=3)
    customer.hears("Hello Anna, this is Marta. I have changed the address for you.")
    camera.take("conversations", "/admin/conversations/conversation/")
    page = camera.page
    page.goto(f"/admin/conversations/conversation/?q={customer.number}")
    page.locator("#result_list tbody a[href*='/change/']").first.click()
    camera.take("conversation")
    camera.take(
        "conversation-failure", page=page, at=".bridge-chat > :nth-last-child(5)"
    )
    events = "/admin/conversations/webhookevent/"
    camera.take("events", f"{events}?q=refund")
    page.goto(f"{events}?reason__exact=status_not_allowed")
    page.locator("#result_list tbody a[href*='/change/']").first.click()
    camera.take("event-why")
    replay(camera, f"{events}?q=refund")
    camera.take("turns", "/admin/conversations/turn/")
    page.goto("/admin/conversations/job/")
    page.locator("#result_list tbody a[href*='/change/']").first.click()
    camera.take("job-running")


def replay(camera: Camera, address: str) -> None:
    """What would be decided now about a few events."""
    page = camera.page
    page.goto(address)
    for box in page.locator("#result_list input.action-select").all()[:4]:
        box.check(force=True)
    page.locator("select[name=action]").first.select_option("replay_events")
    page.locator(
        "button[name=index], button[type=submit][form=changelist-form]"
    ).first.click()
    camera.take("replay-dry-run")


def more_than_text(camera: Camera) -> None:
    """A turn with files in and out, and with choices."""
    camera.stack.shell(OPEN_UP)
    customer = Customer(camera.stack, name="Ben Novak")
    files = (("zip.png", "image/png"), ("what-happened.ogg", "audio/ogg"))
    customer.says("/picture", files=files)
    customer.is_answered(times=2)
    page = camera.page
    page.goto("/admin/conversations/turn/")
    page.locator("#result_list tbody a[href*='/change/']").first.click()
    camera.take("turn-files")
    camera.take("turn-posted", page=page, at="#posts-title")


def copilot(camera: Camera) -> None:
    """Drafts beside what humans sent, and forms of flows."""
    page, drafts = camera.page, "/admin/conversations/draft/"
    camera.take("drafts", drafts)
    camera.take("drafts-list", at="#result_list")
    page.goto(f"{drafts}?outcome=changed")
    page.locator("#result_list tbody a[href*='/change/']").first.click()
    camera.take("draft")
    camera.take("forms", "/admin/conversations/flowform/")


def bots(camera: Camera) -> None:
    """A bot's tabs, and a talk with it."""
    page = camera.page
    page.goto("/admin/conversations/bot/1/change/")
    camera.take("bot-who")
    for picture, tab in (
        ("choice", "The customer's choice"),
        ("copilot", "Copilot"),
        ("messages", "Messages"),
        ("inputs", "Inputs"),
        ("texts", "Texts"),
        ("limits", "Limits"),
    ):
        page.get_by_role("tab", name=tab, exact=True).click()
        camera.take(f"bot-{picture}")
    camera.take("openai-server", "/admin/conversations/openaiserver/1/change/")
    page.goto("/admin/playground/1/")
    page.fill("#playground-question", "Where is my tent? I ordered it last week.")
    page.keyboard.press("Enter")
    page.locator("article", has_text="answered").first.wait_for()
    camera.take("playground")


def settings(camera: Camera) -> None:
    """Teams, labels and attributes; alerts; files."""
    camera.take("teams", "/admin/wishes/")
    camera.take("push", "/admin/wishes/1/write/")
    camera.take("alerts", "/admin/conversations/alertchannel/1/change/")
    camera.take("export-import", "/admin/configuration/")


def engineers(camera: Camera) -> None:
    """Workers and what was changed."""
    camera.take("workers", "/admin/celery/")
    camera.take("history", "/admin/auditlog/logentry/")


def elsewhere(camera: Camera, *, customer: Customer) -> None:
    """On a phone, and in Russian."""
    story = camera.page
    story.goto(f"/admin/conversations/conversation/?q={customer.number}")
    row = story.locator("#result_list tbody a[href*='/change/']").first
    address = row.get_attribute("href") or ""
    camera.take("phone-home", "/admin/", size=PHONE)
    camera.take("phone-conversation", address, at=".bridge-chat", size=PHONE)
    camera.take("phone-events", "/admin/conversations/webhookevent/", size=PHONE)
    camera.take("ru-home", "/admin/", locale="ru")
    camera.take("ru-conversation", address, locale="ru", dark=True)


def say(text: str) -> None:
    """Print at once: it takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
