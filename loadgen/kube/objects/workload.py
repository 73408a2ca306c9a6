"""Which Deployment, autoscaler and Service of a namespace are meant: pure functions of raw objects.

What is not named must be the only one of its kind; else the error lists the candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadgen.base.errors import TargetError
from loadgen.kube.objects.raw import Raw

GROUPS = {"Deployment": "apps", "LeaderWorkerSet": "leaderworkerset.x-k8s.io"}
"""API group of each kind of workload."""

_CHART = "triton-trtllm"
_HTTP, _GRPC, _METRICS = 8000, 8001, 8002
_LWS = "leaderworkerset.sigs.k8s.io"
_EMULATED = "emulated"


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
        emulated: Whether it is a release of the bundled chart in mode `emulated`, which has a volume of that name.
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

    def __str__(self) -> str:
        return f"{self.kind} {self.name} in namespace {self.namespace}"


def candidates(objects: Sequence[Raw], name: str | None) -> list[Raw]:
    """What may be meant: the named, else the bundled chart's, else whatever looks like Triton.

    Args:
        objects: Deployments and LeaderWorkerSets, each with its `kind`.
        name: The one that was named, if any.
    """
    if name is not None:
        return [each for each in objects if each["metadata"]["name"] == name]
    return [each for each in objects if _is_ours(each)] or [each for each in objects if _is_triton(each)]


def choose_workload(objects: Sequence[Raw], *, name: str | None, where: str) -> Workload:
    """The workload that is meant.

    Args:
        objects: As `candidates` has them.
        name: The one that was named, if any.
        where: What was searched, for the sentences.

    Raises:
        TargetError: none or several fit.
    """
    found = candidates(objects, name)
    if not found and name is not None:
        there = ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in objects) or "there is none at all"
        raise TargetError(f"no Deployment or LeaderWorkerSet {name} {where}: {there}")
    if not found:
        raise TargetError(
            f"nothing {where} looks like Triton (label helm.sh/chart={_CHART}, an image with tritonserver, or "
            f"ports {_GRPC} and {_METRICS}): name it with --kube-workload, look elsewhere with --kube-namespace, or "
            "deploy one with `loadgen deploy`"
        )
    return _workload(_only(found, "workload", where))


def choose_hpa(hpas: Sequence[Raw], workload: Workload, *, name: str | None) -> Raw | None:
    """The autoscaler of a workload; None where it has none.

    Raises:
        TargetError: the named one is not there or scales something else, or there are several.
    """
    mine = [each for each in hpas if _scales(each, workload)]
    if name is None:
        return _only(mine, "hpa", f"for {workload}") if mine else None
    for each in hpas:
        if each["metadata"]["name"] == name:
            if not _scales(each, workload):
                target = each["spec"]["scaleTargetRef"]
                raise TargetError(f"the autoscaler {name} scales {target['kind']} {target['name']}, not {workload}")
            return each
    raise TargetError(
        f"no autoscaler {name} in namespace {workload.namespace}: "
        f"{', '.join(each['metadata']['name'] for each in hpas) or 'there is none'}"
    )


def choose_service(services: Sequence[Raw], workload: Workload, *, name: str | None) -> Raw | None:
    """The Service before a workload, not headless; None where it has none.

    Raises:
        TargetError: the named one is not there, or there are several.
    """
    if name is not None:
        named = [each for each in services if each["metadata"]["name"] == name]
        if not named:
            known = ", ".join(each["metadata"]["name"] for each in services) or "there is none"
            raise TargetError(f"no Service {name} in namespace {workload.namespace}: {known}")
        return named[0]
    mine = [
        each
        for each in services
        if (selector := each["spec"].get("selector"))
        and selector.items() <= workload.labels.items()
        and each["spec"].get("clusterIP") != "None"
        and any(port_of(each, wire, workload) for wire in ("grpc", "http"))
    ]
    return _only(mine, "service", f"for {workload}") if mine else None


def port_of(service: Raw, protocol: str, workload: Workload) -> int | None:
    """Return the port of a Service for `grpc` or `http`, by its target port or by its name; None if there is none."""
    target = workload.grpc if protocol == "grpc" else workload.http
    ports = service["spec"].get("ports", [])
    for port in ports:
        if port.get("targetPort", port["port"]) in (target, protocol):
            return int(port["port"])
    return next((int(port["port"]) for port in ports if str(port.get("name", "")).startswith(protocol)), None)


def _workload(raw: Raw) -> Workload:
    template = _template(raw)
    kind, name = str(raw["kind"]), str(raw["metadata"]["name"])
    labels: dict[str, str] = dict(template.get("metadata", {}).get("labels", {}))
    if kind == "Deployment":
        selector = _selector(raw["spec"]["selector"])
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
        http=_port(template, "http", _HTTP),
        grpc=_port(template, "grpc", _GRPC),
        metrics=_port(template, "metrics", _METRICS),
        replicas=int(raw["spec"].get("replicas", 1)),
        emulated=_is_ours(raw) and any(each["name"] == _EMULATED for each in template["spec"].get("volumes", [])),
    )


def _selector(raw: Raw) -> str:
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


def _template(raw: Raw) -> Raw:
    spec = raw["spec"]
    if raw["kind"] == "Deployment":
        template: Raw = spec["template"]
        return template
    group = spec["leaderWorkerTemplate"]
    leader: Raw = group.get("leaderTemplate") or group["workerTemplate"]
    return leader


def _port(template: Raw, name: str, default: int) -> int:
    for container in template["spec"]["containers"]:
        for port in container.get("ports", []):
            if port.get("name") == name or port["containerPort"] == default:
                return int(port["containerPort"])
    return default


def _is_ours(raw: Raw) -> bool:
    chart = str(raw["metadata"].get("labels", {}).get("helm.sh/chart", ""))
    return chart.startswith(f"{_CHART}-")


def _is_triton(raw: Raw) -> bool:
    for container in _template(raw)["spec"]["containers"]:
        ports = {port["containerPort"] for port in container.get("ports", [])}
        if "tritonserver" in str(container.get("image", "")) or {_GRPC, _METRICS} <= ports:
            return True
    return False


def _scales(hpa: Raw, workload: Workload) -> bool:
    target = hpa["spec"]["scaleTargetRef"]
    return (target["kind"], target["name"]) == (workload.kind, workload.name)


def _only(found: Sequence[Raw], what: str, where: str) -> Raw:
    if len(found) > 1:
        names = ", ".join(sorted(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found))
        one_place = len({each["metadata"]["namespace"] for each in found}) == 1
        several = f"--kube-{what}" if one_place else "--kube-namespace"
        raise TargetError(f"{len(found)} candidates {where}: {names}; choose one with {several}")
    return found[0]
