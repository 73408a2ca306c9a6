"""Which rights a run needs on a cluster, and what it would lose without each: asked before the load starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.base.errors import TargetError
from loadgen.kube.client.api import Api, path_of

LEASE_NAMESPACE = "kube-node-lease"
"""Namespace in which nodes renew their leases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Verbs on a resource.

    Attributes:
        verbs: What is to be done.
        resource: Its plural, with a subresource behind a slash.
        group: Its API group; empty for the core.
        lost: What a run is without it; None where there is no run without it.
        place: Namespace other than the one under test; an empty one for the whole cluster.
    """

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    lost: str | None = None
    place: str | None = None

    def said(self, namespace: str) -> str:
        """As a person asks an administrator for it."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        place = namespace if self.place is None else self.place
        return f"{'/'.join(self.verbs)} on {resource} {f'in namespace {place}' if place else 'in the whole cluster'}"


_SEEN = ("list", "watch")


def needed(kind: str) -> list[Right]:
    """The rights of a run against a workload of a kind."""
    group = ("leaderworkersets", "leaderworkerset.x-k8s.io") if kind == "LeaderWorkerSet" else ("deployments", "apps")
    rights = [
        Right(verbs=_SEEN, resource="pods"),
        Right(verbs=_SEEN, resource=group[0], group=group[1]),
        Right(verbs=_SEEN, resource="horizontalpodautoscalers", group="autoscaling", lost="scaling is not judged"),
        Right(verbs=("list",), resource="services", lost="only --kube-endpoint with a URL or forward leads to it"),
        Right(verbs=_SEEN, resource="events", lost="the autoscaler's reasons and image pulls are not told"),
        Right(verbs=_SEEN, resource="nodes", place="", lost="a lost node is not told"),
        Right(
            verbs=("get",),
            resource="leases",
            group="coordination.k8s.io",
            place=LEASE_NAMESPACE,
            lost="when a lost node fell silent is not told",
        ),
    ]
    if kind == "Deployment":
        rights.append(Right(verbs=_SEEN, resource="replicasets", group="apps", lost="a rollout in mid-run is not told"))
    return rights


PORT_FORWARD = Right(verbs=("get", "create"), resource="pods/portforward")
"""What a port-forward needs; there is no run without it where nothing else leads to the workload."""


_UNSEEN = "a gateway before the workload may not be found, and requests may go past it"


def ways_in(api: Api, namespace: str) -> list[Right]:
    """What tells which gateways lead to a workload: only of kinds that the cluster has, and of which there are any.

    Raises:
        StackError: the API does not answer.
    """
    inside = ("namespaces", namespace)
    rights = [Right(verbs=("list",), resource="ingresses", group="networking.k8s.io", lost=_UNSEEN)]
    for group, version, plurals, before in (
        ("traefik.io", "v1alpha1", ("ingressroutes",), ("services", "")),
        ("gateway.networking.k8s.io", "v1", ("grpcroutes", "httproutes"), ("gateways", "gateway.networking.k8s.io")),
    ):
        served = {each["name"] for each in (api.get(path_of("apis", group, version)) or {}).get("resources", [])}
        routes = False
        for plural in sorted(served & set(plurals)):
            rights.append(Right(verbs=("list",), resource=plural, group=group, lost=_UNSEEN))
            if api.allowed("list", plural, group=group, namespace=namespace):
                routes |= bool(api.items(path_of("apis", group, version, *inside, plural)))
        if routes:  # they say which gateway, and that one says where it is
            rights.append(Right(verbs=("list",), resource=before[0], group=before[1], place="", lost=_UNSEEN))
    return rights


def custom_metric(name: str) -> Right:
    """The right to read a metric of pods as the autoscaler reads it."""
    lost = "what the autoscaler itself reads is not recorded"
    return Right(verbs=("get",), resource=f"pods/{name}", group="custom.metrics.k8s.io", lost=lost)


def check(api: Api, namespace: str, rights: Sequence[Right]) -> tuple[list[Right], list[str]]:
    """Ask the API which of the rights there are.

    Returns:
        Those that are missing, and a sentence for each.

    Raises:
        TargetError: one is missing without which there is no run; the sentence names all of them.
    """
    missing = [
        right
        for right in rights
        if not all(
            api.allowed(
                verb, right.resource, group=right.group, namespace=namespace if right.place is None else right.place
            )
            for verb in right.verbs
        )
    ]
    vital = [right.said(namespace) for right in missing if right.lost is None]
    if vital:
        raise TargetError(
            f"this account lacks rights that this run needs: {'; '.join(vital)}. Ask for a Role with them (the chart "
            "charts/loadgen has one), or use another --kube-context"
        )
    return missing, [f"needs {right.said(namespace)}: without it, {right.lost}" for right in missing]
