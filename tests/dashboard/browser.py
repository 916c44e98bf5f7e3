"""A tab of a real browser, and what it takes to wait for a page."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest

# The shell has the same engine and no window, and takes a fifth less of the processor.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

ODD = ["<script>alert(1)</script>", 'a "b", c\\d', "head/deep/G", "🙂", "x" * 200, "__proto__"]


def browsers() -> Any:
    """Playwright; a test that has none is skipped."""
    return pytest.importorskip("playwright.sync_api", reason="it drives the browser")


class Tab:
    """A page, and what went wrong on it."""

    def __init__(self, browser: Any, width: int = 1440, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.context.set_default_timeout(300_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", self._listen)
        self.may_be_kept = not options

    def leave(self, nowhere: str) -> bool:
        """Show nothing any more; whether another test may go on with it.

        A new one takes the browser half a second of the processor, and a page of another host, as
        `about:blank` is, a quarter. What a page stores belongs to the port of its server, which is
        another one in each test.
        """
        if not self.may_be_kept or len(self.context.pages) > 1:
            self.context.close()
            return False
        self.page.emulate_media(media="null")
        self.page.mouse.move(0, 0)
        self.page.goto(nowhere)
        return True

    def begin(self, width: int) -> None:
        """Go on in another test."""
        self.context.clear_cookies()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.wrong.clear()
        self.asked.clear()

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "ERR_" not in message.text:
            self.wrong.append(message.text)

    def open(self, address: str) -> Any:
        self.page.goto(address)
        return self.page

    def lines(self, chart: str) -> list[str]:
        """The names of the lines of a chart, as they are drawn."""
        drawn = f"plots.get('{chart}').model.lines.map((line) => line.name)"
        lines: list[str] = self.page.evaluate(drawn)
        return lines


def wait(page: Any, expression: str) -> None:
    """Until it holds and is drawn; the page's own policy keeps the browser from asking itself."""
    end = time.monotonic() + 300
    while not page.evaluate(f"({expression}) && !isDue"):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(50)


def ready(page: Any, lines: int) -> None:
    wait(page, f"plots.get('part')?.model?.lines.length === {lines}")


def wait_for_text(page: Any, selector: str, text: str) -> None:
    browsers().expect(page.locator(selector)).to_contain_text(text, timeout=300_000)
