"""Fields of Deployments and LeaderWorkerSets that are read."""

from typing import Annotated

from pydantic import Field

from loadgen.kube.objects.fields.parts import (
    Condition,
    Int32,
    Int64,
    IntOrPercent,
    NamespacedMetadata,
    Part,
    PortNumber,
    Quantity,
    Selector,
)


class ContainerPort(Part):
    """The fields of `ContainerPort` that are read."""

    containerPort: PortNumber
    name: str = ""
    protocol: str = "TCP"


class HttpProbe(Part):
    """The fields of `HttpProbe` that are read."""

    path: str = ""
    port: PortNumber | str = ""


class GrpcProbe(Part):
    """The fields of `GrpcProbe` that are read."""

    port: PortNumber = 1


class TcpProbe(Part):
    """The fields of `TcpProbe` that are read."""

    port: PortNumber | str = ""


class Exec(Part):
    """The fields of `Exec` that are read."""

    command: list[str] = []


class Probe(Part):
    """The fields of `Probe` that are read, with the defaults of the API server."""

    httpGet: HttpProbe | None = None
    grpc: GrpcProbe | None = None
    tcpSocket: TcpProbe | None = None
    exec: Exec | None = None
    initialDelaySeconds: Int32 = 0
    periodSeconds: Int32 = 10
    timeoutSeconds: Int32 = 1
    failureThreshold: Int32 = 3


class Sleep(Part):
    """The fields of `Sleep` that are read."""

    seconds: Int64 = 0


class Hook(Part):
    """The fields of `Hook` that are read."""

    sleep: Sleep | None = None
    exec: Exec | None = None


class Lifecycle(Part):
    """The fields of `Lifecycle` that are read."""

    preStop: Hook | None = None


class Claim(Part):
    """The fields of `Claim` that are read."""

    name: str


class Resources(Part):
    """The fields of `Resources` that are read."""

    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    claims: list[Claim] = []


class EnvVar(Part):
    """The fields of `EnvVar` that are read."""

    name: str


class VolumeMount(Part):
    """The fields of `VolumeMount` that are read."""

    name: str
    mountPath: str


class Container(Part):
    """The fields of `Container` that are read."""

    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    ports: list[ContainerPort] = []
    env: list[EnvVar] = []
    resources: Resources = Resources()
    volumeMounts: list[VolumeMount] = []
    lifecycle: Lifecycle = Lifecycle()
    readinessProbe: Probe | None = None
    livenessProbe: Probe | None = None
    startupProbe: Probe | None = None


class Volume(Part):
    """The fields of `Volume` that are read."""

    name: str


class PodSpec(Part):
    """The fields of `PodSpec` that are read."""

    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume] = []
    terminationGracePeriodSeconds: Int64 | None = None


class TemplateMetadata(Part):
    """The fields of `TemplateMetadata` that are read."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Template(Part):
    """The fields of `Template` that are read."""

    metadata: TemplateMetadata = TemplateMetadata()
    spec: PodSpec


class WorkloadStatus(Part):
    """The fields of `WorkloadStatus` that are read."""

    replicas: Int32 = 0
    updatedReplicas: Int32 = 0
    observedGeneration: Int64 = 0
    conditions: list[Condition] = []


class RolloutLimits(Part):
    """The fields of `RolloutLimits` that are read, with the defaults of the API server."""

    maxSurge: IntOrPercent = "25%"
    maxUnavailable: IntOrPercent = "25%"


class Strategy(Part):
    """The fields of `Strategy` that are read."""

    type: str = "RollingUpdate"
    rollingUpdate: RolloutLimits = RolloutLimits()


class DeploymentSpec(Part):
    """The fields of `DeploymentSpec` that are read."""

    replicas: Int32 = 1
    paused: bool = False
    selector: Selector
    strategy: Strategy = Strategy()
    template: Template


class Deployment(Part):
    """The fields of `Deployment` that are read."""

    metadata: NamespacedMetadata
    spec: DeploymentSpec
    status: WorkloadStatus = WorkloadStatus()


class StatefulSetSpec(Part):
    """The fields of `StatefulSetSpec` that are read."""

    replicas: Int32 = 1
    selector: Selector
    template: Template


class StatefulSet(Part):
    """The fields of `StatefulSet` that are read."""

    metadata: NamespacedMetadata
    spec: StatefulSetSpec


class RollingUpdate(Part):
    """The fields of `RollingUpdate` that are read, with the defaults of the controller."""

    partition: Int32 = 0
    maxSurge: IntOrPercent = 0
    maxUnavailable: IntOrPercent = 1


class RolloutStrategy(Part):
    """The fields of `RolloutStrategy` that are read."""

    rollingUpdateConfiguration: RollingUpdate = RollingUpdate()


class GroupTemplate(Part):
    """The fields of `GroupTemplate` that are read."""

    leaderTemplate: Template | None = None
    workerTemplate: Template
    size: Int32 = 1


class GroupSpec(Part):
    """The fields of `GroupSpec` that are read."""

    replicas: Int32 = 1
    leaderWorkerTemplate: GroupTemplate
    rolloutStrategy: RolloutStrategy = RolloutStrategy()


class LeaderWorkerSet(Part):
    """The fields of `LeaderWorkerSet` that are read."""

    metadata: NamespacedMetadata
    spec: GroupSpec
    status: WorkloadStatus = WorkloadStatus()
