"""The real collector process against a Prometheus and replicas whose every value is known."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from loadgen.collect.start import start_collector
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler
from support.servers.metrics import (
    RATIO,
    FakePrometheus,
    FakeReplica,
    eventually,
    run_folder,
    write_journal,
    write_state,
)

AUTOSCALER = Autoscaler(
    metric=RATIO,
    target=1.0,
    min_replicas=1,
    max_replicas=4,
    sync_period_s=15,
    rate_window_s=10,
    scrape_interval_s=1,
    scale_down_window_s=30,
)
SERIES = {
    RATIO: [{"pod": "a"}],
    "up": [{"pod": "a"}, {"pod": "of-another-job"}],
    "nv_trt_llm_request_metrics": [
        {"pod": "a", "model": "tensorrt_llm", "request_type": "active"},
        {"pod": "a", "model": "tensorrt_llm", "request_type": "waiting"},
        {"pod": "a", "model": "tensorrt_llm", "request_type": "max"},
    ],
    "nv_trt_llm_kv_cache_block_metrics": [{"pod": "a", "kv_cache_block_type": "fraction"}],
}
QUERIED = {"ratio", "up", "engine_active", "engine_waiting", "kv_used_ratio"}
RAW = {"raw_queue_us", "raw_compute_us", "raw_success", "raw_failure", "raw_pending"}

COMMAND = [sys.executable, "-m", "loadgen.collect"]

Process = subprocess.Popen[bytes]


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    with FakePrometheus(SERIES) as fake:
        yield fake


@pytest.fixture
def replica() -> Iterator[FakeReplica]:
    with FakeReplica("a") as fake:
        yield fake
        fake.released.set()


@pytest.fixture
def folder(tmp_path: Path, prometheus: FakePrometheus, replica: FakeReplica) -> RunFolder:
    """A run on a local stack of one ready replica."""
    folder = run_folder(tmp_path, autoscaler=AUTOSCALER)
    write_state(folder, prometheus=f"http://{prometheus.address}", replicas=[replica.state()])
    return folder


@contextmanager
def collecting(folder: RunFolder, period_s: float = 1.0, timeout_s: float = 10.0) -> Iterator[Process]:
    """The collector at its own pace, on a lifeline; ended with the block when the test has not ended it."""
    with (folder.logs / "collector.log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, f"--period-s={period_s}", f"--timeout-s={timeout_s}", str(folder.path)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
        if process.poll() is None:
            assert end(process) == 0, log_of(folder)
    finally:
        process.kill()
        process.communicate()


def end(process: Process) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=30)


def log_of(folder: RunFolder) -> str:
    return (folder.logs / "collector.log").read_text()


def samples(folder: RunFolder, signal_name: str | None = None, pod: str | None = None) -> pd.DataFrame:
    rows = folder.read("samples")
    if signal_name:
        rows = rows[rows.signal == signal_name]
    return rows[rows.pod == pod] if pod else rows


def gaps(folder: RunFolder) -> list[dict[str, Any]]:
    events = folder.read("events")
    return [json.loads(data) for data in events[events.kind == "collect_gap"].data]


def test_what_is_recorded_is_what_the_sources_said(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """Every sample of Prometheus is recorded once, at its own time, with its own value, and so is every raw read."""
    with collecting(folder):
        eventually(lambda: set(samples(folder).signal) == QUERIED | RAW, "all signals")
        seen = len(samples(folder, "ratio"))
        eventually(lambda: len(samples(folder, "ratio")) >= seen + 6, "two more parts of ratios")
    clock = folder.read_info().clock
    for name in QUERIED:
        rows = samples(folder, name)
        unix_s = [round(clock.to_unix(t_s)) for t_s in rows.t_s]
        assert unix_s == list(range(unix_s[0], unix_s[0] + len(unix_s)))  # one a second: none lost, none twice
        assert rows.value.tolist() == [prometheus.value(second) for second in unix_s]
        assert set(rows.pod) == {"a"}  # what Prometheus scrapes besides is not ours
    # the replica counts its reads: 1, 2, 3 …
    success = samples(folder, "raw_success", "a").value.tolist()
    assert success == list(range(1, replica.reads + 1))
    assert samples(folder, "raw_queue_us", "a").value.tolist() == [100 * count for count in success]
    assert samples(folder, "raw_failure", "a").value.unique().tolist() == [3.0]
    times = samples(folder, "raw_success", "a").t_s
    assert times.is_monotonic_increasing
    assert times.min() >= 0
    assert gaps(folder) == []


def test_the_journal_is_copied_to_its_last_line(folder: RunFolder) -> None:
    """Lines written before, meanwhile and just before the end are events, in order, and a half line is not."""
    write_journal(folder, '{"t_s": 0.5, "kind": "replica_created", "pod": "a", "data": null}\n{"t_s": 1, "kind": "repl')
    with collecting(folder) as process:
        eventually(lambda: len(folder.read("events")) == 1, "the first event")
        write_journal(folder, 'ica_ready", "pod": "a"}\n')
        eventually(lambda: len(folder.read("events")) == 2, "the line whose end came later")
        write_journal(folder, '{"t_s": 3, "kind": "hpa_rescale", "data": {"before": 1, "after": 2}}\n{"t_s": 4')
        assert end(process) == 0
    events = folder.read("events")
    assert events.kind.tolist() == ["replica_created", "replica_ready", "hpa_rescale"]
    assert json.loads(events.data.iloc[2]) == {"before": 1, "after": 2}


def test_prometheus_gone_for_a_while_is_one_gap(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """One event holds the span, the replica is read on meanwhile, and afterwards all goes on."""
    clock = folder.read_info().clock
    with collecting(folder):
        eventually(lambda: len(samples(folder, "ratio")) > 3, "first ratios")
        prometheus.stop()
        gone_s = clock.now_s()
        reads = replica.reads
        eventually(lambda: "did not answer" in log_of(folder), "a line in the log")
        eventually(lambda: clock.now_s() > gone_s + 4 and replica.reads > reads + 3, "raw reads meanwhile")
        prometheus.start()
        back_s = clock.now_s()
        eventually(lambda: samples(folder, "ratio").t_s.max() > back_s, "ratios again")
        eventually(lambda: len(gaps(folder)) == 1, "the gap")
    [gap] = gaps(folder)
    assert gap["source"] == "prometheus"
    # the last sample before and the first after it went, by the second on which the fake has its samples
    assert gone_s - 1.1 <= gap["from_s"] <= gone_s
    assert back_s <= gap["to_s"] <= back_s + 1.1
    missing = samples(folder, "up").t_s.between(gap["from_s"] + 1e-3, gap["to_s"] - 1e-3)
    assert not missing.any()


def test_a_ready_replica_that_hangs_is_a_gap_and_hinders_no_other(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """A gap names the replica, the others are read all the while, and a gap that goes on is told at the end."""
    with FakeReplica("b") as good, collecting(folder, period_s=0.5, timeout_s=0.4) as process:
        write_state(folder, prometheus=f"http://{prometheus.address}", replicas=[replica.state(), good.state()])
        eventually(lambda: set(samples(folder, "raw_success").pod) == {"a", "b"}, "both replicas")
        replica.hanging.set()
        reads = good.reads
        eventually(lambda: good.reads >= reads + 8, "six reads of the other one")
        assert end(process) == 0
    [event] = folder.read("events").to_dict("records")
    assert (event["kind"], event["pod"]) == ("collect_gap", "a")
    span = json.loads(event["data"])
    assert span["source"] == "metrics"
    assert span["from_s"] == pytest.approx(samples(folder, "raw_success", "a").t_s.max(), abs=1e-3)
    assert samples(folder, "raw_success", "b").t_s.max() > span["from_s"] + 1.5


def test_replicas_that_come_and_go_are_no_gap(folder: RunFolder, replica: FakeReplica) -> None:
    """A replica that is not ready yet need not answer, and one that was scaled away is not missed."""
    with FakeReplica("b") as late, collecting(folder):
        late.stop()
        write_state(folder, prometheus=None, replicas=[replica.state(), late.state("started")])
        reads = replica.reads
        eventually(lambda: replica.reads >= reads + 4, "four passes with one that is not ready")
        late.start()
        write_state(folder, prometheus=None, replicas=[replica.state(), late.state()])
        eventually(lambda: len(samples(folder, "raw_success", "b")) > 0, "the new replica")
        write_state(folder, prometheus=None, replicas=[replica.state()])
        late.stop()
        reads = replica.reads
        eventually(lambda: replica.reads >= reads + 4, "four passes without it")
    assert gaps(folder) == []


def test_the_death_of_the_parent_ends_it_with_all_it_has(folder: RunFolder, replica: FakeReplica) -> None:
    """When the lifeline is cut it reads a last time, closes its parts and ends well."""
    with collecting(folder) as process:
        eventually(lambda: replica.reads >= 2, "two reads")
        write_journal(folder, '{"t_s": 9, "kind": "load_stopped"}\n')
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    assert folder.read("events").kind.tolist() == ["load_stopped"]
    assert samples(folder, "raw_success").value.tolist() == list(range(1, replica.reads + 1))
    assert len(samples(folder, "ratio")) > 0
    assert "the parent process has ended" in log_of(folder)


def test_the_one_that_starts_it_stops_it(folder: RunFolder, replica: FakeReplica) -> None:
    """`start_collector` and `stop` leave a complete run folder and exit code 0."""
    child = start_collector(folder)
    eventually(lambda: replica.reads >= 1, "a read")
    assert child.stop(grace_s=30.0) == 0
    assert set(samples(folder).signal) == QUERIED | RAW


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_it_has(folder: RunFolder, replica: FakeReplica, number: signal.Signals) -> None:
    """SIGTERM and SIGINT, also twice, lose nothing."""
    with collecting(folder) as process:
        eventually(lambda: replica.reads >= 2, "two reads")
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
    assert samples(folder, "raw_success").value.tolist() == list(range(1, replica.reads + 1))


def test_sigkill_costs_the_last_seconds_only(folder: RunFolder, replica: FakeReplica) -> None:
    """Every part on disk is whole, and at most the rows since the last one are gone."""
    with collecting(folder) as process:
        eventually(lambda: len(list(folder.path.glob("samples/part-*"))) >= 3, "three parts")
        process.kill()
        process.wait(timeout=30)
        recorded = samples(folder, "raw_success").value.tolist()
    assert recorded == list(range(1, len(recorded) + 1))
    assert replica.reads - len(recorded) <= 3
    assert not list(folder.path.glob("*/*.tmp"))


def test_a_full_disk_costs_nothing_once_there_is_room_again(folder: RunFolder, replica: FakeReplica) -> None:
    """While no file can grow, rows wait in memory; afterwards all are there, and nothing before is lost."""
    with collecting(folder) as process:
        eventually(lambda: len(samples(folder)) > 0, "first part")
        limits = psutil.Process(process.pid)
        before = limits.rlimit(resource.RLIMIT_FSIZE)
        kept = samples(folder)
        limits.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        reads = replica.reads
        eventually(lambda: replica.reads >= reads + 8, "reads while the disk is full")
        # what was measured before the disk was full may have been written in the meantime, no more
        assert len(samples(folder, "raw_success")) <= reads + 1
        assert samples(folder).head(len(kept)).equals(kept)
        limits.rlimit(resource.RLIMIT_FSIZE, before)
        eventually(lambda: len(samples(folder, "raw_success")) >= reads + 8, "the rows that waited")
    assert samples(folder, "raw_success").value.tolist() == list(range(1, replica.reads + 1))
    assert gaps(folder) == []


def test_a_disk_that_stays_full_is_the_exit_code(folder: RunFolder, replica: FakeReplica) -> None:
    """Rows that cannot be written to the very end are counted in the log, and the exit code says so."""
    (folder.path / "samples").write_text("")
    with collecting(folder) as process:
        eventually(lambda: replica.reads >= 5, "two attempts to close a part")
        assert end(process) == 4
    log = log_of(folder)
    assert log.count("cannot record samples") == 1
    assert "samples and 0 events are lost" in log


def test_a_url_target_is_read_without_a_stack(tmp_path: Path, prometheus: FakePrometheus, replica: FakeReplica) -> None:
    """With both addresses in the settings the same signals come, the server named by its own address."""
    settings = {
        "metrics_url": f"http://{replica.address}",
        "prometheus_url": f"http://{prometheus.address}/",
        "model": "tensorrt_llm_bls",
    }
    folder = run_folder(tmp_path, target="http://127.0.0.1:8000", settings=settings)
    with collecting(folder):
        eventually(lambda: set(samples(folder).signal) == QUERIED | RAW, "all signals")
    assert set(samples(folder, "raw_success").pod) == {replica.address}
    assert set(samples(folder, "ratio").pod) == {"a"}
    assert gaps(folder) == []


def test_a_url_target_that_is_not_there_is_a_gap_from_the_start(tmp_path: Path, replica: FakeReplica) -> None:
    """An address that never answers is told for the whole run."""
    replica.stop()
    settings = {"metrics_url": f"http://{replica.address}", "model": "m"}
    folder = run_folder(tmp_path, target="http://127.0.0.1:8000", settings=settings)
    clock = folder.read_info().clock
    with collecting(folder) as process:
        eventually(lambda: "cannot be read" in log_of(folder), "the fault in the log")
        since_s = clock.now_s()
        eventually(lambda: clock.now_s() > since_s + 4, "a gap long enough")
        assert end(process) == 0
    [gap] = gaps(folder)
    assert gap["from_s"] < since_s < gap["to_s"]


def test_a_target_without_addresses_is_nothing_to_do(tmp_path: Path) -> None:
    """It says so in one line, waits for its end, and records no gap."""
    folder = run_folder(tmp_path, target="http://127.0.0.1:8000")
    with collecting(folder) as process:
        eventually(lambda: "nothing to collect" in log_of(folder), "the line in the log")
        assert process.poll() is None
    assert not list(folder.path.glob("*/part-*"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """One sentence and the exit code of a wrong argument."""
    result = subprocess.run(
        [*COMMAND, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert b"is not a run folder" in result.stderr
    assert b"Traceback" not in result.stderr


def test_an_empty_standard_input_is_no_lifeline(folder: RunFolder, replica: FakeReplica) -> None:
    """Started by hand without input, as `nohup` does, it runs on."""
    process = subprocess.Popen([*COMMAND, str(folder.path)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: replica.reads >= 3, "three reads")
        assert end(process) == 0
    finally:
        process.kill()
        process.wait()
