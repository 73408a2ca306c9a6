"""Checks before the load which RBAC permissions of a run are missing, and what the run lacks without them."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.base.errors import TargetError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects.shapes import checked

LEASE_NAMESPACE = "kube-node-lease"
"""Namespace in which nodes renew their leases."""

_READ = ("list", "watch")
_BYPASS = "traffic may bypass a gateway that this account cannot list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Verbs on a resource.

    Attributes:
        verbs: The verbs.
        resource: Plural name of the resource, with a subresource behind a slash.
        group: API group; empty for the core group.
        consequence: What a run lacks without the permission; None where the run cannot start without it.
        namespace: Namespace other than the one of the workload; empty for cluster-wide permissions.
    """

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    consequence: str | None = None
    namespace: str | None = None

    def describe(self, workload_namespace: str) -> str:
        """Describe the permission, such as `list/watch on deployments.apps in namespace llm`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        namespace = workload_namespace if self.namespace is None else self.namespace
        return f"{'/'.join(self.verbs)} on {resource} {f'in namespace {namespace}' if namespace else 'cluster-wide'}"


def required(kind: str) -> list[Permission]:
    """Return the permissions of a run against a workload of a kind."""
    workload = (
        ("leaderworkersets", "leaderworkerset.x-k8s.io") if kind == "LeaderWorkerSet" else ("deployments", "apps")
    )
    permissions = [
        Permission(verbs=_READ, resource="pods"),
        Permission(verbs=_READ, resource=workload[0], group=workload[1]),
        Permission(
            verbs=_READ,
            resource="horizontalpodautoscalers",
            group="autoscaling",
            consequence="scaling is not judged",
        ),
        Permission(
            verbs=("list",),
            resource="services",
            consequence="--kube-endpoint must be a URL or forward",
        ),
        Permission(verbs=_READ, resource="events", consequence="reasons of rescales and image pulls are not recorded"),
        Permission(verbs=_READ, resource="nodes", namespace="", consequence="lost nodes are not recorded"),
        Permission(
            verbs=("get",),
            resource="leases",
            group="coordination.k8s.io",
            namespace=LEASE_NAMESPACE,
            consequence="the last heartbeat of a lost node is not recorded",
        ),
    ]
    if kind == "Deployment":
        permissions.append(
            Permission(
                verbs=_READ,
                resource="replicasets",
                group="apps",
                consequence="rollouts during the run are not recorded",
            )
        )
    return permissions


PORT_FORWARD = Permission(verbs=("get", "create"), resource="pods/portforward")
"""Permission for a port-forward; the run cannot start without it when the workload is not reachable otherwise."""


def for_gateways(api: Api, namespace: str) -> list[Permission]:
    """Return the permissions for discovering gateways, only for kinds of routes that the cluster has.

    Raises:
        StackError: the API does not respond.
    """
    inside = ("namespaces", namespace)
    permissions = [Permission(verbs=("list",), resource="ingresses", group="networking.k8s.io", consequence=_BYPASS)]
    for group, version, plurals, gateway in (
        ("traefik.io", "v1alpha1", ("ingressroutes",), ("services", "")),
        ("gateway.networking.k8s.io", "v1", ("grpcroutes", "httproutes"), ("gateways", "gateway.networking.k8s.io")),
    ):
        resources = checked("api resources", api.get(path_of("apis", group, version)) or {})
        served = {each["name"] for each in resources.get("resources", [])}
        has_routes = False
        for plural in sorted(served & set(plurals)):
            permissions.append(Permission(verbs=("list",), resource=plural, group=group, consequence=_BYPASS))
            if api.allowed("list", plural, group=group, namespace=namespace):
                has_routes |= bool(api.items(path_of("apis", group, version, *inside, plural)))
        if has_routes:  # a route names its gateway, and only the gateway has an address
            permissions.append(
                Permission(verbs=("list",), resource=gateway[0], group=gateway[1], namespace="", consequence=_BYPASS)
            )
    return permissions


def for_custom_metric(name: str) -> Permission:
    """Return the permission to read a metric of pods in the custom-metrics API, where the HPA reads it."""
    consequence = "the metric that the HPA reads is not recorded"
    return Permission(verbs=("get",), resource=f"pods/{name}", group="custom.metrics.k8s.io", consequence=consequence)


def check(api: Api, namespace: str, permissions: Sequence[Permission]) -> tuple[list[Permission], list[str]]:
    """Check permissions by SelfSubjectAccessReviews.

    Args:
        api: The cluster.
        namespace: Namespace of the workload.
        permissions: The permissions to check.

    Returns:
        The missing permissions, and a sentence for each.

    Raises:
        TargetError: a permission is missing that the run cannot start without; the sentence names all of these.
    """
    missing = [
        each
        for each in permissions
        if not all(
            api.allowed(
                verb,
                each.resource,
                group=each.group,
                namespace=namespace if each.namespace is None else each.namespace,
            )
            for verb in each.verbs
        )
    ]
    vital = [each.describe(namespace) for each in missing if each.consequence is None]
    if vital:
        raise TargetError(
            f"missing RBAC permissions: {'; '.join(vital)}. Ask an administrator for a Role with these permissions "
            "(the chart charts/loadgen contains one), or use another --kube-context"
        )
    return missing, [f"missing RBAC permissions: {each.describe(namespace)} ({each.consequence})" for each in missing]
