"""Selects the workload, HPA and Service of a run among those in a namespace.

An object that is not named must be the only candidate; otherwise the error lists the candidates.
"""

from collections.abc import Sequence

from loadgen.base.errors import TargetError
from loadgen.base.proposals import meant
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.server_ports import GRPC_PORT, METRICS_PORT
from loadgen.kube.objects.workload import (
    CHART,
    CHART_LABEL,
    Workload,
    is_bundled_chart,
    is_triton,
    leads_to_server,
    port_of,
    workload_of,
)


def candidates(objects: Sequence[Raw], name: str | None) -> list[Raw]:
    """Candidates for the workload: the named one, else those of the bundled chart, else those that look like Triton.

    Args:
        objects: Deployments and LeaderWorkerSets, each with its `kind`.
        name: Name that the user gave, if any.
    """
    if name is not None:
        return [each for each in objects if each["metadata"]["name"] == name]
    return [each for each in objects if is_bundled_chart(each)] or [each for each in objects if is_triton(each)]


def choose_workload(objects: Sequence[Raw], *, name: str | None, location: str) -> Workload:
    """The workload of the run.

    Args:
        objects: As for `candidates`.
        name: Name that the user gave, if any.
        location: Where the objects were listed, such as `in namespace llm`, for error messages.

    Raises:
        TargetError: there is no candidate, or there are several.
    """
    matches = candidates(objects, name)
    if not matches and name is not None:
        existing = ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in objects) or "there is none at all"
        raise TargetError(
            f"no Deployment or LeaderWorkerSet {name} {location}{meant(name, _names(objects))}: {existing}"
        )
    if not matches:
        raise TargetError(
            f"nothing {location} looks like Triton (label {CHART_LABEL}={CHART}, an image with tritonserver, or "
            f"ports {GRPC_PORT} and {METRICS_PORT}): name it with --kube-workload, look elsewhere with "
            "--kube-namespace, or deploy one with `loadgen deploy`"
        )
    return workload_of(_only(matches, "workload", location))


def choose_hpa(hpas: Sequence[Raw], workload: Workload, *, name: str | None) -> Raw | None:
    """The HPA of a workload; None without one.

    Raises:
        TargetError: the named one does not exist or scales another workload, or there are several.
    """
    matching = [each for each in hpas if _scales(each, workload)]
    if name is None:
        return _only(matching, "hpa", f"for {workload}") if matching else None
    for each in hpas:
        if each["metadata"]["name"] == name:
            if not _scales(each, workload):
                target = each["spec"]["scaleTargetRef"]
                raise TargetError(f"the autoscaler {name} scales {target['kind']} {target['name']}, not {workload}")
            return each
    raise TargetError(
        f"no autoscaler {name} in namespace {workload.namespace}{meant(name, _names(hpas))}: "
        f"{', '.join(_names(hpas)) or 'there is none'}"
    )


def choose_service(services: Sequence[Raw], workload: Workload, *, name: str | None) -> Raw | None:
    """The Service of a workload, other than a headless one; None without one.

    Raises:
        TargetError: the named one does not exist, or there are several.
    """
    if name is not None:
        named = [each for each in services if each["metadata"]["name"] == name]
        if not named:
            existing = ", ".join(_names(services)) or "there is none"
            raise TargetError(
                f"no Service {name} in namespace {workload.namespace}{meant(name, _names(services))}: {existing}"
            )
        return named[0]
    matching = [
        each
        for each in services
        if (selector := each["spec"].get("selector"))
        and selector.items() <= workload.labels.items()
        and each["spec"].get("clusterIP") != "None"
        and any(port_of(each, protocol, workload) for protocol in ("grpc", "http"))
    ]
    matching = [each for each in matching if leads_to_server(each, workload)] or matching
    return _only(matching, "service", f"for {workload}") if matching else None


def _names(objects: Sequence[Raw]) -> list[str]:
    return [each["metadata"]["name"] for each in objects]


def _scales(hpa: Raw, workload: Workload) -> bool:
    target = hpa["spec"]["scaleTargetRef"]
    return (target["kind"], target["name"]) == (workload.kind, workload.name)


def _only(matches: Sequence[Raw], flag: str, location: str) -> Raw:
    if len(matches) > 1:
        names = ", ".join(sorted(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in matches))
        one_namespace = len({each["metadata"]["namespace"] for each in matches}) == 1
        choice = f"--kube-{flag}" if one_namespace else "--kube-namespace"
        raise TargetError(f"{len(matches)} candidates {location}: {names}; choose one with {choice}")
    return matches[0]
