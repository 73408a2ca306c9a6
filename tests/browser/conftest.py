"""Tests in a real browser: headless Chromium, driven by Selenium. They take about two minutes.

Needs Chromium and its driver (Debian: `apt-get install chromium chromium-driver`); without them the tests are skipped,
and where `CI` is set they fail. Every test also checks that the console stayed empty; the report makes no request.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from loadgen_reports.write import write_reports
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from support.runs.locust_fixtures import bench, ports  # noqa: F401 - pytest finds them here
from support.runs.synthetic import sample

FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


class Page:
    """A page in the browser, with the requests that it made and its console."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, file: Path) -> None:
        """Load a file and wait until its scripts have run."""
        self.driver.get(file.as_uri())
        self.wait(lambda: self.run("return document.readyState") == "complete")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return its value."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """Return the only element that matches a CSS selector."""
        (element,) = self.all(selector)
        return element

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements that match a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds.

        Raises:
            selenium.common.TimeoutException: The condition did not hold within 10 s.
        """
        WebDriverWait(self.driver, 10, poll_frequency=0.05).until(lambda _: condition())

    def emulate(self, command: str, **parameters: Any) -> None:
        """Send a command of the Chrome DevTools protocol."""
        self.driver.execute_cdp_cmd(command, parameters)

    def console(self) -> list[str]:
        """Return the console's messages since the last call, with errors of scripts and of the security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the URLs that were requested since the last call, except files and inline data."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium with an empty profile."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        missing = "Chromium or its driver is missing: run `apt-get install chromium chromium-driver`"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(executable_path=chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(driver: Chrome) -> Iterator[Page]:
    """An empty page; after the test it must have made no request and its console must be empty."""
    page = Page(driver)
    driver.get("about:blank")
    page.console()
    page.requests()
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    page.emulate("Emulation.clearDeviceMetricsOverride")
    yield page
    assert page.requests() == []
    assert page.console() == []
    if driver.current_url.startswith("file:"):
        page.run("localStorage.clear()")


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the page of a synthetic run, written once."""

    @cache
    def written(name: str) -> Path:
        return write_reports(sample(name), tmp_path_factory.mktemp(name), formats=["html"])["report.html"]

    return written
