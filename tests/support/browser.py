"""A real browser for tests of pages: headless Chromium, its console, its screenshots."""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.paths import ROOT

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SCREENSHOTS = ROOT / "build" / "screenshots"
DESK, PHONE = (1280, 900), (360, 740)
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
)  # fmt: skip


class Browser:
    """One page at a time. driver: selenium's, for what is not offered here."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Show a page file at a size in CSS pixels, in the scheme `light` or `dark`."""
        self.show_as(size, scheme)
        self.driver.get(page.absolute().as_uri())

    def show_as(self, size: tuple[int, int], scheme: str) -> None:
        """Another size and scheme for the page that is open."""
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
        is_phone = size[0] <= PHONE[0]
        self._tell("Emulation.setDeviceMetricsOverride", {**screen, "mobile": is_phone})
        media = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self._tell("Emulation.setEmulatedMedia", {"features": features})

    def script(self, code: str, *arguments: object) -> Any:
        """What a script returns."""
        return self.driver.execute_script(code, *arguments)

    def console(self) -> list[str]:
        """What the console said since the last time this was asked: errors, refused requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def overflow_px(self) -> int:
        """How much wider than the window the page is: more than 0 scrolls sideways."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.script(f"return {width}"))

    def requests(self) -> list[str]:
        """What the page fetched beyond itself."""
        code = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        return [name for name in self.script(code) if not name.startswith("data:")]

    def screenshot(self, name: str) -> np.ndarray:
        """The whole page as rgb uint8 [height, width, 3], kept as `build/screenshots/NAME.png`."""
        taken = self._tell("Page.captureScreenshot", {"captureBeyondViewport": True})
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(taken["data"]))
        return np.ascontiguousarray(np.asarray(cv2.imread(str(path)))[..., ::-1])

    def screenshots(self, name: str) -> dict[str, np.ndarray]:
        """The open page at both sizes in both schemes, by `light-desk`, `dark-phone` and so on."""
        taken = {}
        for scheme in ("light", "dark"):
            for size, where in ((DESK, "desk"), (PHONE, "phone")):
                self.show_as(size, scheme)
                taken[f"{scheme}-{where}"] = self.screenshot(f"{name}-{scheme}-{where}")
        return taken

    def _tell(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser that is gone, with its profile, when the context ends."""
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
        try:
            yield Browser(driver)
        finally:
            driver.quit()


@pytest.fixture(scope="session")
def one_browser() -> Iterator[Browser]:
    """One browser for all tests of pages."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium: `apt-get install chromium chromium-driver`")
    with started() as running:
        yield running


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """The browser; the page that a test opened is left, so that it takes no time of others."""
    yield one_browser
    one_browser.driver.get("about:blank")
