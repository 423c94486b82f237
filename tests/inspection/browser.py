"""Pages in a real browser, for tests: opened from a file, asked through ``window.carousel``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from _browser import MISSING, browser, programs, resize
from carousel.inspection.contents import Contents
from carousel.inspection.page import page_bytes

ERRORS = """
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason?.stack)));
addEventListener("securitypolicyviolation", (event) => problems.push(event.violatedDirective));
"""


class Page:
    """One page in one tab; what a test asks is asked of the page's own script."""

    def __init__(self, chrome: Any, folder: Path) -> None:
        self.chrome = chrome
        self.folder = folder

    def open(
        self,
        contents: Contents,
        other: Contents | None = None,
        size: tuple[int, int] = (1400, 1000),
        theme: str = "light",
    ) -> Page:
        """Writes the page of some contents, opens it, and waits until it is ready."""
        wish = {"name": "prefers-color-scheme", "value": theme}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
        path = self.folder / "page.html"
        path.write_bytes(page_bytes(contents, other))
        resize(self.chrome, size)
        self.chrome.get_log("browser")  # what an earlier page said is read, and so forgotten
        self.chrome.get(path.as_uri())
        self.run("await carousel.ready; await frame();")
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs a script in the page, where it may wait; returns what it returns."""
        wrapped = f"""
            const done = arguments[arguments.length - 1];
            const given = Array.from(arguments).slice(0, -1);
            const frame = () => new Promise((resolve) =>
                requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve))));
            (async () => {{ {script} }})().then(
                (value) => done({{ value }}), (error) => done({{ error: String(error.stack) }}));
        """
        answer = self.chrome.execute_async_script(wrapped, *arguments)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def value(self, expression: str, *arguments: Any) -> Any:
        """Returns the value of an expression, after the page has drawn what was asked of it."""
        return self.run(f"await frame(); return await ({expression});", *arguments)

    def text(self, css: str) -> str:
        """Returns the words of an element."""
        return self.value("document.querySelector(given[0]).innerText", css)

    def keys(self, *keys: str) -> None:
        """Presses keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.chrome).send_keys(key).perform()
        self.run("await frame();")

    def problems(self) -> list[str]:
        """Returns errors, refused requests and warnings since the page was opened."""
        heard = [entry["message"] for entry in self.chrome.get_log("browser")]
        return heard + self.value("window.problems")


def one_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser with one tab, for a fixture of a module's tests; skipped where there is none."""
    if programs() is None:
        pytest.skip(MISSING)
    pytest.importorskip("selenium", reason=MISSING)
    folder = tmp_path_factory.mktemp("page")
    with browser(folder) as chrome:
        chrome.set_script_timeout(60)
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": ERRORS})
        yield Page(chrome, folder)
