"""The twin against recordings of the controller itself, Kubernetes v1.37.1 (see `recorded/README.md`)."""

import json
from pathlib import Path

import pytest

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import ControllerSettings, ExternalMetric, ObjectMetric, PodsMetric, ResourceMetric
from loadgen.autoscale.state import (
    Container,
    ExternalValues,
    HpaStatus,
    Memory,
    ObjectValue,
    PodState,
    PodValues,
    ReadError,
    ResourceSample,
    ResourceSamples,
    ScaleState,
    SelectorError,
)
from loadgen.base.quantity import parse_milli

RECORDINGS = (Path(__file__).parent / "recorded" / "controller-v1.37.1.jsonl").read_text().splitlines()
UNPARSABLE = (
    "couldn't convert selector into a corresponding internal selector object: "
    "unable to parse requirement: found 'x' expected: '('"
)


def pods(step, requests_milli):
    containers = tuple(Container(name=name, requests_milli=milli) for name, milli in sorted(requests_milli.items()))
    running = ({"name": f"p{number}"} for number in range(step.get("running", 0)))
    return tuple(
        PodState(
            name=each["name"],
            phase=each.get("phase", "Running"),
            ready=each.get("ready", "True") or None,
            deleting=each.get("deleting", False),
            start_s=each.get("start_s"),
            ready_since_s=each.get("ready_since_s"),
            containers=containers,
        )
        for each in (*running, *step.get("pods", ()))
    )


def reading(metric, step):
    if "error" in step:
        return ReadError(message=step["error"])
    match metric:
        case PodsMetric():
            return PodValues(milli=step.get("pods", {}))
        case ObjectMetric():
            return ObjectValue(milli=step.get("value", 0))
        case ExternalMetric():
            return ExternalValues(milli=tuple(step.get("values", ())))
        case ResourceMetric():
            return ResourceSamples(
                by_pod={
                    name: ResourceSample(value_milli=value, at_s=at_s, window_s=window_s)
                    for name, (value, at_s, window_s) in step.get("samples", {}).items()
                }
            )


def scale(step):
    if "scale_error" in step:
        return ReadError(message=step["scale_error"])
    selector_error = None
    if step.get("selector") == "":
        selector_error = SelectorError(reason="SelectorRequired")
    elif "selector" in step:
        selector_error = SelectorError(reason="InvalidSelector", message=UNPARSABLE)
    return ScaleState(
        spec_replicas=step["spec_replicas"],
        status_replicas=step["status_replicas"],
        selector_error=selector_error,
        update_error=step.get("update_error"),
    )


def play(recording):
    """Yield each recorded sync and the twin's decision on it."""
    spec, memory, status = parse_hpa(recording["manifest"]), Memory(), HpaStatus()
    for step in recording["syncs"]:
        if "manifest" in step:
            spec = parse_hpa(step["manifest"])
        decision = reconcile(
            spec,
            now_s=step["now_s"],
            scale=scale(step),
            pods=pods(step, recording["requests_milli"]),
            readings=[reading(*pair) for pair in zip(spec.metrics, step["readings"], strict=True)],
            memory=Memory() if step.get("restarted") else memory,
            status=status,
            controller=ControllerSettings(**recording["controller"]),
        )
        yield step, decision
        memory, status = decision.memory, decision.status


def remembered(memory):
    return [
        [[each.replicas, each.at_ns] for each in memory.recommendations],
        [[each.change, each.at_ns, int(each.outdated)] for each in memory.scale_ups],
        [[each.change, each.at_ns, int(each.outdated)] for each in memory.scale_downs],
    ]


def current(recorded):
    """Return value in milli and utilization of an entry of `status.currentMetrics`; None if the metric failed."""
    return recorded and (parse_milli(recorded["value"]), recorded.get("utilization"))


@pytest.mark.parametrize("line", RECORDINGS, ids=range(1, len(RECORDINGS) + 1))
def test_the_controller_decided_the_same(line):
    """Replicas, events, conditions, metric values and memory of every sync are identical, with texts and times."""
    for number, (step, decision) in enumerate(play(json.loads(line))):
        decided = step["decided"]
        where = f"sync {number} at {step['now_s']} s"
        assert (decision.replicas if decision.rescaled else None) == decided["replicas"], where
        assert [[each.type, each.reason, each.message] for each in decision.events] == decided["events"], where
        conditions = [[each.type, each.status, each.reason, each.message] for each in decision.status.conditions]
        assert conditions == decided["conditions"], where
        assert decision.status.desired_replicas == decided["desired_replicas"], where
        assert remembered(decision.memory) == decided["memory"], where
        if decision.proposals:
            values = [None if each.fault else (each.current_milli, each.utilization_pct) for each in decision.proposals]
            assert values == [current(each) for each in decided["current"]], where
