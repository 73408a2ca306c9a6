"""Steps of wall clocks during a run: that of this machine, and that of Prometheus."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.base.clock import Clock
from loadgen.collect import collector as module
from loadgen.collect.collector import Collector
from loadgen.collect.prometheus import PrometheusReader
from loadgen.collect.signals import queried
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import RunInfo
from support.servers.metrics import MODEL, RATIO, FakePrometheus, run_folder, write_state

Step = Callable[[float], None]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Step:
    """Sets the wall clock of this machine, or that of the simulated Prometheus, forward by some seconds."""

    def _step(seconds: float, where: Any = "support.servers.metrics.time") -> None:
        stepped = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic, sleep=time.sleep)
        monkeypatch.setattr(where, stepped)

    return _step


@pytest.fixture
def info(tmp_path: Path) -> RunInfo:
    return run_folder(tmp_path, model=MODEL).read_info()


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_samples_of_a_stepped_prometheus_are_skipped(info: RunInfo, step: Step, seconds: float) -> None:
    """They would be at t = 3,600 s of a run of a minute, or be dropped as old without a word."""
    now_s = 100.0  # the run began 100 s ago, so that a sample of the last seconds is one of the run
    clock = Clock(anchor_unix_s=time.time() - now_s, anchor_monotonic_s=time.monotonic() - now_s)
    reader = PrometheusReader(queried(info), clock, 5.0)
    with FakePrometheus({RATIO: [{"pod": "a"}]}) as prometheus:
        prometheus.spans = [[0.0, float("inf")]]
        url = f"http://{prometheus.address}"
        assert reader.read(url, ["a"])
        assert reader.offset_s is None
        step(seconds)
        assert reader.read(url, ["a"]) == []
        assert reader.offset_s == pytest.approx(seconds, abs=60)
        step(0.0)
        reader.read(url, ["a"])
        assert reader.offset_s is None


def test_a_step_of_this_machine_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forward and back again: two events, however many passes follow."""
    folder = run_folder(tmp_path, model=MODEL)
    write_state(folder, prometheus=None, replicas=[])
    collector = Collector(folder, folder.read_info())
    for seconds in (0.0, 3600.0, 3600.0, 0.0, 0.0):
        wall = SimpleNamespace(time=lambda seconds=seconds: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(module, "time", wall)
        collector.collect()
    assert collector.finish()
    events = folder.read("events")
    steps = events[events.kind == EventKind.CLOCK_STEP]
    assert steps.message.to_list() == [
        "this machine's clock was set 3,600 s forward",
        "this machine's clock was set 3,600 s backward",
    ]
