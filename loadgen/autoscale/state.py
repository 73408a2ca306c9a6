"""Defines the inputs of one HPA sync (scale, pods, readings, memory, status) and its decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from loadgen.autoscale.rules import Rule, Step

ConditionType = Literal["AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"]
NS_PER_S = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Convert seconds to nanoseconds, in which Go compares times, so that 1000.1 − 300 equals 700.1 exactly."""
    return round(seconds * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's requests, in milli (of a core, of a byte); only utilization targets use them."""

    name: str
    requests_milli: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One pod that the scale's selector matches, as the controller's cache has it.

    Attributes:
        name: Pod name, the key of metric readings.
        phase: `status.phase`.
        ready: Status of the condition Ready, `None` without that condition.
        deleting: Whether `metadata.deletionTimestamp` is set.
        start_s: `status.startTime`; CPU rules only.
        ready_since_s: `lastTransitionTime` of the condition Ready; CPU rules only.
        containers: Containers, then restartable init containers; utilization targets only.
        pod_requests_milli: Effective requests of the pod when `spec.resources.requests` is set, else `None`.
    """

    name: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] = "Running"
    ready: Literal["True", "False", "Unknown"] | None = "True"
    deleting: bool = False
    start_s: float | None = None
    ready_since_s: float | None = None
    containers: tuple[Container, ...] = ()
    pod_requests_milli: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodValues:
    """Answer for a Pods metric: milli value per pod name. An empty answer counts as a failed read, as upstream."""

    milli: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectValue:
    """Answer for an Object metric."""

    milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalValues:
    """Answer for an External metric: the milli value of every matching series. Empty counts as a failed read."""

    milli: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSample:
    """One pod's usage; `value_milli` is `None` when a container has no value yet."""

    value_milli: int | None
    at_s: float
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSamples:
    """Answer for a Resource metric: a sample per pod name. An empty answer counts as a failed read."""

    by_pod: Mapping[str, ResourceSample]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadError:
    """A failed read; `message` is the API's error without the controller's prefix."""

    message: str


Reading = PodValues | ObjectValue | ExternalValues | ResourceSamples | ReadError


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorError:
    """The scale's selector is unusable; `message` is the event's text.

    A malformed selector appears as a `ReadError` of the scale, because client-go parses the selector when it reads the
    scale (`client-go/scale/scheme/autoscalingv1/conversion.go`). `InvalidSelector` is in the controller's code, but a
    real controller has not been observed to report it.

    Attributes:
        reason: The event's reason.
        message: The event's text; for `InvalidSelector` and `AmbiguousSelector` it names the selector and is required.
    """

    reason: Literal["SelectorRequired", "InvalidSelector", "AmbiguousSelector"]
    message: str = "selector is required"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleState:
    """The target's scale subresource.

    Attributes:
        spec_replicas: Desired replicas.
        status_replicas: Existing pods; per-pod targets of Object and External divide by it.
        selector_error: Set if the selector does not identify the pods.
        update_error: Text of the error if writing the scale fails in this sync.
    """

    spec_replicas: int
    status_replicas: int
    selector_error: SelectorError | None = None
    update_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The proposed replicas of one sync, before windows and limits."""

    replicas: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEvent:
    """One change of the scale; `outdated` marks a slot that the next change reuses."""

    change: int
    at_ns: int
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The state that the controller process keeps for one HPA. `Memory()` is that of a controller that just started.

    Times are integer nanoseconds on the axis of `now_s`, because windows compare them exactly. The order of the
    entries is the controller's, which overwrites an entry that no window needs instead of removing it.
    """

    recommendations: tuple[Recommendation, ...] = ()
    scale_ups: tuple[ScaleEvent, ...] = ()
    scale_downs: tuple[ScaleEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One entry of `status.conditions`; `since_s` is its `lastTransitionTime`."""

    type: ConditionType
    status: Literal["True", "False"]
    reason: str
    message: str
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaStatus:
    """The status of the HPA object; it survives a restart of the controller.

    Attributes:
        conditions: In the order in which they first appeared.
        current_replicas: `status.currentReplicas`.
        desired_replicas: `status.desiredReplicas`; a sync without usable metrics does not change it.
        last_scale_s: `status.lastScaleTime`.
    """

    conditions: tuple[Condition, ...] = ()
    current_replicas: int = 0
    desired_replicas: int = 0
    last_scale_s: float | None = None

    def condition(self, type_: ConditionType) -> Condition | None:
        """Return the condition of one type."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Kubernetes Event about the HPA. Client-go merges repeated events, so do not count rescales by events."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroups:
    """How the controller sorts the pods for one metric (`groupPods`): `ready` counts, the rest are pod names."""

    ready: int
    unready: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFault:
    """The reason why a metric has no proposal.

    Attributes:
        reason: Reason of the Warning event and of the condition ScalingActive, such as `FailedGetPodsMetric`.
        message: Text of that event.
        error: The text with the prefixes that the controller adds for FailedComputeMetricsReplicas.
    """

    reason: str
    message: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The proposal of one metric.

    Attributes:
        metric: The metric as the controller names it in reasons, such as `pods metric queue_ratio`.
        replicas: The proposed replicas; `None` on a fault.
        current_milli: Value in `status.currentMetrics`, in milli: the average over pods, or the total under a Value
            target.
        utilization_pct: Utilization in percent of the request, for such targets.
        ratio: Value over target, as read. Within the tolerance the replicas do not change.
        adjusted_ratio: The decisive ratio if values were assumed for missing or unready pods, else `None`.
        pods: The groups; `None` for Object and External metrics.
        rule: Why it proposes these replicas; `None` on a fault.
        fault: Set if the metric could not be used.
    """

    metric: str
    replicas: int | None = None
    current_milli: int | None = None
    utilization_pct: int | None = None
    ratio: float | None = None
    adjusted_ratio: float | None = None
    pods: PodGroups | None = None
    rule: Rule | None = None
    fault: MetricFault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one sync.

    Attributes:
        replicas: `spec.replicas` of the scale after the sync; `None` if the scale could not be read.
        rescaled: Whether the sync changed it.
        reason: Reason for a change of the replicas, as in the event; empty if they should not change.
        proposed_replicas: Largest proposal, before windows and limits; `None` if no metric was read or usable.
        stabilized_replicas: Replicas after the stabilization windows, before limits.
        proposals: One per metric, in the order of the spec; empty if no metric was read.
        steps: The rules that set or changed the count, in order: the first is that of the largest proposal, or the only
            one; the last one determined the replicas.
        metric: The metric with the largest proposal, as the controller names it; empty without one.
        events: In the order in which they are sent.
        error: The controller's log text about unusable metrics, even if it scales by the others; else `None`.
        status: The HPA's new status, with the conditions.
        memory: The controller's new memory.
    """

    replicas: int | None
    rescaled: bool
    reason: str
    proposed_replicas: int | None
    stabilized_replicas: int | None
    proposals: tuple[Proposal, ...]
    steps: tuple[Step, ...]
    metric: str
    events: tuple[Event, ...]
    error: str | None
    status: HpaStatus
    memory: Memory

    @property
    def rule(self) -> Rule:
        """The rule that determined the replicas."""
        return self.steps[-1].rule
