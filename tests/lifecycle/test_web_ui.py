"""Runs that are started and stopped in the web UI of the `locust` command.

Needs only loopback. Most tests share one command, in their order; they take about a minute in all.
"""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from loadgen.dataset.folder import RunFolder
from support.runs.locust_bench import Bench, silent_server

WEB = ("--web-port", "0")


class Session:
    """A `locust` command with its web UI, and the buttons of the page."""

    def __init__(self, bench: Bench, *flags: str, **settings: str) -> None:
        self.bench = bench
        self.process = bench.start(*WEB, *flags, headless=False, **settings)
        self._base = bench.web_url(self.process)

    def press_start(self, **fields: str) -> None:
        form = urlencode({"user_count": 1, "spawn_rate": 1, "host": "local", **fields}).encode()
        with urllib.request.urlopen(f"{self._base}/swarm", form, timeout=30) as page:
            answer = json.load(page)
        assert answer["success"], answer

    def press_stop(self) -> None:
        """Stop the run; the report is written afterwards."""
        urllib.request.urlopen(f"{self._base}/stop", b"", timeout=90).close()

    def statistics(self) -> list[dict[str, str]]:
        stats: list[dict[str, str]] = self._page()["stats"]
        return stats

    def state(self) -> str:
        return str(self._page()["state"])

    def _page(self) -> dict[str, list[dict[str, str]]]:
        with urllib.request.urlopen(f"{self._base}/stats/requests", timeout=30) as page:
            content: dict[str, list[dict[str, str]]] = json.load(page)
        return content


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Session]:
    bench = Bench(tmp_path_factory.mktemp("web"), ports)
    try:
        yield Session(bench, "--target", "", TEST_S="60", TEST_PER_S="10", TEST_TIMEOUT_S="5")
    finally:
        bench.close()


@pytest.fixture(scope="module")
def target(ports: dict[str, int]) -> str:
    return f"grpc://127.0.0.1:{ports['grpc']}"


def test_an_unreachable_host(session: Session) -> None:
    """A start that fails prints the reason, and another run can be started."""
    session.press_start(host="grpc://127.0.0.1:1")
    session.bench.wait_for(lambda: "error: cannot reach" in session.process.err() and session.state() == "stopped")
    assert len(session.bench.run_folders()) == 1


def test_start_and_stop(session: Session, target: str) -> None:
    """Start sends requests, which the page counts, and Stop ends the run with a report."""
    session.press_start(host=target)
    # Locust caches the page of its statistics for seconds, so only rows show that this run sends
    session.bench.wait_for(lambda: session.bench.rows_so_far() > 0 and session.state() == "running")
    session.bench.wait_for(lambda: any(entry["method"] == "grpc" for entry in session.statistics()))
    session.press_stop()
    session.bench.wait_for(lambda: len(session.bench.reports()) == 1)


def test_a_run_time_applies_to_one_run(session: Session, target: str) -> None:
    """A run with a run time ends after it; the next one, without a run time, takes longer."""
    session.press_start(host=target, run_time="1s")
    session.bench.wait_for(lambda: len(session.bench.reports()) == 2)
    first = session.bench.rows_so_far()
    session.press_start(host=target)
    session.bench.wait_for(lambda: session.bench.rows_so_far() > first + 40)  # 4 s of the load
    assert session.state() == "running"


def test_a_start_while_the_previous_run_ends(session: Session, target: str) -> None:
    """The new run waits for the end of the previous one, and both have reports."""
    session.press_stop()
    session.press_start(host=target)
    session.bench.wait_for(lambda: len(list((session.bench.folder / "runs").glob("*/requests"))) == 4)
    session.press_stop()
    session.bench.wait_for(lambda: len(session.bench.reports()) == 4)


def test_ctrl_c_ends_a_run_of_the_web_ui(session: Session, target: str) -> None:
    """The run has a report, and each run of the session has its own folder, with rows and state."""
    session.press_start(host=target)
    session.bench.wait_for(lambda: len(list((session.bench.folder / "runs").glob("*/requests"))) == 5)
    session.process.signal(signal.SIGINT)
    _, _, err = session.process.wait()
    assert err.count("error: cannot reach") == 1, err
    assert len(session.bench.reports()) == 5
    loads = [path for path in session.bench.run_folders() if (path / "requests").exists()]
    assert len(loads) == len(session.bench.run_folders()) - 1
    infos = [RunFolder(path).read_info() for path in loads]
    assert {info.state for info in infos} == {"stopped"}
    assert {info.stop_cause for info in infos} == {"run_time", "web_ui", "ctrl_c"}
    assert all(len(RunFolder(path).read("requests")) > 0 for path in loads)


def test_stop_works_before_the_load(tmp_path: Path, ports: dict[str, int]) -> None:
    """Stop ends a distributed run while the target starts, although Locust's master ignores it without users."""
    bench = Bench(tmp_path, ports)
    with silent_server() as server:
        try:
            session = Session(bench, "--processes", "2", "--target", f"grpc://{server.address}")
            session.press_start()
            assert server.connected.wait(timeout=60)
            session.press_stop()
            bench.wait_for(lambda: session.state() == "stopped")
            session.process.signal(signal.SIGINT)
            _, _, err = session.process.wait()
        finally:
            bench.close()
    assert err.count("error: stopped before the load began") == 1, err
    assert "cannot reach" not in err
