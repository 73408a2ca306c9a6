"""The collector with a real Prometheus that scrapes replicas with known counters."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder
from loadgen.programs.find import find_prometheus
from support.runs.tables import SCALER
from support.servers.metrics import MODEL, RATIO, FakeReplica, eventually, run_folder, write_state

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{folder}/rules.yml"]
scrape_configs:
  - job_name: triton
    static_configs:
{targets}
  - job_name: prometheus
    static_configs: [{{targets: ["{address}"]}}]
"""
TARGET = '      - {{targets: ["{address}"], labels: {{pod: "{name}"}}}}\n'
QUEUE, COMPUTE = "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"
RULES = f"""
groups:
  - name: ratio
    rules:
      - record: {RATIO}
        expr: >-
          sum by (pod) (rate({QUEUE}{{model="{MODEL}"}}[5s]))
          / sum by (pod) (rate({COMPUTE}{{model="{MODEL}"}}[5s]))
"""
# Every scrape adds 100 µs of queue time and 50 µs of compute time; the other values are constant.
TRUTH = {"ratio": {2.0}, "engine_active": {3.0}, "engine_waiting": {1.0}, "kv_used_ratio": {0.25}, "up": {0.0, 1.0}}
METRIC = {
    "ratio": RATIO,
    "up": 'up{job="triton"}',
    "engine_active": 'nv_trt_llm_request_metrics{request_type="active"}',
    "engine_waiting": 'nv_trt_llm_request_metrics{request_type="waiting"}',
    "kv_used_ratio": 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}',
}


class Prometheus:
    """A real Prometheus on loopback, with storage that survives a kill."""

    def __init__(self, folder: Path, replicas: list[FakeReplica]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url, self._folder = f"http://{self.address}", folder
        targets = "".join(TARGET.format(address=replica.address, name=replica.name) for replica in replicas)
        (folder / "rules.yml").write_text(RULES)
        (folder / "prometheus.yml").write_text(CONFIG.format(folder=folder, targets=targets, address=self.address))

    @contextmanager
    def running(self) -> Iterator[Child]:
        command = [
            find_prometheus(),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}",
        ]
        child = spawn(command, log=self._folder / "prometheus.log", parent_death_signal=signal.SIGKILL)
        try:
            eventually(self._ready, "Prometheus is ready")
            yield child
        finally:
            child.kill()
            child.wait(timeout_s=30)

    def samples(self, metric: str) -> set[tuple[str, float, float]]:
        """Return pod, time and value of every stored sample of a metric."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": f"{metric}[5m]"}, timeout=10).json()
        return {
            (series["metric"]["pod"], round(unix_s, 3), float(value))
            for series in answer["data"]["result"]
            for unix_s, value in series["values"]
            if value != "NaN"
        }

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.RequestException:
            return False


@pytest.fixture
def replicas() -> Iterator[list[FakeReplica]]:
    with FakeReplica("triton-a") as a, FakeReplica("triton-b") as b:
        yield [a, b]


@pytest.fixture
def prometheus(tmp_path: Path, replicas: list[FakeReplica]) -> Prometheus:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    return Prometheus(folder, replicas)


@pytest.fixture
def folder(tmp_path: Path, replicas: list[FakeReplica], prometheus: Prometheus) -> RunFolder:
    autoscaler = SCALER.model_copy(update={"metric": RATIO, "rate_window_s": 5.0})
    folder = run_folder(tmp_path, autoscaler=autoscaler)
    write_state(folder, prometheus=prometheus.url, replicas=[replica.state() for replica in replicas])
    return folder


@contextmanager
def collecting(folder: RunFolder) -> Iterator[Child]:
    command = [sys.executable, "-m", "loadgen.collect", folder.path]
    child = spawn(command, log=folder.logs / "collector.log", lifeline=True)
    try:
        yield child
    finally:
        assert child.stop(grace_s=30.0) == 0, child.log.read_text()


def recorded(folder: RunFolder, name: str) -> list[tuple[str, float, float]]:
    rows, clock = folder.read("samples"), folder.read_info().clock
    rows = rows[rows.signal == name]
    return [
        (pod, round(clock.to_unix(t_s), 3), value)
        for pod, t_s, value in zip(rows.pod, rows.t_s, rows.value, strict=True)
    ]


def test_recorded_samples_equal_those_of_prometheus(
    folder: RunFolder, prometheus: Prometheus, replicas: list[FakeReplica]
) -> None:
    """Each sample is recorded once, with its time and value in Prometheus, including those of a replica that dies."""
    with prometheus.running():
        with collecting(folder):
            eventually(lambda: len(recorded(folder, "ratio")) >= 6, "ratios")
            write_state(folder, prometheus=prometheus.url, replicas=[replicas[0].state()])
            replicas[1].stop()
            eventually(lambda: ("triton-b", 0.0) in {(p, v) for p, _, v in recorded(folder, "up")}, "b is down")
            count = len(recorded(folder, "ratio"))
            eventually(lambda: len(recorded(folder, "ratio")) >= count + 6, "more ratios")
        # queried after the collector's last query, so it may have more samples
        stored = {name: prometheus.samples(metric) for name, metric in METRIC.items()}
    for name, truth in TRUTH.items():
        rows = recorded(folder, name)
        assert len(set(rows)) == len(rows)
        last = {pod: unix_s for pod, unix_s, _ in rows}  # rows of a pod are in order of time
        assert set(rows) == {sample for sample in stored[name] if sample[1] <= last[sample[0]]}
        assert {round(value, 9) for _, _, value in rows} == truth
    assert folder.read("events").empty


def test_a_restart_of_prometheus_is_one_gap(folder: RunFolder, prometheus: Prometheus) -> None:
    """The outage is one gap without samples, although Prometheus repeats old values for times without samples."""
    clock = folder.read_info().clock
    with collecting(folder):
        with prometheus.running() as child:
            eventually(lambda: len(recorded(folder, "ratio")) >= 6, "ratios")
            child.kill()
            child.wait(timeout_s=30)
            killed_s = clock.now_s()
        eventually(lambda: clock.now_s() > killed_s + 5, "time passes")
        with prometheus.running():
            eventually(lambda: len(folder.read("events")) > 0, "the gap")
            eventually(lambda: max(folder.read("samples").query("signal == 'ratio'").t_s) > killed_s + 5, "ratios")
    [event] = folder.read("events").to_dict("records")
    span = json.loads(event["data"])
    assert (event["kind"], span["source"]) == ("collect_gap", "prometheus")
    assert span["from_s"] <= killed_s < killed_s + 5 <= span["to_s"]
    up = folder.read("samples").query("signal == 'up'").t_s
    assert not up.between(span["from_s"] + 1e-3, span["to_s"] - 1e-3).any()
