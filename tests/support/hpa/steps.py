"""Values that define a series: an HPA, and for every sync the metric answers and the changes before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tier = Literal["fast", "outage", "restart", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An answer that is an API error."""

    code: int = 404
    reason: str = "NotFound"
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A sync.

    Attributes:
        metrics: Answer by metric name: a quantity for every Running pod, quantities by pod (`None`: no value), a list
            for External, or a `Fault`. A Resource metric is called `resource`; its quantities may be by container.
        pods: States that differ from Running and Ready, or more pods than replicas, by pod name.
        count: How many pods exist; `None`: as many as the replicas.
        replicas: Somebody scales by hand before the sync.
        status_replicas: What the scale says of existing pods; `None`: the truth.
        spec: Merge patch of the HPA's spec before the sync.
        scale_error: Reading the scale fails.
        unreadable: What the client says of a scale that is answered and cannot be read.
        refused: Errors of the first writes of the scale.
        rival: Whether a second HPA selects the same pods.
        selector: Selector of the scale; `None`: that of the pods.
        stop: API groups whose server is stopped before the sync.
        start: API groups whose server is started again.
        unreachable: By metric, what the client's error names, when no query arrives.
        running: How many pods of a real Deployment run by now; `None`: all.
        restart: The controllers are killed before the sync, and started again.
        sample_ago_s: Age of resource samples.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    pods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    count: int | None = None
    replicas: int | None = None
    status_replicas: int | None = None
    spec: Mapping[str, Any] | None = None
    scale_error: Fault | None = None
    unreadable: str | None = None
    refused: tuple[Fault, ...] = ()
    rival: bool = False
    selector: str | None = None
    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    running: int | None = None
    restart: bool = False
    sample_ago_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """An HPA and its syncs.

    Attributes:
        name: Its name, also of its namespace.
        claim: The behavior that it demonstrates.
        metrics: `spec.metrics`; none takes the API server's default, CPU at 80 %.
        steps: Its syncs.
        replicas: Of the target at first.
        lowest: `spec.minReplicas`.
        highest: `spec.maxReplicas`.
        behavior: `spec.behavior`; `None` takes the legacy path.
        containers: Requests by container of every pod.
        with_pods: Whether there are pods at all; targets per replica need none.
        deployed: Whether the target is a real Deployment.
        tier: `fast`, or `outage` and `restart`, which disturb the others and come after them, or `slow`: at the
            controller's own defaults.
    """

    name: str
    claim: str
    metrics: Sequence[Mapping[str, Any]]
    steps: Sequence[Step]
    replicas: int = 2
    lowest: int | None = 1
    highest: int = 12
    behavior: Mapping[str, Any] | None = None
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"server": {}})
    with_pods: bool = True
    deployed: bool = False
    tier: Tier = "fast"

    def manifest(self) -> dict[str, Any]:
        """Return the HPA to create."""
        target = {"apiVersion": "twin.loadgen.dev/v1", "kind": "Target", "name": "web"}
        if self.deployed:
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec: dict[str, Any] = {"scaleTargetRef": target, "maxReplicas": self.highest}
        if self.metrics:
            spec["metrics"] = list(self.metrics)
        if self.lowest is not None:
            spec["minReplicas"] = self.lowest
        if self.behavior is not None:
            spec["behavior"] = self.behavior
        metadata = {"name": "web", "namespace": f"twin-{self.name}"}
        return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def pods(target: str = "1", name: str = "load") -> dict[str, Any]:
    """Return a metric of type Pods."""
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def _target(value: str | None, average: str | None) -> dict[str, Any]:
    if value is not None:
        return {"type": "Value", "value": value}
    return {"type": "AverageValue", "averageValue": average}


def on_object(value: str | None = None, average: str | None = None, name: str = "queue") -> dict[str, Any]:
    """Return a metric of type Object for the Service `web`."""
    described = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    source = {"describedObject": described, "metric": {"name": name}, "target": _target(value, average)}
    return {"type": "Object", "object": source}


def external(
    value: str | None = None,
    average: str | None = None,
    name: str = "backlog",
    selector: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a metric of type External."""
    metric: dict[str, Any] = {"name": name} | ({} if selector is None else {"selector": dict(selector)})
    return {"type": "External", "external": {"metric": metric, "target": _target(value, average)}}


def resource(
    utilization: int | None = None, average: str | None = None, name: str = "cpu", container: str | None = None
) -> dict[str, Any]:
    """Return a metric of type Resource, or ContainerResource if a container is given."""
    target: dict[str, Any] = {"type": "AverageValue", "averageValue": average}
    if utilization is not None:
        target = {"type": "Utilization", "averageUtilization": utilization}
    if container is None:
        return {"type": "Resource", "resource": {"name": name, "target": target}}
    source = {"name": name, "container": container, "target": target}
    return {"type": "ContainerResource", "containerResource": source}


def each(name: str, *answers: Any, **more: Any) -> list[Step]:
    """Return one step per answer of a metric."""
    return [Step(metrics={name: answer}, **more) for answer in answers]


def policy(type_: str, value: int, period_s: int) -> dict[str, Any]:
    """Return a scaling policy."""
    return {"type": type_, "value": value, "periodSeconds": period_s}


NO_WINDOW = {"stabilizationWindowSeconds": 0}
FREE = {"policies": [policy("Pods", 100, 1)], **NO_WINDOW}
PENDING = {"phase": "Pending", "ready": None}
NOT_READY = {"ready": "False"}
FAILED = {"phase": "Failed", "ready": "False"}
GONE = {"deleting": True}
CPU = {"server": {"cpu": "500m"}}
OLD = {"start_ago_s": 3600, "ready_ago_s": 3500}
STARTING = {"start_ago_s": 0, "ready_ago_s": 0, "ready": "False"}
STARTED = {"start_ago_s": 0, "ready_ago_s": 0}
UNKNOWN = Fault(message="the server could not find the metric load for pods")
BROKEN = Fault(code=500, reason="InternalError", message="Internal error occurred: unable to list matching resources")
