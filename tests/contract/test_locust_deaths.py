"""A run of the real `locust` command in which something dies: a worker, the collector, the command, the disk.

Needs nothing but loopback; about a minute and a half.
"""

import os
import re
import signal
import subprocess
import sys
import time

from support.runs.locust_bench import REPORTS, Bench

LONG = {"TEST_S": "60", "TEST_PER_S": "10", "TEST_TIMEOUT_S": "5"}
"""A load that does not end before something dies."""
_LOCUST_GIVES_UP_S = 3.0
"""How long Locust by itself waits for the heartbeat of a worker."""


def test_a_worker_that_dies_ends_the_run(bench: Bench) -> None:
    """A killed worker takes its requests along: the run is a tool error, and what was recorded is reported on."""
    process = bench.start("--processes", "2", **LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.workers()[0].kill()
    code, out, err = process.wait()
    assert code == 4, err
    assert re.search(r"^error: worker [12] of 2 died", err, re.MULTILINE), err
    assert "INVALID" in out
    assert bench.run_folder().read_info().state == "loading"
    assert (bench.run_folder().path / "report.html").is_file()


def test_workers_that_are_silent_for_seconds_are_not_dead(bench: Bench) -> None:
    """A busy machine stops both for longer than Locust waits: every request still has its row, late ones say so."""
    process = bench.start("--processes", "2", TEST_S="10", TEST_PER_S="10", TEST_TIMEOUT_S="5", TEST_LAG_S="2")
    bench.wait_for(lambda: bench.rows_so_far() > 10)
    workers = process.workers()
    assert len(workers) == 2
    for worker in workers:
        worker.suspend()
    time.sleep(2 * _LOCUST_GIVES_UP_S)
    for worker in workers:
        worker.resume()
    code, _, err = process.wait()
    assert code == 3, err
    info = bench.run_folder().read_info()
    assert info.state == "finished"
    assert len(bench.requests()) == info.expected_rows


def test_a_collector_that_dies_ends_the_run(bench: Bench) -> None:
    """A run that nobody observes is no run: it is a tool error that names the log, and what was recorded is there."""
    process = bench.start(**LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    (collector,) = process.collectors()
    collector.kill()
    code, _, err = process.wait()
    assert code == 4, err
    assert "error: the collector ended by itself (exit code -9): read " in err
    assert len(bench.requests()) > 20


def test_killed_loses_seconds_not_the_run(bench: Bench) -> None:
    """After SIGKILL the parts closed so far are reported on, and the page says that the run was interrupted."""
    process = bench.start(**LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.signal(signal.SIGKILL)
    process.wait(within_s=30)
    kept = len(bench.requests())
    report = subprocess.run(
        [sys.executable, "-m", "loadgen", "report", str(bench.run_folder().path)],
        env={**os.environ, "LOADGEN_REPORTS": REPORTS}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.returncode == 3, report.stderr
    assert kept > 20
    assert "interrupted" in (bench.run_folder().path / "report.md").read_text()


def test_full_disk(bench: Bench) -> None:
    """When the run folder cannot be written any more, the run ends as a tool error and keeps what it has."""
    process = bench.start(**LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    kept = bench.rows_so_far()
    folder = bench.run_folder().path / "requests"
    # a folder that a part cannot be created in stands for a full disk: root may write anywhere else
    folder.rename(folder.with_name("requests.kept"))
    folder.write_text("")
    code, _, err = process.wait()
    assert code == 4, err
    assert re.search(r"^error: cannot record requests in .*the data recorded before is kept", err, re.MULTILINE), err
    folder.unlink()
    folder.with_name("requests.kept").rename(folder)
    assert bench.rows_so_far() >= kept
