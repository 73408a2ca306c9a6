"""Every way a run of the real `locust` command ends: by time, signal, death of a process, full disk."""

import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench, silent_server


def test_run_time_ends_the_run_early(bench: Bench) -> None:
    """-t keeps its meaning: the run is stopped on purpose, what was due has rows, the report is written."""
    code, out, err = bench.run("-t", "3s", TEST_S="60", TEST_PER_S="10")
    assert code in (0, 1, 3), err
    assert bench.run_folder().read_info().state == "stopped"
    assert 20 <= len(bench.requests()) <= 60
    assert out.strip().endswith("report.html")


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
def test_a_grace_time_sends_nothing_more(bench: Bench, flags: tuple[str, ...]) -> None:
    """--stop-timeout lets what is in flight end well; what is due meanwhile is not held against the generator."""
    bench.prompts(Script(tokens=3, gap_s=0.7))
    _, _, err = bench.run("-t", "3s", "--stop-timeout", "5", *flags, TEST_S="60", TEST_PER_S="10")
    rows = bench.requests()
    assert set(rows.outcome) <= {"ok", "not_sent"}, err
    assert set(rows.cause.dropna()) <= {"run stopped"}
    load_end_s = bench.run_folder().read_info().load_end_s
    assert load_end_s is not None
    # the last answers come 1.4 s after the stop, while many users are free
    assert (rows.scheduled_s < load_end_s - 1).all()


@pytest.mark.parametrize("dead", [1, 2], ids=["one", "all"])
def test_a_worker_that_dies_ends_the_run(bench: Bench, dead: int) -> None:
    """A killed worker takes its requests along: the run is a tool error, and what was recorded is reported on."""
    process = bench.start("--processes", "2", TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    workers = [child for child in psutil.Process(process.pid).children() if child.name() == "locust"]
    for worker in workers[:dead]:
        worker.kill()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 4, err
    assert re.search(r"^error: worker [12](, 2)? of 2 died", err, re.MULTILINE), err
    assert "INVALID" in out
    assert bench.run_folder().read_info().state == "loading"
    assert (bench.run_folder().path / "report.html").is_file()


def test_workers_that_are_silent_for_seconds_are_not_dead(bench: Bench) -> None:
    """A busy machine stops both for longer than Locust waits: every request still has its row, late ones say so."""
    process = bench.start("--processes", "2", TEST_S="20", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    workers = [child for child in psutil.Process(process.pid).children() if child.name() == "locust"]
    for worker in workers:
        worker.suspend()
    time.sleep(6)
    for worker in workers:
        worker.resume()
    _, err = process.communicate(timeout=90)
    assert process.returncode == 3, err
    info = bench.run_folder().read_info()
    assert info.state == "finished"
    assert len(bench.requests()) == info.expected_rows


def test_a_collector_that_dies_ends_the_run(bench: Bench) -> None:
    """A run that nobody observes is no run: it is a tool error that names the log, and what was recorded is there."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    collectors = [child for child in psutil.Process(process.pid).children() if "loadgen.collect" in child.cmdline()]
    assert len(collectors) == 1
    collectors[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "error: the collector ended by itself (exit code -9): read " in err
    assert len(bench.requests()) > 40


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
def test_stopped_before_the_load(bench: Bench, flags: tuple[str, ...]) -> None:
    """Ctrl-C while the target is asked for its models ends at once with one sentence and no traceback."""
    with silent_server() as address:
        process = bench.start("--target", f"grpc://{address}", *flags)
        bench.wait_for(lambda: any((bench.folder / "runs").glob("*/run.json")))
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert err.count("error: stopped before the load began") == 1
    assert "Traceback" not in err
    assert "cannot reach" not in err


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_signal(bench: Bench, number: signal.Signals, flags: tuple[str, ...]) -> None:
    """Ctrl-C and SIGTERM stop the run on purpose: every row due so far is there, and the report is written."""
    bench.prompts(Script(tokens=4, gap_s=0.5))
    process = bench.start(*flags, TEST_S="60", TEST_PER_S="10")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(len(rows))), err
    assert {"ok", "cut_off"} <= set(rows.outcome)
    assert set(rows.cause.dropna()) <= {"run stopped", "no free user"}
    assert bench.run_folder().read_info().state == "stopped"
    assert (bench.run_folder().path / "report.html").is_file(), out + err
    assert "Traceback" not in err


def test_stopped_twice(bench: Bench) -> None:
    """A second Ctrl-C ends at once: no traceback, and the command that judges what was recorded."""
    process = bench.start(TEST_S="60", TEST_PER_S="10")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.send_signal(signal.SIGINT)
    bench.wait_for(lambda: bench.run_folder().read_info().state == "stopped")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert f"loadgen report {bench.run_folder().path.relative_to(bench.folder)}" in err
    assert "Traceback" not in err


def test_killed_loses_seconds_not_the_run(bench: Bench) -> None:
    """After SIGKILL the parts closed so far are reported on, and the page says that the run was interrupted."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    process.kill()
    process.communicate(timeout=30)
    kept = len(bench.requests())
    report = subprocess.run(
        [sys.executable, "-m", "loadgen", "report", str(bench.run_folder().path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.returncode == 3, report.stderr
    assert kept > 40
    assert "interrupted" in (bench.run_folder().path / "report.md").read_text()


def test_full_disk(bench: Bench) -> None:
    """When the run folder cannot be written any more, the run ends as a tool error and keeps what it has."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    kept = bench.rows_so_far()
    folder = bench.run_folder().path / "requests"
    # a folder that a part cannot be created in stands for a full disk: root may write anywhere else
    folder.rename(folder.with_name("requests.kept"))
    folder.write_text("")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert re.search(r"^error: cannot record requests in .*the data recorded before is kept", err, re.MULTILINE), err
    folder.unlink()
    folder.with_name("requests.kept").rename(folder)
    assert bench.rows_so_far() >= kept
