"""Replays recordings on the twin and finds all differences to the real controller."""

from collections.abc import Iterator
from typing import Any

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import (
    ControllerSettings,
    ExternalMetric,
    HpaSpec,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
)
from loadgen.autoscale.state import (
    NS_PER_S,
    Container,
    Decision,
    ExternalValues,
    HpaStatus,
    Memory,
    ObjectValue,
    PodState,
    PodValues,
    ReadError,
    Reading,
    ResourceSample,
    ResourceSamples,
    ScaleState,
    SelectorError,
)
from loadgen.base.quantity import parse_milli

_NOT_ASKED = ReadError(message="the controller did not ask for this metric")


def milli(quantity: str) -> int:
    """A quantity in thousandths."""
    return parse_milli(quantity)


def _pods(sync: dict[str, Any], containers: dict[str, dict[str, str]]) -> tuple[PodState, ...]:
    requests = tuple(
        Container(name=name, requests_milli={key: milli(value) for key, value in wanted.items()})
        for name, wanted in containers.items()
    )
    return tuple(PodState(name=name, containers=requests, **fields) for name, fields in sorted(sync["pods"].items()))


def _name(metric: MetricSpec) -> str:
    return "resource" if isinstance(metric, ResourceMetric) else metric.name


def _reading(metric: MetricSpec, read: dict[str, Any] | None) -> Reading:
    if read is None:
        return _NOT_ASKED
    if "error" in read:
        return ReadError(message=read["error"])
    match metric:
        case PodsMetric():
            return PodValues(milli={pod: milli(value) for pod, value in read["pods"].items()})
        case ObjectMetric():
            return ObjectValue(milli=milli(read["value"]))
        case ExternalMetric():
            return ExternalValues(milli=tuple(milli(value) for value in read["values"]))
        case ResourceMetric():
            return ResourceSamples(by_pod={pod: _sample(metric, each) for pod, each in read["samples"].items()})


def _sample(metric: ResourceMetric, sample: dict[str, Any]) -> ResourceSample:
    usage = sample["usage"]
    if metric.container is not None:
        usage = {name: each for name, each in usage.items() if name == metric.container}
    values = [each.get(metric.resource) for each in usage.values()]
    known = bool(values) and None not in values
    total = sum(milli(value) for value in values) if known else None
    return ResourceSample(value_milli=total, at_s=sample["at_s"], window_s=sample["window_s"])


def _scale(sync: dict[str, Any]) -> ScaleState | ReadError:
    if "scale_error" in sync:
        return ReadError(message=sync["scale_error"])
    error = None
    if sync.get("selector") == "":
        error = SelectorError(reason="SelectorRequired")
    elif "ambiguous" in sync:
        error = SelectorError(reason="AmbiguousSelector", message=sync["ambiguous"])
    return ScaleState(
        spec_replicas=sync["spec_replicas"],
        status_replicas=sync["status_replicas"],
        selector_error=error,
        update_error=sync.get("update_error"),
    )


def play(recording: dict[str, Any]) -> Iterator[tuple[dict[str, Any], HpaSpec, Memory, Decision]]:
    """Yield each recorded sync with the twin's spec, its memory before the sync, and its decision."""
    spec, memory, status = parse_hpa(recording["manifest"]), Memory(), HpaStatus()
    for sync in recording["syncs"]:
        if "manifest" in sync:
            spec = parse_hpa(sync["manifest"])
        pods = () if sync.get("selector") == "app=none" else _pods(sync, recording["containers"])
        decision = reconcile(
            spec,
            now_s=sync["at_s"],
            scale=_scale(sync),
            pods=pods,
            readings=[_reading(metric, sync["readings"].get(_name(metric))) for metric in spec.metrics],
            memory=Memory() if sync.get("restarted") else memory,
            status=status,
            controller=ControllerSettings(**recording["controller"]),
        )
        yield sync, spec, memory, decision
        memory, status = decision.memory, decision.status


def differences(recording: dict[str, Any]) -> list[str]:
    """Return the differences between the twin and the controller, one message each."""
    found: list[str] = []
    for number, (sync, _, _, twin) in enumerate(play(recording), start=1):
        real = sync["decided"]
        pairs = {
            "replicas": (real["replicas"], twin.replicas if twin.rescaled else None),
            "events": (real["events"], [[each.type, each.reason, each.message] for each in twin.events]),
            "conditions": (
                [each[:4] for each in real["conditions"]],
                [[each.type, each.status, each.reason, each.message] for each in twin.status.conditions],
            ),
            "current replicas": (real["current_replicas"], twin.status.current_replicas),
            "desired replicas": (real["desired_replicas"], twin.status.desired_replicas),
            "metric values": (
                [each and (milli(each["value"]), each.get("utilization")) for each in real["current"]],
                [None if each.fault else (each.current_milli, each.utilization_pct) for each in twin.proposals],
            ),
            "times": (True, _same_times(real, twin)),
        }
        if "scale_error" in sync:  # such a sync leaves the current values unchanged
            del pairs["metric values"]
        found += [
            f"{recording['series']}, sync {number}: {what}: the controller {controller}, the twin {ours}"
            for what, (controller, ours) in pairs.items()
            if controller != ours
        ]
    return found


def _same_times(real: dict[str, Any], twin: Decision) -> bool:
    """Compare times to the second, the precision of the API."""
    pairs = [(each[4], ours.since_s) for each, ours in zip(real["conditions"], twin.status.conditions, strict=False)]
    pairs += [(real["last_scale_s"], twin.status.last_scale_s)]
    return all((a is None) == (b is None) and (a is None or b is None or -0.2 <= b - a <= 1.2) for a, b in pairs)


def closest_call_s(recording: dict[str, Any]) -> float:
    """Return the smallest distance between the age of a remembered record and a window or period that applies to it.

    The controller takes its times some milliseconds after the recorder: an age nearer than that could go either way.
    """
    controller = ControllerSettings(**recording["controller"])
    nearest = float("inf")
    for sync, spec, memory, decision in play(recording):
        if decision.proposed_replicas is None:
            continue
        if any(isinstance(metric, ResourceMetric) and metric.resource == "cpu" for metric in spec.metrics):
            starts = [pod["start_s"] for pod in sync["pods"].values() if "start_s" in pod]
            ends = [start_s + controller.cpu_initialization_period_s for start_s in starts]
            nearest = min([nearest, *(abs(sync["at_s"] - end_s) for end_s in ends)])
        limits, events = {controller.downscale_stabilization_s}, (*memory.scale_ups, *memory.scale_downs)
        if spec.behavior is not None:
            sides = (spec.behavior.scale_up, spec.behavior.scale_down)
            limits = {
                controller.downscale_stabilization_s
                if side.stabilization_window_s is None
                else side.stabilization_window_s
                for side in sides
            }
            periods = {policy.period_s for side in sides for policy in side.policies}
            for each in events:
                nearest = min([nearest, *(abs(_age(sync, each.at_ns) - period) for period in periods)])
        for each in memory.recommendations:
            nearest = min([nearest, *(abs(_age(sync, each.at_ns) - limit) for limit in limits)])
    return nearest


def _age(sync: dict[str, Any], at_ns: int) -> float:
    return float(sync["at_s"]) - at_ns / NS_PER_S
