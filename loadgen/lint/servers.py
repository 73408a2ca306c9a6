"""Reads the workloads that serve: Deployments, StatefulSets and LeaderWorkerSets with Triton in their pods."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.kube.objects.fields.workloads import (
    Container,
    Deployment,
    LeaderWorkerSet,
    StatefulSet,
    Strategy,
    Template,
)
from loadgen.kube.objects.server_ports import server_index
from loadgen.kube.objects.workload import Workload, is_bundled_chart, is_triton, pod_template, workload_of
from loadgen.lint.autoscalers import Autoscaler
from loadgen.lint.objects import Object, Objects

WORKLOADS = ("Deployment", "StatefulSet", "LeaderWorkerSet")
_GPU = re.compile(r"nvidia\.com/(gpu|mig-).*|.*/(gpu|vgpu|gpumem|gpucores).*")
_SLEEP = re.compile(r"\bsleep\s+([0-9]{1,6})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A workload that serves.

    Attributes:
        object: The object.
        workload: Labels and ports of its pods.
        template: The template of its serving pods.
        template_field: Path of the template.
        container: The container that is Triton.
        container_field: Path of that container.
        replicas: `spec.replicas`; None where the manifest leaves it out.
        autoscaler: The first autoscaler that scales it; None without one.
    """

    object: Object[Any]
    workload: Workload
    template: Template
    template_field: str
    container: Container
    container_field: str
    replicas: int | None
    autoscaler: Autoscaler | None

    @property
    def least(self) -> int:
        """The least number of replicas that serve: that of the autoscaler, or the fixed number, and at least 1."""
        return max(1, (self.replicas or 1) if self.autoscaler is None else self.autoscaler.least)

    @property
    def strategy(self) -> Strategy | None:
        """The strategy of a Deployment; None for other kinds."""
        fields = self.object.fields
        return fields.spec.strategy if isinstance(fields, Deployment) else None

    @property
    def grace_s(self) -> int:
        """The grace period of a pod; Kubernetes' default where the manifest sets none."""
        grace_s = self.template.spec.terminationGracePeriodSeconds
        return 30 if grace_s is None else grace_s

    @property
    def pre_stop_s(self) -> int | None:
        """How long the preStop hook delays the end; None without a hook, 0 where that cannot be told."""
        hook = self.container.lifecycle.preStop
        if hook is None:
            return None
        if hook.sleep is not None:
            return hook.sleep.seconds
        slept = _SLEEP.search(" ".join(hook.exec.command)) if hook.exec else None
        return int(slept[1]) if slept else 0

    @property
    def command(self) -> str:
        """Command and arguments of the server, in one line."""
        return " ".join((*self.container.command, *self.container.args))

    def flags(self, name: str) -> list[str]:
        """Return the values of a flag of Triton."""
        return re.findall(rf"--{name}[=\s]+([^\s\"']+)", self.command)


def servers_of(objects: Objects, autoscalers: list[Autoscaler]) -> Iterator[Server]:
    """Yield the workloads of an input that serve."""
    for each in objects.of(*WORKLOADS):
        fields = each.fields
        template, field = _template(fields)
        number = server_index(pod_template(each.raw)["spec"])
        scaler = next((scaler for scaler in autoscalers if scaler.scales(each)), None)
        is_known = is_bundled_chart(each.raw) or is_triton(each.raw)
        if not (is_known or (scaler is not None and _is_asked_as_triton(template.spec.containers[number]))):
            continue
        yield Server(
            object=each,
            workload=workload_of(each.raw),
            template=template,
            template_field=field,
            container=template.spec.containers[number],
            container_field=f"{field}.spec.containers[{number}]",
            replicas=fields.spec.replicas if "replicas" in fields.spec.model_fields_set else None,
            autoscaler=scaler,
        )


def _is_asked_as_triton(container: Container) -> bool:
    """Whether a container has probes for Triton's health, or a GPU."""
    probes = (container.startupProbe, container.readinessProbe, container.livenessProbe)
    paths = [probe.httpGet.path for probe in probes if probe is not None and probe.httpGet is not None]
    resources = {*container.resources.limits, *container.resources.requests}
    return any(path.startswith("/v2/health") for path in paths) or any(map(is_gpu, resources))


def is_gpu(resource: str) -> bool:
    """Whether the name of a resource is that of a GPU, or of a part of one."""
    return _GPU.fullmatch(resource) is not None


def _template(fields: Deployment | StatefulSet | LeaderWorkerSet) -> tuple[Template, str]:
    if not isinstance(fields, LeaderWorkerSet):
        return fields.spec.template, "spec.template"
    group = fields.spec.leaderWorkerTemplate
    if group.leaderTemplate is not None:
        return group.leaderTemplate, "spec.leaderWorkerTemplate.leaderTemplate"
    return group.workerTemplate, "spec.leaderWorkerTemplate.workerTemplate"
