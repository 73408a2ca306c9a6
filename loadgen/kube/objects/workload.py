"""Reads Deployments, LeaderWorkerSets and their Services."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from loadgen.base.quantity import parse_quantity
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.server_ports import GRPC_PORT, METRICS_PORT, ServerPorts, server_ports, service_port

GROUPS = {"Deployment": "apps", "LeaderWorkerSet": "leaderworkerset.x-k8s.io"}
"""API group of each kind of workload."""

CHART = "triton-trtllm"
"""Name of the bundled chart."""

CHART_LABEL, MODE_LABEL = "triton-loadgen/chart", "triton-loadgen/mode"
"""Labels of every object of the bundled chart: its name and mode, whatever alias or name override it has."""

_LWS = "leaderworkerset.sigs.k8s.io"
_EMULATED = "emulated"
_MAX_GPUS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The workload under test.

    Attributes:
        kind: `Deployment` or `LeaderWorkerSet`.
        namespace: Its namespace.
        name: Its name.
        labels: Labels of its serving pods.
        selector: Label selector of its serving pods, as in a query of the API.
        http: HTTP port of a pod.
        grpc: gRPC port of a pod.
        metrics: Port of /metrics of a pod.
        replicas: Desired number of replicas.
        emulated: Whether it is a release of the bundled chart in mode `emulated`.
        port_names: Ports of a pod by their names.
        gpus: GPUs that one replica requests; None if it requests none as a whole number of a resource.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    selector: str
    http: int
    grpc: int
    metrics: int
    replicas: int
    emulated: bool
    port_names: Mapping[str, int] = field(default_factory=dict)
    gpus: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name} in namespace {self.namespace}"


def port_of(service: Raw, protocol: str, workload: Workload) -> int | None:
    """Return the port of a Service that leads to the `grpc` or `http` port of the pods; None if there is none."""
    found = service_port(service, protocol, _ports(workload))
    return None if found is None else found[0]


def leads_to_server(service: Raw, workload: Workload) -> bool:
    """Whether a port of a Service has the server's `grpc` or `http` port as its target."""
    found = [service_port(service, protocol, _ports(workload)) for protocol in ("grpc", "http")]
    return any(each is not None and each[1] for each in found)


def _ports(workload: Workload) -> ServerPorts:
    return ServerPorts(http=workload.http, grpc=workload.grpc, metrics=workload.metrics, by_name=workload.port_names)


def workload_of(raw: Raw) -> Workload:
    """Read a Deployment or LeaderWorkerSet that has its `kind`."""
    template = pod_template(raw)
    ports = server_ports(template["spec"])
    kind, name = str(raw["kind"]), str(raw["metadata"]["name"])
    labels: dict[str, str] = dict(template.get("metadata", {}).get("labels", {}))
    if kind != "LeaderWorkerSet":
        selector = selector_query(raw["spec"]["selector"])
    else:
        # labels that the LeaderWorkerSet controller adds to leaders; only leaders serve requests
        leader_labels = {f"{_LWS}/name": name, f"{_LWS}/worker-index": "0"}
        labels |= leader_labels
        selector = ",".join(f"{key}={value}" for key, value in leader_labels.items())
    return Workload(
        kind=kind,
        namespace=raw["metadata"]["namespace"],
        name=name,
        labels=labels,
        selector=selector,
        http=ports.http,
        grpc=ports.grpc,
        metrics=ports.metrics,
        port_names=ports.by_name,
        replicas=int(raw["spec"].get("replicas", 1)),
        emulated=_is_emulated(raw),
        gpus=_gpus(raw),
    )


def _gpus(raw: Raw) -> int | None:
    """GPUs of one replica: of a pod, or of all pods of a group; parts of GPUs (MIG, time slices) are not counted."""
    if raw["kind"] != "LeaderWorkerSet":
        return _gpus_of_pod(pod_template(raw)) or None
    group = raw["spec"]["leaderWorkerTemplate"]
    workers = int(group.get("size", 1)) - 1
    return _gpus_of_pod(pod_template(raw)) + max(workers, 0) * _gpus_of_pod(group["workerTemplate"]) or None


def _gpus_of_pod(template: Raw) -> int:
    """GPUs that the containers of a pod request; a request of an extended resource equals its limit."""
    total = Fraction(0)
    for container in template["spec"]["containers"]:
        resources = container.get("resources") or {}
        wanted = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        for name, quantity in wanted.items():
            if name.endswith("/gpu"):
                with contextlib.suppress(ValueError):
                    total += parse_quantity(quantity)
    return int(total) if total.denominator == 1 and 0 < total <= _MAX_GPUS else 0


def _is_emulated(raw: Raw) -> bool:
    mode = _labels(raw).get(MODE_LABEL)
    if mode is not None:
        return bool(mode == _EMULATED)
    # releases of the chart without that label have a volume of this name
    volumes = pod_template(raw)["spec"].get("volumes", [])
    return is_bundled_chart(raw) and any(each["name"] == _EMULATED for each in volumes)


def selector_query(raw: Raw) -> str:
    """Return the selector of an object as a query of the API."""
    parts = [f"{key}={value}" for key, value in sorted(raw.get("matchLabels", {}).items())]
    for each in raw.get("matchExpressions", []):
        key, values = each["key"], ",".join(each.get("values", []))
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[each["operator"]]
        )
    return ",".join(parts)


def pod_template(raw: Raw) -> Raw:
    """Return the template of the serving pods of a Deployment, StatefulSet or LeaderWorkerSet that has its `kind`."""
    spec = raw["spec"]
    if raw["kind"] != "LeaderWorkerSet":
        template: Raw = spec["template"]
        return template
    group = spec["leaderWorkerTemplate"]
    leader: Raw = group.get("leaderTemplate") or group["workerTemplate"]
    return leader


def is_bundled_chart(raw: Raw) -> bool:
    """Whether the bundled chart made this object.

    Releases without its label have the chart's name in `helm.sh/chart`, where an alias replaces it.
    """
    labels = _labels(raw)
    return labels.get(CHART_LABEL) == CHART or str(labels.get("helm.sh/chart", "")).startswith(f"{CHART}-")


def _labels(raw: Raw) -> Raw:
    labels: Raw = raw["metadata"].get("labels") or {}
    return labels


def is_triton(raw: Raw) -> bool:
    """Whether the pods of a workload look like Triton, by image or ports."""
    for container in pod_template(raw)["spec"]["containers"]:
        ports = {port["containerPort"] for port in container.get("ports", [])}
        if "tritonserver" in str(container.get("image", "")) or {GRPC_PORT, METRICS_PORT} <= ports:
            return True
    return False
