"""The collector process with a simulated Prometheus and simulated replicas, whose values are known."""

import json
import math
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
from support.runs.tables import SCALER
from support.servers.metrics import (
    RATIO,
    FakePrometheus,
    FakeReplica,
    eventually,
    run_folder,
    write_journal,
    write_state,
)

AUTOSCALER = SCALER.model_copy(update={"metric": RATIO})
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
OF_OTHER_MODELS = {"raw_other_queue_us", "raw_other_compute_us"}
RAW = {"raw_queue_us", "raw_compute_us", "raw_success", "raw_failure", "raw_pending", *OF_OTHER_MODELS}

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
    """Create the folder of a run on a local stack with one ready replica."""
    folder = run_folder(tmp_path, autoscaler=AUTOSCALER)
    write_state(folder, prometheus=f"http://{prometheus.address}", replicas=[replica.state()])
    return folder


@contextmanager
def collecting(folder: RunFolder, period_s: float = 1.0, timeout_s: float = 10.0) -> Iterator[Process]:
    """Run the collector as a child process, and stop it at the end of the block if it still runs."""
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


def test_recorded_samples_equal_those_of_the_sources(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """Every sample of Prometheus and every raw read is recorded once, with its time and value."""
    with collecting(folder):
        eventually(lambda: set(samples(folder).signal) == QUERIED | RAW, "all signals")
        count = len(samples(folder, "ratio"))
        eventually(lambda: len(samples(folder, "ratio")) >= count + 6, "two more parts of ratios")
    clock = folder.read_info().clock
    for name in QUERIED:
        rows = samples(folder, name)
        unix_s = [round(clock.to_unix(t_s)) for t_s in rows.t_s]
        assert unix_s == list(range(unix_s[0], unix_s[0] + len(unix_s)))  # one per second, without gaps or duplicates
        assert rows.value.tolist() == [prometheus.value(second) for second in unix_s]
        assert set(rows.pod) == {"a"}  # other targets of Prometheus are not recorded
    # the replica counts its reads: 1, 2, 3 …
    success = samples(folder, "raw_success", "a").value.tolist()
    assert success == list(range(1, replica.reads + 1))
    assert samples(folder, "raw_queue_us", "a").value.tolist() == [100 * count for count in success]
    assert samples(folder, "raw_failure", "a").value.unique().tolist() == [3.0]
    # four other models
    assert samples(folder, "raw_other_queue_us", "a").value.unique().tolist() == [4 * 7]
    assert samples(folder, "raw_other_compute_us", "a").value.unique().tolist() == [4 * 9]
    times = samples(folder, "raw_success", "a").t_s
    assert times.is_monotonic_increasing
    assert times.min() >= 0
    assert gaps(folder) == []


def test_the_journal_is_copied_to_its_last_line(folder: RunFolder) -> None:
    """All complete lines become events, in order, even those written just before the end; incomplete ones do not."""
    write_journal(folder, '{"t_s": 0.5, "kind": "replica_created", "pod": "a", "data": null}\n{"t_s": 1, "kind": "repl')
    with collecting(folder) as process:
        eventually(lambda: len(folder.read("events")) == 1, "the first event")
        write_journal(folder, 'ica_ready", "pod": "a"}\n')
        eventually(lambda: len(folder.read("events")) == 2, "the line that was completed later")
        write_journal(folder, '{"t_s": 3, "kind": "hpa_rescale", "data": {"before": 1, "after": 2}}\n{"t_s": 4')
        assert end(process) == 0
    events = folder.read("events")
    assert events.kind.tolist() == ["replica_created", "replica_ready", "hpa_rescale"]
    assert json.loads(events.data.iloc[2]) == {"before": 1, "after": 2}


def test_an_outage_of_prometheus_is_one_gap(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """One event has the time span; replicas are read during the outage, and Prometheus again afterwards."""
    clock = folder.read_info().clock
    with collecting(folder):
        eventually(lambda: len(samples(folder, "ratio")) > 3, "first ratios")
        prometheus.stop()
        stopped_s = clock.now_s()
        reads = replica.reads
        eventually(lambda: "did not answer" in log_of(folder), "a line in the log")
        eventually(lambda: clock.now_s() > stopped_s + 4 and replica.reads > reads + 3, "raw reads meanwhile")
        back_s = clock.now_s()  # before the start: a sample may arrive at once
        prometheus.start()
        eventually(lambda: samples(folder, "ratio").t_s.max() > back_s, "ratios again")
        eventually(lambda: len(gaps(folder)) == 1, "the gap")
    [gap] = gaps(folder)
    assert gap["source"] == "prometheus"
    # from the last sample before the outage to the first after it; the fake has one at every whole second
    (_, stopped_unix_s), (back_unix_s, _) = prometheus.spans
    assert round(clock.to_unix(gap["from_s"]), 3) == math.ceil(stopped_unix_s) - 1
    assert round(clock.to_unix(gap["to_s"]), 3) == math.ceil(back_unix_s)
    missing = samples(folder, "up").t_s.between(gap["from_s"] + 1e-3, gap["to_s"] - 1e-3)
    assert not missing.any()


def test_a_hanging_replica_has_a_gap_and_does_not_delay_the_others(
    folder: RunFolder, prometheus: FakePrometheus, replica: FakeReplica
) -> None:
    """A gap has the name of the replica, others are read in every pass, and an open gap is recorded at the end."""
    with FakeReplica("b") as good, collecting(folder, period_s=0.5, timeout_s=0.4) as process:
        write_state(folder, prometheus=f"http://{prometheus.address}", replicas=[replica.state(), good.state()])
        eventually(lambda: set(samples(folder, "raw_success").pod) == {"a", "b"}, "both replicas")
        replica.hanging.set()
        reads = good.reads
        eventually(lambda: good.reads >= reads + 8, "eight reads of the other replica")
        assert end(process) == 0
    events = folder.read("events").to_dict("records")
    *_, event = [each for each in events if each["pod"] == "a"]  # a busy machine may exceed the short time-out before
    assert event["kind"] == "collect_gap"
    span = json.loads(event["data"])
    assert span["source"] == "metrics"
    assert span["from_s"] == pytest.approx(samples(folder, "raw_success", "a").t_s.max(), abs=1e-3)
    assert samples(folder, "raw_success", "b").t_s.max() > span["from_s"] + 1.5


def test_starting_and_stopped_replicas_have_no_gap(folder: RunFolder, replica: FakeReplica) -> None:
    """A replica that is not ready or was scaled down does not have to answer."""
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


def test_the_collector_ends_with_its_parent_and_loses_no_data(folder: RunFolder, replica: FakeReplica) -> None:
    """When standard input closes, the collector reads a last time, writes its parts and exits with 0."""
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


def test_the_parent_stops_the_collector(folder: RunFolder, replica: FakeReplica) -> None:
    """`start_collector` and `stop` leave a complete run folder and exit code 0."""
    child = start_collector(folder)
    eventually(lambda: replica.reads >= 1, "a read")
    assert child.stop(grace_s=30.0) == 0
    assert set(samples(folder).signal) == QUERIED | RAW


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_collector_without_data_loss(
    folder: RunFolder, replica: FakeReplica, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT, also twice, lose nothing."""
    with collecting(folder) as process:
        eventually(lambda: replica.reads >= 2, "two reads")
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
    assert samples(folder, "raw_success").value.tolist() == list(range(1, replica.reads + 1))


def test_sigkill_loses_the_last_seconds_only(folder: RunFolder, replica: FakeReplica) -> None:
    """Every part on disk is complete, and only rows after the last part are lost."""
    with collecting(folder) as process:
        eventually(lambda: len(list(folder.path.glob("samples/part-*"))) >= 3, "three parts")
        process.kill()
        process.wait(timeout=30)
        recorded = samples(folder, "raw_success").value.tolist()
    assert recorded == list(range(1, len(recorded) + 1))
    assert replica.reads - len(recorded) <= 3


def test_a_full_disk_loses_no_data_once_space_is_freed(folder: RunFolder, replica: FakeReplica) -> None:
    """While no file can grow, rows are buffered in memory; afterwards all rows are written."""
    with collecting(folder) as process:
        eventually(lambda: len(samples(folder)) > 0, "first part")
        limits = psutil.Process(process.pid)
        before = limits.rlimit(resource.RLIMIT_FSIZE)
        before_full = samples(folder)
        limits.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        reads = replica.reads
        eventually(lambda: replica.reads >= reads + 8, "reads while the disk is full")
        # only samples from before the disk was full may have been written in the meantime
        assert len(samples(folder, "raw_success")) <= reads + 1
        assert samples(folder).head(len(before_full)).equals(before_full)
        limits.rlimit(resource.RLIMIT_FSIZE, before)
        eventually(lambda: len(samples(folder, "raw_success")) >= reads + 8, "the buffered rows")
    assert samples(folder, "raw_success").value.tolist() == list(range(1, replica.reads + 1))
    assert gaps(folder) == []


def test_a_disk_that_stays_full_sets_the_exit_code(folder: RunFolder, replica: FakeReplica) -> None:
    """Rows that cannot be written at the end are counted in the log."""
    (folder.path / "samples").write_text("")
    with collecting(folder) as process:
        eventually(lambda: replica.reads >= 5, "two attempts to close a part")
        assert end(process) == 4
    log = log_of(folder)
    assert log.count("cannot record samples") == 1
    assert "samples and 0 events are lost" in log


def test_a_url_target_is_read_without_a_stack(tmp_path: Path, prometheus: FakePrometheus, replica: FakeReplica) -> None:
    """With both addresses in the settings, the same signals are collected; the pod is the address of the server."""
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


def test_an_unreachable_url_target_has_a_gap_from_the_start(tmp_path: Path, replica: FakeReplica) -> None:
    """An address that never answers has a gap for the whole run."""
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


def test_a_target_without_addresses_collects_nothing(tmp_path: Path) -> None:
    """The collector logs that there is nothing to collect, keeps running and writes no parts."""
    folder = run_folder(tmp_path, target="http://127.0.0.1:8000")
    with collecting(folder) as process:
        eventually(lambda: "nothing to collect" in log_of(folder), "the line in the log")
        assert process.poll() is None
    assert not list(folder.path.glob("*/part-*"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """The collector exits with the code for usage errors and prints one sentence."""
    result = subprocess.run(
        [*COMMAND, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert b"is not a run folder" in result.stderr
    assert b"Traceback" not in result.stderr


def test_an_empty_standard_input_does_not_end_the_collector(folder: RunFolder, replica: FakeReplica) -> None:
    """Without standard input, as with `nohup`, the collector keeps running."""
    process = subprocess.Popen([*COMMAND, str(folder.path)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: replica.reads >= 3, "three reads")
        assert end(process) == 0
    finally:
        process.kill()
        process.wait()
