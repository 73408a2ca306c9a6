"""Which workload a run is about, with its autoscaler and Service, and what may be read of it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import permissions as rights
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects import workload as find
from loadgen.kube.objects.raw import Raw
from loadgen.scenario.settings import Kube

Say = Callable[[str], None]


@dataclass(slots=True)
class Attached:
    """A workload and what belongs to it; `lacking` grows by a sentence for everything that a run will not see.

    `assumed` grows by one for everything that is taken as usual. The context of `kube` has its name.
    """

    api: Api
    kube: Kube
    workload: find.Workload
    hpa: Raw | None
    service: Raw | None
    missing: list[rights.Permission]
    lacking: list[str]
    assumed: list[str]


def attach(kube: Kube, say: Say) -> Attached:
    """Find what the settings mean, and ask for the rights to read it.

    Raises:
        TargetError: it is not there, is ambiguous, or may not be read.
        StackError: the API server does not answer.
    """
    api = Api(kube.context)
    kube = kube.model_copy(update={"context": api.context})  # what is started later asks this cluster, too
    objects, where = _workloads(api, kube)
    workload = find.choose_workload(objects, name=kube.workload, where=where)
    inside = ("namespaces", workload.namespace)
    missing, lacking = rights.check(api, workload.namespace, rights.required(workload.kind))
    unread = {right.resource for right in missing}
    hpas = path_of("apis", "autoscaling", "v2", *inside, "horizontalpodautoscalers")
    seen = [] if "horizontalpodautoscalers" in unread else api.items(hpas)
    hpa = find.choose_hpa(seen, workload, name=kube.hpa)
    services = [] if "services" in unread else api.items(path_of("api", "v1", *inside, "services"))
    service = find.choose_service(services, workload, name=kube.service)
    scaled = f"scaled by {hpa['metadata']['name']}" if hpa else "not scaled by an HPA"
    say(f"{workload} of context {api.context}, {scaled}")
    return Attached(api, kube, workload, hpa, service, missing, lacking, [])


def _workloads(api: Api, kube: Kube) -> tuple[list[Any], str]:
    """Deployments and LeaderWorkerSets of the namespace, and where that is; of all where none was named or fits."""
    first = kube.namespace or api.namespace
    try:
        found = serving_objects(api, first)
    except StackError as error:
        raise TargetError(f"{error}; name another namespace with --kube-namespace, or ask for a Role") from error
    if kube.namespace is None and not find.candidates(found, kube.workload):
        with contextlib.suppress(StackError):  # not every account may look around
            everywhere = serving_objects(api, None)
            if find.candidates(everywhere, kube.workload):
                return everywhere, "in any namespace"
    return found, f"in namespace {first}"


def serving_objects(api: Api, namespace: str | None) -> list[Any]:
    """Deployments and LeaderWorkerSets of a namespace, or of all, each with its kind.

    An account that may not list LeaderWorkerSets is refused also where the cluster has none: they count as none.

    Raises:
        StackError: Deployments may not be listed.
    """
    inside = ("namespaces", namespace) if namespace else ()
    found = []
    for kind, group in find.GROUPS.items():
        try:
            listed = api.items(path_of("apis", group, "v1", *inside, f"{kind.lower()}s"))
        except StackError:
            if kind == "Deployment":
                raise
            continue
        found += [{**each, "kind": kind} for each in listed]
    return found
