"""Discovers the workload under test with its HPA and Service, and checks the permissions to read them."""

import contextlib
from dataclasses import dataclass
from typing import Any

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import permissions
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.discover.result import Discovered
from loadgen.kube.discover.selection import candidates, choose_hpa, choose_service, choose_workload
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.workload import GROUPS, Workload
from loadgen.scenario.fleets import Kube


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledWorkload:
    """A workload with its HPA and Service.

    Attributes:
        workload: Deployment or LeaderWorkerSet.
        hpa: The HPA's whole manifest; None without one.
        service: The Service's manifest; None without one.
        missing_permissions: Optional permissions that the account lacks.
    """

    workload: Workload
    hpa: Raw | None
    service: Raw | None
    missing_permissions: tuple[permissions.Permission, ...] = ()

    @property
    def hpa_name(self) -> str | None:
        """Name of the HPA; None without one."""
        return None if self.hpa is None else str(self.hpa["metadata"]["name"])


def discover_workload(api: Api, kube: Kube) -> Discovered[ScaledWorkload]:
    """Find the workload that the settings name, and check the permissions to observe it.

    Raises:
        TargetError: the workload does not exist, is ambiguous, or may not be read.
        StackError: the API server does not answer.
    """
    objects, location = _workloads(api, kube)
    workload = choose_workload(objects, name=kube.workload, location=location)
    namespace = ("namespaces", workload.namespace)
    missing, sentences = permissions.check(api, workload.namespace, permissions.required(workload.kind))
    unreadable = {each.resource for each in missing}
    hpas = path_of("apis", "autoscaling", "v2", *namespace, "horizontalpodautoscalers")
    services = path_of("api", "v1", *namespace, "services")
    scaled = ScaledWorkload(
        workload=workload,
        hpa=choose_hpa([] if "horizontalpodautoscalers" in unreadable else api.items(hpas), workload, name=kube.hpa),
        service=choose_service([] if "services" in unreadable else api.items(services), workload, name=kube.service),
        missing_permissions=tuple(missing),
    )
    return Discovered(scaled, missing=tuple(sentences))


def _workloads(api: Api, kube: Kube) -> tuple[list[Any], str]:
    """Workloads of the namespace, or of all namespaces if none was named and it has no candidate, and the location."""
    first = kube.namespace or api.namespace
    try:
        objects = serving_objects(api, first)
    except StackError as error:
        raise TargetError(f"{error}; name another namespace with --kube-namespace, or ask for a Role") from error
    if kube.namespace is None and not candidates(objects, kube.workload):
        with contextlib.suppress(StackError):  # an account of one namespace may not list the others
            in_all_namespaces = serving_objects(api, None)
            if candidates(in_all_namespaces, kube.workload):
                return in_all_namespaces, "in any namespace"
    return objects, f"in namespace {first}"


def serving_objects(api: Api, namespace: str | None) -> list[Any]:
    """Deployments and LeaderWorkerSets of a namespace, or of all namespaces, each with its kind.

    The API server refuses an account without permission to list LeaderWorkerSets even where that kind is not
    installed: such a refusal counts as no LeaderWorkerSets.

    Raises:
        StackError: Deployments may not be listed.
    """
    inside = ("namespaces", namespace) if namespace else ()
    objects = []
    for kind, group in GROUPS.items():
        try:
            items = api.items(path_of("apis", group, "v1", *inside, f"{kind.lower()}s"))
        except StackError:
            if kind == "Deployment":
                raise
            continue
        objects += [{**each, "kind": kind} for each in items]
    return objects
