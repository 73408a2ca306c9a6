"""The web UI of the `locust` command in a browser: the page shows the state of the runs that it starts and stops."""

from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from browser.conftest import Page
from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench, LocustProcess, silent_server

RECORD_STATUSES = """
window.statuses = [];
const record = () => {
  const status = /^Status\\s+(\\w+)$/im.exec(document.body.innerText)?.[1];
  if (status && status !== statuses.at(-1)) statuses.push(status);
};
new MutationObserver(record).observe(document.body, {subtree: true, childList: true, characterData: true});
record();
"""
RUNNING = ("SPAWNING", "RUNNING")
COUNT_POLLS = "return performance.getEntriesByType('resource').filter(e => e.name.endsWith('/stats/requests')).length"


class WebUi(Page):
    """The page of a `locust` command, and every status that it has shown."""

    def load(self, url: str) -> None:
        self.driver.get(url)
        self.wait(lambda: self.polls() > 0)
        self.run(RECORD_STATUSES)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait for the page and the run behind it."""
        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: condition())

    def statuses(self) -> list[str]:
        statuses: list[str] = self.run("return statuses")
        return statuses

    def ends(self) -> list[str]:
        """The statuses in which no test runs."""
        return [each for each in self.statuses() if each not in RUNNING]

    def polls(self) -> int:
        """How often the page has asked for the state."""
        return int(self.run(COUNT_POLLS))

    def wait_for_polls(self, count: int) -> None:
        before = self.polls()
        self.wait(lambda: self.polls() >= before + count)

    def has(self, selector: str, text: str) -> bool:
        texts = self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", selector)
        return text.lower() in [each.lower() for each in texts]

    def press(self, text: str, selector: str = "button") -> None:
        self.wait(lambda: self.has(selector, text))
        (element,) = [each for each in self.all(selector) if each.text.lower() == text.lower()]
        element.click()


@pytest.fixture
def page(driver: Chrome, bench: Bench) -> Iterator[WebUi]:
    """An empty page, which is left before the commands end; its console must be empty."""
    page = WebUi(driver)
    page.console()
    yield page
    driver.get("about:blank")
    assert page.console() == []


def start(bench: Bench, *flags: str, **settings: str) -> tuple[LocustProcess, str]:
    process = bench.start("--web-port", "0", *flags, headless=False, **settings)
    return process, bench.web_url(process)


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["local", "workers"])
def test_a_run_is_shown_from_start_to_stop_while_its_target_starts(
    page: WebUi,
    bench: Bench,
    flags: tuple[str, ...],
) -> None:
    """A target can take minutes: until Stop the page shows a running test, though it asks for the state again."""
    with silent_server() as server:
        process, url = start(bench, *flags, "--target", f"grpc://{server.address}")
        page.load(url)
        page.press("Start")
        assert server.connected.wait(timeout=60)
        page.wait_for_polls(2)
        assert page.statuses()[-1] == "SPAWNING"
        page.press("Stop")
        page.wait(lambda: page.has("button", "New"))
    assert page.ends() == ["READY", "STOPPED"]
    bench.wait_for(lambda: "error: stopped before the load began" in process.err())


def test_a_run_is_shown_until_its_last_request(page: WebUi, bench: Bench) -> None:
    """While requests in flight finish, the page asks for the state again; then it offers a report and a new run."""
    bench.prompts(Script(tokens=2, gap_s=0.02), Script(tokens=2, gap_s=6))
    _, url = start(bench, "--stop-timeout", "9", TEST_S="60", TEST_PER_S="4", TEST_TIMEOUT_S="15")
    page.load(url)
    page.press("Start")
    bench.wait_for(lambda: bench.rows_so_far() > 1)
    page.press("Stop")
    page.wait_for_polls(2)
    assert page.statuses()[-1] == "RUNNING"
    page.wait(lambda: page.has("button", "New"))
    page.press("Download Data", "[role=tab]")
    page.wait(lambda: page.has("a", "Download Report"))
    (link,) = [each.get_attribute("href") for each in page.all("a") if each.text == "Download Report"]
    assert link is not None
    main = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.driver.get(link)
    page.wait(lambda: "ModelStreamInfer" in page.run("return document.body.innerText"))
    page.driver.close()
    page.driver.switch_to.window(main)
    page.press("New")
    page.press("Start")
    page.wait_for_polls(2)
    assert page.ends() == ["READY", "STOPPED"]
    assert page.statuses()[-1] in RUNNING
    bench.wait_for(lambda: len(bench.reports()) == 1)
