"""Runs of the `locust` command in which a worker, the collector or the command itself fails.

Needs only loopback; takes about a minute.
"""

import os
import re
import signal
import subprocess
import sys
import time

from support.runs.locust_bench import REPORTS, Bench

LONG = {"TEST_S": "60", "TEST_PER_S": "10", "TEST_TIMEOUT_S": "5"}
"""A load that is longer than the tests."""
_LOCUST_HEARTBEAT_TIMEOUT_S = 3.0
"""How long Locust waits for the heartbeat of a worker by default."""


def test_a_worker_that_joins_changes_nothing_and_one_that_dies_ends_the_run(bench: Bench) -> None:
    """A third worker cuts no request and sends none. If one of the two is killed, its requests are lost.

    Then the run is a tool error, with a report on the recorded data.
    """
    secret = {"LOADGEN_WORKER_SECRET": "of the test's master"}
    process = bench.start("--processes", "2", **LONG, **secret)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    bench.start("--worker", headless=False, LOCUST_MASTER_NODE_PORT=str(process.master_port), **secret)
    bench.wait_for(lambda: "joined during a run and sends nothing in it" in process.err())
    rows_before = bench.rows_so_far()
    bench.wait_for(lambda: bench.rows_so_far() > rows_before + 40)  # 4 s of the load
    assert set(bench.requests().outcome) == {"ok"}
    process.workers()[0].kill()
    code, out, err = process.wait()
    assert code == 4, err
    assert re.search(r"^error: worker [12] of 2 died", err, re.MULTILINE), err
    assert "INVALID" in out
    assert bench.run_folder().read_info().state == "loading"
    assert (bench.run_folder().path / "report.html").is_file()


def test_workers_that_are_silent_for_seconds_are_not_dead(bench: Bench) -> None:
    """If both are suspended for longer than Locust's timeout, every request has its row, and the run is invalid."""
    process = bench.start("--processes", "2", TEST_S="10", TEST_PER_S="10", TEST_TIMEOUT_S="5", TEST_LAG_S="2")
    bench.wait_for(lambda: bench.rows_so_far() > 10)
    workers = process.workers()
    assert len(workers) == 2
    for worker in workers:
        worker.suspend()
    time.sleep(2 * _LOCUST_HEARTBEAT_TIMEOUT_S)
    for worker in workers:
        worker.resume()
    code, _, err = process.wait()
    assert code == 3, err
    info = bench.run_folder().read_info()
    assert info.state == "finished"
    assert len(bench.requests()) == info.expected_rows


def test_a_collector_that_dies_ends_the_run(bench: Bench) -> None:
    """Without its collector a run is a tool error, with the path of the log, and keeps the recorded data."""
    process = bench.start(**LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    (collector,) = process.collectors()
    collector.kill()
    code, _, err = process.wait()
    assert code == 4, err
    assert "error: the collector ended by itself (exit code -9): read " in err
    assert len(bench.requests()) > 20


def test_a_killed_run_keeps_its_closed_parts(bench: Bench) -> None:
    """After SIGKILL `loadgen report` uses the parts closed so far and reports that the run was interrupted.

    The workers end with the command.
    """
    process = bench.start("--processes", "2", **LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    workers = process.workers()
    process.signal(signal.SIGKILL)
    process.wait(within_s=30)
    bench.wait_for(lambda: not any(worker.is_running() for worker in workers))
    rows = len(bench.requests())
    report = subprocess.run(
        [sys.executable, "-m", "loadgen", "report", str(bench.run_folder().path)],
        env={**os.environ, "LOADGEN_REPORTS": REPORTS}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.returncode == 3, report.stderr
    assert rows > 20
    assert "interrupted" in (bench.run_folder().path / "report.md").read_text()
