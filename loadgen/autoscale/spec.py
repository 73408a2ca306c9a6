"""Defines the spec of an HPA and the settings of its controller, validated as the API server does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from loadgen.base.errors import SettingsError

SelectPolicy = Literal["Max", "Min", "Disabled"]


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise SettingsError(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """Flags of kube-controller-manager that every HPA shares, with the defaults of v1.37.

    Attributes:
        tolerance_ratio: `--horizontal-pod-autoscaler-tolerance`.
        downscale_stabilization_s: `--horizontal-pod-autoscaler-downscale-stabilization`.
        cpu_initialization_period_s: `--horizontal-pod-autoscaler-cpu-initialization-period`.
        initial_readiness_delay_s: `--horizontal-pod-autoscaler-initial-readiness-delay`.
        scale_to_zero: The feature gate HPAScaleToZero, on by default from v1.37.
    """

    tolerance_ratio: float = 0.1
    downscale_stabilization_s: float = 300.0
    cpu_initialization_period_s: float = 300.0
    initial_readiness_delay_s: float = 30.0
    scale_to_zero: bool = True


DEFAULT_CONTROLLER = ControllerSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequirement:
    """One entry of a selector's `matchExpressions`; the API server does not check it in an HPA."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"LabelSelectorRequirement{{Key:{self.key},Operator:{self.operator},Values:[{' '.join(self.values)}],}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """The selector of a metric. `str` gives the text that the controller prints in reasons and errors."""

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[LabelRequirement, ...] = ()

    def __str__(self) -> str:
        labels = "".join(f"{key}: {value}," for key, value in sorted(self.match_labels.items()))
        expressions = "".join(f"{requirement}," for requirement in self.match_expressions)
        return (
            f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
            f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target value of a metric.

    The metric decides which field is used: Pods use the average value, External and Resource prefer the average value
    to the other one, and only Object uses `type`. An Object whose `type` names an unset field is accepted by the API
    server and then fails in every sync, here as well. A value of 0 milli stands for a quantity beyond 64 bits: the API
    server accepts it, and the controller's number overflows to 0.
    """

    type: Literal["Utilization", "Value", "AverageValue"]
    value_milli: int | None = None
    average_value_milli: int | None = None
    average_utilization_pct: int | None = None

    def __post_init__(self) -> None:
        for number in (self.value_milli, self.average_value_milli):
            _require(number is None or number >= 0, f"a metric's target of {number} can never be met: use more than 0")
        percent = self.average_utilization_pct
        _require(percent is None or percent > 0, f"a metric's target of {percent} can never be met: use more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsMetric:
    """A metric of type Pods: one value per pod, averaged."""

    name: str
    target: Target
    selector: LabelSelector | None = None

    def __post_init__(self) -> None:
        _require(
            self.target.average_value_milli is not None,
            f"the Pods metric {self.name} has no target.averageValue: set one",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMetric:
    """A metric of type Object: one value of one Kubernetes object (`kind`, `object_name`)."""

    name: str
    target: Target
    kind: str
    object_name: str
    selector: LabelSelector | None = None

    def __post_init__(self) -> None:
        _require(
            self.target.value_milli is not None or self.target.average_value_milli is not None,
            f"the Object metric {self.name} has no target: set target.value or target.averageValue",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalMetric:
    """A metric of type External: the sum of all series that match."""

    name: str
    target: Target
    selector: LabelSelector | None = None

    def __post_init__(self) -> None:
        _require(
            (self.target.value_milli is None) != (self.target.average_value_milli is None),
            f"the External metric {self.name} needs one target: set either target.value or target.averageValue",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetric:
    """A metric of type Resource, or ContainerResource when `container` is set: CPU, memory, … per pod."""

    resource: str
    target: Target
    container: str | None = None

    def __post_init__(self) -> None:
        _require(
            (self.target.average_utilization_pct is None) != (self.target.average_value_milli is None),
            f"the resource metric {self.resource} needs one target: set either target.averageUtilization or "
            "target.averageValue",
        )


MetricSpec = PodsMetric | ObjectMetric | ExternalMetric | ResourceMetric


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The largest change in `period_s` seconds: `value` pods, or percent of the replicas."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: int

    def __post_init__(self) -> None:
        _require(self.value > 0, f"a policy value of {self.value} allows nothing: use selectPolicy Disabled instead")
        _require(1 <= self.period_s <= 1800, f"a policy's periodSeconds is {self.period_s}: use 1 to 1800")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """One direction of `spec.behavior`, with its defaults filled in.

    Attributes:
        policies: At least one.
        select_policy: Which policy wins: `Max` the largest change, `Min` the smallest, `Disabled` allows no change.
        stabilization_window_s: 0 to 3600; `None` (scale-down only) uses the controller's flag.
        tolerance_ratio: `None` uses the controller's flag.
    """

    policies: tuple[Policy, ...]
    select_policy: SelectPolicy = "Max"
    stabilization_window_s: int | None = None
    tolerance_ratio: float | None = None

    def __post_init__(self) -> None:
        _require(bool(self.policies), "a direction of behavior has no policies: list one, or omit policies")
        window_s, tolerance = self.stabilization_window_s, self.tolerance_ratio
        _require(window_s is None or 0 <= window_s <= 3600, f"stabilizationWindowSeconds is {window_s}: use 0 to 3600")
        _require(tolerance is None or tolerance >= 0, f"a tolerance of {tolerance} is negative: use 0 or more")


# `defaultHPAScaleUpRules` and `defaultHPAScaleDownRules`
DEFAULT_SCALE_UP = ScalingRules(
    policies=(Policy(type="Pods", value=4, period_s=15), Policy(type="Percent", value=100, period_s=15)),
    stabilization_window_s=0,
)
DEFAULT_SCALE_DOWN = ScalingRules(policies=(Policy(type="Percent", value=100, period_s=15),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """`spec.behavior`; a direction that the manifest omits has the API server's defaults."""

    scale_up: ScalingRules = DEFAULT_SCALE_UP
    scale_down: ScalingRules = DEFAULT_SCALE_DOWN

    def __post_init__(self) -> None:
        _require(
            self.scale_up.stabilization_window_s is not None,
            "behavior.scaleUp has no stabilizationWindowSeconds: set it (the API server's default is 0)",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSpec:
    """The part of a HorizontalPodAutoscaler's spec that affects decisions.

    Attributes:
        max_replicas: Upper bound, at least 1.
        metrics: At least one; the largest proposal wins.
        min_replicas: Lower bound; `None` means 1, and 0 needs an Object or External metric.
        behavior: `None` uses the legacy algorithm (at most twice the replicas or 4, one window for scaling down).
        namespace: Appears only in error texts.

    Raises:
        SettingsError: The API server would reject the object.
    """

    max_replicas: int
    metrics: tuple[MetricSpec, ...]
    min_replicas: int | None = None
    behavior: Behavior | None = None
    namespace: str = "default"

    def __post_init__(self) -> None:
        _require(self.max_replicas > 0, f"maxReplicas is {self.max_replicas}: use at least 1")
        _require(self.lowest >= 0, f"minReplicas is {self.lowest}: use 0 or more")
        _require(
            self.lowest <= self.max_replicas,
            f"minReplicas {self.lowest} is above maxReplicas {self.max_replicas}: lower one or raise the other",
        )
        _require(bool(self.metrics), "the HPA has no metrics: list at least one")
        _require(
            self.lowest > 0 or self.has_object_or_external,
            "minReplicas 0 needs an Object or External metric: Pods and Resource metrics vanish with the last pod",
        )

    @property
    def lowest(self) -> int:
        """The effective lower bound: `min_replicas`, or 1 if it is not set."""
        return 1 if self.min_replicas is None else self.min_replicas

    @property
    def has_object_or_external(self) -> bool:
        """Whether a metric exists without pods, so that the HPA can leave zero (`hasObjectOrExternalMetrics`)."""
        return any(isinstance(metric, ObjectMetric | ExternalMetric) for metric in self.metrics)
