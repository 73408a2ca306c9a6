"""Finds the API in which a cluster has the use of CPU and memory by nodes and pods; metrics-server usually serves it.

The kubelets have the same values. They are not read there: through the API server that takes `get` on `nodes/proxy`,
with which an account may also run commands in every pod of a node.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from loadgen.base.errors import StackError
from loadgen.kube.client import permissions
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.discover.result import Discovered
from loadgen.kube.objects.shapes import checked
from loadgen.kube.objects.workload import Workload

GROUP = "metrics.k8s.io"
_NODES = permissions.Permission(
    verbs=("list",),
    resource="nodes",
    group=GROUP,
    namespace="",
    consequence="the use of CPU and memory of the nodes is not recorded",
)
_PODS = permissions.Permission(
    verbs=("list",),
    resource="pods",
    group=GROUP,
    consequence="the share of the replicas in the use of their nodes is not recorded",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsUrls:
    """URLs of lists in the metrics API; None where the API does not exist or may not be read."""

    nodes: str | None = None
    replicas: str | None = None


def relayed_paths(workload: Workload) -> list[str]:
    """Patterns of the paths that a run reads."""
    group = rf"/apis/{re.escape(GROUP)}/[a-z0-9]+"
    return [rf"{group}/nodes", rf"{group}/namespaces/{re.escape(workload.namespace)}/pods"]


def discover_metrics_api(api: Api, workload: Workload, base: str) -> Discovered[MetricsUrls]:
    """Find the URLs for a workload; at most one sentence says what is missing.

    A cluster without this API is usual, so that it gives no sentence.

    Args:
        api: The cluster.
        workload: The workload.
        base: Base URL of the API server, as the collector reaches it.

    Raises:
        StackError: the API server does not respond.
    """
    try:
        group = api.get(path_of("apis", GROUP))
    except StackError as error:
        return Discovered(MetricsUrls(), missing=(f"{error}; {_NODES.consequence}",))
    if group is None:
        return Discovered(MetricsUrls())
    missing, sentences = permissions.check(api, workload.namespace, [_NODES])
    if missing:
        return Discovered(MetricsUrls(), missing=tuple(sentences))
    version = checked("api group", group)["preferredVersion"]["groupVersion"]
    nodes = f"{base}/apis/{version}/nodes"
    missing, sentences = permissions.check(api, workload.namespace, [_PODS])
    if missing:
        return Discovered(MetricsUrls(nodes=nodes), missing=tuple(sentences))
    query = urlencode({"labelSelector": workload.selector})
    replicas = f"{base}/apis/{version}/namespaces/{workload.namespace}/pods?{query}"
    return Discovered(MetricsUrls(nodes=nodes, replicas=replicas))
