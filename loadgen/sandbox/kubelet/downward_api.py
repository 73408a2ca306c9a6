"""The downward API: what a pod may learn about itself."""

import json
import math
import re
from dataclasses import dataclass

from loadgen.base.quantity import parse_quantity
from loadgen.sandbox.kubelet.meta import Json, all_containers

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class FieldError(ValueError):
    """A field reference that names nothing; the sentence goes to the container's status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pod runs.

    Attributes:
        node_ip: Address of its node.
        pod_ip: Its own address; empty before it has one.
        allocatable: Resources of the node: what a container without a limit may use.
    """

    node_ip: str
    pod_ip: str
    allocatable: dict[str, str]


def field_value(pod: Json, path: str, place: Place) -> str:
    """What a `fieldRef` stands for.

    Raises:
        FieldError: the path is none that the downward API has.
    """
    meta, spec = pod["metadata"], pod["spec"]
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        listed = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(listed.items()))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": place.node_ip,
        "status.hostIPs": place.node_ip,
        "status.podIP": place.pod_ip,
        "status.podIPs": place.pod_ip,
    }
    if path not in values:
        raise FieldError(f"unsupported fieldPath: {path}")
    return str(values[path])


def resource_value(pod: Json, reference: Json, container: Json | None, place: Place) -> str:
    """What a `resourceFieldRef` stands for, in units of its divisor, rounded up.

    A limit that the container does not have is what the node can give; a request that it does not have is 0.

    Args:
        pod: The pod.
        reference: The reference.
        container: The container it is about unless it names another.
        place: Where the pod runs.

    Raises:
        FieldError: it names no container or no resource of the downward API.
    """
    name = reference.get("containerName")
    if name:
        container = next((each for _, each in all_containers(pod) if each["name"] == name), None)
    if container is None:
        raise FieldError(f"container {name} not found")
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise FieldError(f"unsupported container resource : {reference['resource']}")
    stated = (container.get("resources") or {}).get(kind) or {}
    missing = place.allocatable.get(resource, "0") if kind == "limits" else "0"
    return divided(str(stated.get(resource, missing)), str(reference.get("divisor") or "1"))


def divided(quantity: str, divisor: str) -> str:
    """A quantity in units of a divisor, rounded up to a whole number; a divisor of 0 counts as 1."""
    return str(math.ceil(parse_quantity(quantity) / (parse_quantity(divisor) or 1)))
