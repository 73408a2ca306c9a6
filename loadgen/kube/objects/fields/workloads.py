"""Fields of Deployments and LeaderWorkerSets that are read."""

from typing import Annotated

from pydantic import Field

from loadgen.kube.objects.fields.parts import Condition, Int32, Int64, NamespacedMetadata, Part, PortNumber, Selector


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


class Probe(Part):
    """The fields of `Probe` that are read."""

    httpGet: HttpProbe = HttpProbe()
    grpc: GrpcProbe = GrpcProbe()


class Container(Part):
    """The fields of `Container` that are read."""

    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    ports: list[ContainerPort] = []
    readinessProbe: Probe = Probe()
    livenessProbe: Probe = Probe()
    startupProbe: Probe = Probe()


class Volume(Part):
    """The fields of `Volume` that are read."""

    name: str


class PodSpec(Part):
    """The fields of `PodSpec` that are read."""

    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume] = []


class TemplateMetadata(Part):
    """The fields of `TemplateMetadata` that are read."""

    labels: dict[str, str] = {}


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


class DeploymentSpec(Part):
    """The fields of `DeploymentSpec` that are read."""

    replicas: Int32 = 1
    paused: bool = False
    selector: Selector
    template: Template


class Deployment(Part):
    """The fields of `Deployment` that are read."""

    metadata: NamespacedMetadata
    spec: DeploymentSpec
    status: WorkloadStatus = WorkloadStatus()


class RollingUpdate(Part):
    """The fields of `RollingUpdate` that are read."""

    partition: Int32 = 0


class RolloutStrategy(Part):
    """The fields of `RolloutStrategy` that are read."""

    rollingUpdateConfiguration: RollingUpdate = RollingUpdate()


class GroupTemplate(Part):
    """The fields of `GroupTemplate` that are read."""

    leaderTemplate: Template | None = None
    workerTemplate: Template


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
