"""Events that are converted from one state of an object, and the quantities in it."""

import pytest

from loadgen.kube.objects.events import hpa_sync
from loadgen.kube.objects.raw import milli


def test_the_status_of_an_hpa_is_one_sync_of_the_controller():
    """Values in milli-units and all conditions; the message only where scaling is not active."""
    metric = {"type": "Pods", "pods": {"current": {"averageValue": "1250m"}}}
    spec = {"metrics": [{"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "1"}}}]}
    active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "well"}
    hpa = {
        "spec": spec,
        "status": {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": [metric], "conditions": [active]},
    }
    sync = hpa_sync(hpa, 50.0)
    assert (sync.unix_s, sync.reason, sync.message) == (50.0, "ValidMetricFound", None)
    assert sync.data is not None
    assert (sync.data["metric_milli"], sync.data["target_milli"], sync.data["desired"]) == (1250, 1000, 2)
    failing = {**active, "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    blind = hpa_sync({"spec": spec, "status": {"conditions": [failing], "currentMetrics": None}}, 60.0)
    assert (blind.reason, blind.message) == ("FailedGetPodsMetric", "no metrics")
    assert blind.data is not None
    assert blind.data["metric_milli"] is None


def test_the_whole_status_and_the_spec_are_recorded():
    """All metrics with their values, the conditions with their times, and the HPA at that time."""
    metrics = [{"type": "Pods", "pods": {"current": {"averageValue": "1250m"}}}, {"type": ""}]
    since = "2026-11-30T12:00:00Z"
    able = {
        "type": "AbleToScale",
        "status": "True",
        "reason": "SucceededRescale",
        "message": "x",
        "lastTransitionTime": since,
    }
    hpa = {
        "spec": {"maxReplicas": 4, "metrics": []},
        "status": {"currentMetrics": metrics, "conditions": [able], "lastScaleTime": since},
    }
    data = hpa_sync(hpa, 50.0).data
    assert data is not None
    assert (data["current_metrics"], data["conditions"], data["spec"]) == (metrics, [able], hpa["spec"])
    assert data["last_scale_time"] == since


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        *(("1500m", 1500), ("1.5", 1500), ("2", 2000), ("3k", 3_000_000), ("x", None), (None, None)),
        *(("100u", 1), ("1e3", 1_000_000), ("1Ki", 1_024_000), ("1E", None)),
    ],
)
def test_quantities_in_milli_units(quantity, expected):
    """Quantities are read as Kubernetes reads them; a value that exceeds an int64 cannot be parsed."""
    assert milli(quantity) == expected
