"""The table of signals, and how their kinds parse a response."""

from pathlib import Path

import pytest

from loadgen.collect import custom_metrics
from loadgen.collect.signals import EXPOSED, QUERIED, Gauge, Reading, RecordingRule, queried
from loadgen.dataset.names import GENERATOR_SIGNALS, NODE_USE_SIGNALS, SignalName
from support.runs.tables import SCALER
from support.servers.metrics import run_folder

TWO_MODELS_OF_A = [
    {"metric": {"pod": "a", "model": "x"}, "values": [[10, "1.5"], [11, "2"]]},
    {"metric": {"pod": "a", "model": "y"}, "values": [[10, "0.25"], [11, "NaN"]]},
]


def test_a_recording_rule_sums_the_series_of_a_pod() -> None:
    """Ratios of two models of a pod are one value at each time, as in the adapter's default query."""
    # 1.5 + 0.25 at 10 s; at 11 s the NaN of y is skipped
    assert RecordingRule().parse(TWO_MODELS_OF_A) == [Reading(10, "a", 1.75), Reading(11, "a", 2.0)]


def test_gauge_takes_the_largest_series_of_a_pod() -> None:
    """A gauge with two series of a pod is the larger of them at each time."""
    assert Gauge().parse(TWO_MODELS_OF_A) == [Reading(10, "a", 1.5), Reading(11, "a", 2.0)]


def test_readings_of_all_pods_are_in_order_of_time() -> None:
    """Two pods scraped at different times are interleaved by time."""
    answer = [
        {"metric": {"pod": "a"}, "values": [[10.2, "1"], [11.2, "2"]]},
        {"metric": {"pod": "b"}, "values": [[9.9, "3"], [10.9, "4"]]},
    ]
    readings = Gauge().parse(answer)
    assert [(reading.unix_s, reading.pod) for reading in readings] == [
        (9.9, "b"),
        (10.2, "a"),
        (10.9, "b"),
        (11.2, "a"),
    ]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_values_that_are_not_finite_are_skipped(value: str) -> None:
    """NaN and infinity are missing, not a value."""
    assert Gauge().parse([{"metric": {"pod": "a"}, "values": [[1, value]]}]) == []


@pytest.mark.parametrize(
    ("labels", "pod"),
    [({"pod": "a", "instance": "h:1"}, "a"), ({"instance": "h:1"}, "h:1"), ({}, None)],
)
def test_a_series_is_named_by_pod_or_else_by_instance(labels: dict[str, str], pod: str | None) -> None:
    """Label `pod` names the replica; outside Kubernetes the scraped address does; without both it is the fleet."""
    assert Gauge().parse([{"metric": labels, "values": [[1, "1"]]}]) == [Reading(1, pod, 1.0)]


@pytest.mark.parametrize("answer", [None, {}, [{"values": []}], [{"metric": {}, "values": [["x", "1"]]}], "matrix"])
def test_an_invalid_response_is_an_error(answer: object) -> None:
    """A result that is not a matrix is an error and not an empty result."""
    with pytest.raises(ValueError, match="series"):
        Gauge().parse(answer)


def test_every_declared_signal_is_collected() -> None:
    """The tables, a cluster's metrics APIs, the kernel and the load generator make exactly the declared signals."""
    others = {custom_metrics.FIELD, SignalName.CONNECTIONS, *NODE_USE_SIGNALS, *GENERATOR_SIGNALS}
    assert {signal.field for signal in (*QUERIED, *EXPOSED)} | others == set(SignalName)


@pytest.mark.parametrize(
    ("metric", "asked"),
    [("queue_to_compute", "queue_to_compute"), ("no metric name", "triton:queue_compute:ratio")],
)
def test_ratio_is_the_metric_that_the_autoscaler_reads(tmp_path: Path, metric: str, asked: str) -> None:
    """The run's autoscaler names the recording rule, unless its metric cannot be one."""
    autoscaler = SCALER.model_copy(update={"metric": metric})
    info = run_folder(tmp_path, autoscaler=autoscaler).read_info()
    metrics = {signal.field: signal.metric for signal in queried(info)}
    assert metrics["ratio"] == asked
    assert set(metrics) == {signal.field for signal in QUERIED}
