"""A real browser for pages: Chromium without a window, driven through chromedriver.

Knows nothing of what a page shows. Nothing is downloaded: both programs must be there, as Debian's
packages ``chromium`` and ``chromium-driver`` put them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "needs a browser: chromium and chromedriver in the PATH (Debian: chromium, chromium-driver) "
    "and the Python package selenium"
)


def programs() -> tuple[str, str] | None:
    """Returns where the browser and its driver are, or None where one is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextlib.contextmanager
def browser(downloads: Path, size: tuple[int, int] = (1400, 1000)) -> Iterator[Any]:
    """Gives a browser that is closed at the end of the block.

    Args:
        downloads: the folder that files are saved into.
        size: width and height of the window, in CSS pixels.

    Yields:
        A ``selenium.webdriver.Chrome``.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    found = programs()
    assert found is not None, MISSING
    options = webdriver.ChromeOptions()
    options.binary_location, driver = found
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument("--window-size={},{}".format(*size))
    options.add_argument("--force-device-scale-factor=1")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        resize(chrome, size)
        yield chrome
    finally:
        chrome.quit()


def resize(chrome: Any, size: tuple[int, int], ratio: float = 1.0) -> None:
    """Gives the page itself this size, which is less than the window's."""
    width, height = size
    how = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)
