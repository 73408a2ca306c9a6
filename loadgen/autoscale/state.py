"""What one HPA sync sees (scale, pods, metric readings, memory, status) and what it decides: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ConditionType = Literal["AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"]
NS_PER_S = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Turn seconds into the nanoseconds Go compares times in, so that 1000.1 − 300 meets 700.1 exactly."""
    return round(seconds * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's requests, in milli (of a core, of a byte): only utilization targets look at them."""

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
    """A read that failed; `message` is the API's error, without what the controller writes before it."""

    message: str


Reading = PodValues | ObjectValue | ExternalValues | ResourceSamples | ReadError


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorError:
    """The scale's selector is of no use; `message` is the event's text.

    A malformed one comes as a `ReadError` of the scale: client-go parses the selector when it reads the scale
    (`client-go/scale/scheme/autoscalingv1/conversion.go`), so `InvalidSelector` is in the controller's code and has
    not been seen from a real one.

    Attributes:
        reason: The event's reason.
        message: For `InvalidSelector` and `AmbiguousSelector` it names the selector, so it has to be given.
    """

    reason: Literal["SelectorRequired", "InvalidSelector", "AmbiguousSelector"]
    message: str = "selector is required"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleState:
    """The target's scale subresource.

    Attributes:
        spec_replicas: What is asked for.
        status_replicas: Pods that exist; per-pod targets of Object and External divide by it.
        selector_error: Set when the pods cannot be told by the selector.
        update_error: Set when writing the scale fails in this sync: the text of that error.
    """

    spec_replicas: int
    status_replicas: int
    selector_error: SelectorError | None = None
    update_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What the metrics asked for in one sync, before windows and limits."""

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
    """What the controller keeps in its process about one HPA. `Memory()` is a controller that has just started.

    Times are integer nanoseconds on the axis of `now_s`, because windows compare them exactly. The order of the
    entries is the controller's: it overwrites an entry that no window needs instead of dropping it.
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
    """What the controller keeps in the object; it survives a restart of the controller.

    Attributes:
        conditions: In the order in which they first appeared.
        current_replicas: `status.currentReplicas`.
        desired_replicas: `status.desiredReplicas`; a sync without usable metrics leaves it alone.
        last_scale_s: `status.lastScaleTime`.
    """

    conditions: tuple[Condition, ...] = ()
    current_replicas: int = 0
    desired_replicas: int = 0
    last_scale_s: float | None = None

    def condition(self, type_: ConditionType) -> Condition | None:
        """Find the condition of one type."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Kubernetes Event about the HPA. Repeats are merged on their way, so do not count rescales by events."""

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
    """Why a metric gave no proposal.

    Attributes:
        reason: Of the Warning event and of the condition ScalingActive, such as `FailedGetPodsMetric`.
        message: Text of that event.
        error: The same with what the controller adds on its way up to FailedComputeMetricsReplicas.
    """

    reason: str
    message: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one metric asks for.

    Attributes:
        metric: The metric as the controller names it in reasons, such as `pods metric queue_ratio`.
        replicas: The proposal; `None` on a fault.
        current_milli: Value in `status.currentMetrics`, in milli: the average over pods, or the total under a Value
            target.
        utilization_pct: Utilization in percent of the request, for such targets.
        ratio: Value over target as read. Within tolerance it holds the replicas.
        adjusted_ratio: The ratio that decided when missing or unready pods were filled in, else `None`.
        pods: The groups; `None` for Object and External metrics.
        fault: Set when the metric could not be used.
    """

    metric: str
    replicas: int | None = None
    current_milli: int | None = None
    utilization_pct: int | None = None
    ratio: float | None = None
    adjusted_ratio: float | None = None
    pods: PodGroups | None = None
    fault: MetricFault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one sync.

    Attributes:
        replicas: `spec.replicas` of the scale after the sync; `None` when the scale could not be read.
        rescaled: Whether the sync changed it.
        reason: Why the replicas should change, as the event says if they did; empty when they should not.
        wanted_replicas: Largest proposal, before windows and limits; `None` when no metric was asked or the
            metrics could not be used.
        stabilized_replicas: The same after the stabilization windows, before limits.
        proposals: One per metric, in the order of the spec; empty when no metric was asked.
        events: In the order in which they are sent.
        error: What the controller logs about unusable metrics, also when it scales by the others; else `None`.
        status: The HPA's new status, with the conditions.
        memory: The controller's new memory.
    """

    replicas: int | None
    rescaled: bool
    reason: str
    wanted_replicas: int | None
    stabilized_replicas: int | None
    proposals: tuple[Proposal, ...]
    events: tuple[Event, ...]
    error: str | None
    status: HpaStatus
    memory: Memory
