"""The stack's autoscaler, from Prometheus' answer to a replica count."""

import json
from typing import Any

import pytest

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.record import inputs_data, parse_inputs
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.state import Decision, HpaStatus, Memory, PodState, PodValues, ReadError, Reading
from loadgen.base.errors import SettingsError
from loadgen.local.autoscaler import (
    Autoscaler,
    adapter_answer,
    adapter_query,
    hpa_spec,
    metric_milli,
    pod_state,
    sync_data,
    sync_inputs,
)
from loadgen.scenario.fleets import Local

UNREADABLE = ReadError(message="Internal error occurred: unable to fetch metrics")
LOCAL = Local(replicas=(1, 4), ratio_target=1.0, scale_down_window_s=30.0)


def answer(**values: str) -> bytes:
    series = [{"metric": {"pod": pod}, "value": [1795521600.0, value]} for pod, value in values.items()]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()


def ready(*names: str) -> list[PodState]:
    return [pod_state(name, "ready") for name in names]


def sync(autoscaler: Autoscaler, now_s: float, desired: int, pods: list[PodState], reading: Reading) -> Decision:
    return autoscaler.sync(now_s=now_s, desired=desired, pods=pods, reading=reading)


def test_the_query_is_that_of_prometheus_adapter() -> None:
    """The default rule of prometheus-adapter, with the pods' names as it fills them in."""
    assert adapter_query(["triton-x-a", "triton-x-b"]) == (
        'sum(triton:queue_compute:ratio{pod=~"triton-x-a|triton-x-b"}) by (pod)'
    )


@pytest.mark.parametrize(
    ("body", "reading"),
    [
        # int64(value · 1000) drops the fraction of a milli
        (answer(a="0.1239", b="2"), PodValues(milli={"a": 123, "b": 2000})),
        (answer(a="NaN"), PodValues(milli={"a": 0})),
        (answer(), PodValues(milli={})),
        (b"<html>", UNREADABLE),
        (b'{"status":"error","error":"..."}', UNREADABLE),
    ],
)
def test_answer_becomes_milli_quantities(body: bytes, reading: Reading) -> None:
    """Values become milli, NaN becomes 0, no series and no answer become the adapter's errors."""
    assert adapter_answer(body) == reading


def test_scales_up_by_the_ratio() -> None:
    """A ratio of 2.5 against a target of 1 gives ceil(2.5 · 1) = 3 replicas, in one step."""
    autoscaler = Autoscaler(LOCAL)
    decision = sync(autoscaler, 15.0, 1, ready("a"), PodValues(milli={"a": 2500}))
    assert (decision.replicas, decision.rescaled) == (3, True)
    assert metric_milli(decision) == 2500


def test_loading_replicas_damp_the_next_scale_up() -> None:
    """One hot pod at 3 beside two that still load: 3000 DIV 3 = 1000 milli, ratio 1, so the count does not change."""
    pods = [*ready("a"), pod_state("b", "pulling"), pod_state("c", "started")]
    decision = sync(Autoscaler(LOCAL), 15.0, 3, pods, PodValues(milli={"a": 3000}))
    assert decision.replicas == 3


def test_scales_down_only_after_the_window() -> None:
    """Idle, the count falls once the highest recommendation of the last 30 s has passed, to the fewest replicas."""
    autoscaler = Autoscaler(LOCAL)
    desired = 1
    counts = []
    for now_s in (15.0, 30.0, 45.0, 60.0, 75.0):
        pods = ready(*(f"p{number}" for number in range(desired)))
        busy = now_s == 15.0
        reading = PodValues(milli=dict.fromkeys((pod.name for pod in pods), 2500 if busy else 0))
        decision = sync(autoscaler, now_s, desired, pods, reading)
        assert decision.replicas is not None
        desired = decision.replicas
        counts.append(desired)
    # recommendations: 3 at 15 s, then 0. At 45 s the 3 is 30 s old and no longer younger than the window (strictly).
    assert counts == [3, 3, 1, 1, 1]


def test_does_not_scale_when_the_metric_cannot_be_read() -> None:
    """Without Prometheus the count does not change, and the reason is FailedGetPodsMetric, as in Kubernetes."""
    decision = sync(Autoscaler(LOCAL), 15.0, 3, ready("a", "b", "c"), UNREADABLE)
    assert (decision.replicas, decision.rescaled) == (3, False)
    active = decision.status.condition("ScalingActive")
    assert active is not None
    assert (active.status, active.reason) == ("False", "FailedGetPodsMetric")
    assert "unable to fetch metrics" in (decision.error or "")
    assert metric_milli(decision) is None


def test_draining_pods_are_ignored() -> None:
    """A deleted replica is not averaged, although Prometheus still has its series."""
    pods = [*ready("a"), pod_state("b", "draining")]
    decision = sync(Autoscaler(LOCAL), 15.0, 1, pods, PodValues(milli={"a": 500, "b": 9000}))
    assert metric_milli(decision) == 500


def test_event_data_is_plain_json() -> None:
    """`hpa_sync` has the inputs and the decision, in JSON."""
    autoscaler = Autoscaler(LOCAL)
    decision = sync(autoscaler, 15.0, 1, ready("a"), PodValues(milli={"a": 2500}))
    data: dict[str, Any] = json.loads(json.dumps(sync_data(autoscaler.spec, decision, current=1)))
    assert {key: data[key] for key in ("current", "desired", "metric_milli", "target_milli")} == {
        "current": 1,
        "desired": 3,
        "metric_milli": 2500,
        "target_milli": 1000,
    }
    assert {"AbleToScale", "ScalingActive", "ScalingLimited"} <= {each["type"] for each in data["conditions"]}
    assert data["proposals"][0]["replicas"] == 3


def test_a_recorded_sync_can_be_replayed() -> None:
    """The inputs in the event give the decision again."""
    pods = [*ready("a"), pod_state("b", "pulling"), pod_state("c", "started")]
    reading = PodValues(milli={"a": 3000})
    decision = sync(Autoscaler(LOCAL), 15.0, 3, pods, reading)
    inputs = parse_inputs(json.loads(json.dumps(inputs_data(sync_inputs(3, pods, reading)))))
    assert inputs is not None
    assert inputs.scale.status_replicas == 3
    again = reconcile(
        hpa_spec(LOCAL),
        now_s=15.0,
        scale=inputs.scale,
        pods=inputs.pods,
        readings=inputs.readings,
        memory=Memory(),
        status=HpaStatus(),
    )
    assert again == decision
    assert again.rule == Rule.PODS


def test_a_window_that_kubernetes_would_reject() -> None:
    """A stabilization window of more than an hour is refused before the stack starts."""
    with pytest.raises(SettingsError, match="3600"):
        hpa_spec(Local(scale_down_window_s=4000))
