"""Fields of HorizontalPodAutoscalers and ScaledObjects that are read."""

from pydantic import model_validator

from loadgen.kube.objects.fields.parts import Condition, Int32, Object, Part, Selector, Time


class Metric(Part):
    """The fields of `Metric` that are read."""

    name: str
    selector: Selector = Selector()


class MetricValue(Part):
    """The fields of `MetricValue` that are read."""

    type: str = ""
    value: str = ""
    averageValue: str = ""


class MetricSource(Part):
    """The fields of `MetricSource` that are read."""

    metric: Metric | None = None
    target: MetricValue = MetricValue()
    current: MetricValue = MetricValue()


class MetricStatus(Part):
    """The fields of `MetricStatus` that are read."""

    type: str = ""
    pods: MetricSource = MetricSource()
    object: MetricSource = MetricSource()
    external: MetricSource = MetricSource()
    resource: MetricSource = MetricSource()
    containerResource: MetricSource = MetricSource()


class MetricSpec(MetricStatus):
    """The fields of `MetricSpec` that are read."""

    type: str

    @model_validator(mode="after")
    def _has_source(self) -> "MetricSpec":
        for kind, source in (("Pods", self.pods), ("External", self.external)):
            if self.type == kind and (source.metric is None or not source.target.type):
                raise ValueError(f"a metric of type {kind} without a metric or a target")
        return self


class ScaleTarget(Part):
    """The fields of `ScaleTarget` that are read."""

    kind: str
    name: str


class Rules(Part):
    """The fields of `Rules` that are read."""

    stabilizationWindowSeconds: Int32 = 0
    tolerance: str = ""


class Behavior(Part):
    """The fields of `Behavior` that are read."""

    scaleUp: Rules = Rules()
    scaleDown: Rules = Rules()


class HpaSpec(Part):
    """The fields of `HpaSpec` that are read."""

    scaleTargetRef: ScaleTarget
    minReplicas: Int32 = 1
    maxReplicas: Int32
    metrics: list[MetricSpec] = []
    behavior: Behavior = Behavior()


class HpaStatus(Part):
    """The fields of `HpaStatus` that are read."""

    currentReplicas: Int32 = 0
    desiredReplicas: Int32 = 0
    lastScaleTime: Time = "1970-01-01T00:00:00Z"
    currentMetrics: list[MetricStatus] = []
    conditions: list[Condition] = []


class HorizontalPodAutoscaler(Object):
    """The fields of `HorizontalPodAutoscaler` that are read."""

    spec: HpaSpec
    status: HpaStatus = HpaStatus()


class Trigger(Part):
    """The fields of `Trigger` that are read, with KEDA's defaults."""

    type: str = ""
    metricType: str = "AverageValue"
    metadata: dict[str, str] = {}
    useCachedMetrics: bool = False


class AnyHpaSpec(Part):
    """The fields of `AnyHpaSpec` that are read."""

    scaleTargetRef: ScaleTarget


class AnyHpa(Object):
    """The fields that HorizontalPodAutoscalers of every version have, and that are read."""

    spec: AnyHpaSpec


class ScaledTarget(Part):
    """The fields of `ScaledTarget` that are read, with KEDA's defaults."""

    kind: str = "Deployment"
    name: str


class HpaConfig(Part):
    """The fields of `HpaConfig` that are read."""

    name: str = ""
    behavior: dict[str, object] | None = None


class Advanced(Part):
    """The fields of `Advanced` that are read."""

    horizontalPodAutoscalerConfig: HpaConfig = HpaConfig()


class ScaledObjectSpec(Part):
    """The fields of `ScaledObjectSpec` that are read, with KEDA's defaults."""

    scaleTargetRef: ScaledTarget | None = None
    minReplicaCount: Int32 = 0
    maxReplicaCount: Int32 = 100
    idleReplicaCount: Int32 | None = None
    pollingInterval: Int32 = 30
    cooldownPeriod: Int32 = 300
    advanced: Advanced = Advanced()
    triggers: list[Trigger] = []


class ScaledObject(Object):
    """The fields of `ScaledObject` that are read."""

    spec: ScaledObjectSpec
