"""Resolves references of the downward API: fields and resources of a pod."""

import json
import math
import re
from dataclasses import dataclass

from loadgen.base.quantity import parse_quantity
from loadgen.sandbox.kubelet.objects import Json, all_containers

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class FieldError(ValueError):
    """A reference to a field or resource that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a pod runs.

    Attributes:
        node_ip: Address of the node.
        pod_ip: Address of the pod; empty until it has one.
        allocatable: Allocatable resources of the node, the limits of a container without limits.
    """

    node_ip: str
    pod_ip: str
    allocatable: dict[str, str]


def field_value(pod: Json, path: str, placement: Placement) -> str:
    """Return the value of a `fieldRef`.

    Raises:
        FieldError: the downward API has no such field.
    """
    meta, spec = pod["metadata"], pod["spec"]
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(entries.items()))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": placement.node_ip,
        "status.hostIPs": placement.node_ip,
        "status.podIP": placement.pod_ip,
        "status.podIPs": placement.pod_ip,
    }
    if path not in values:
        raise FieldError(f"unsupported fieldPath: {path}")
    return str(values[path])


def resource_value(pod: Json, reference: Json, container: Json | None, placement: Placement) -> str:
    """Return the value of a `resourceFieldRef` in units of its divisor, rounded up.

    A missing limit is the node's allocatable amount; a missing request is 0.

    Args:
        pod: The pod.
        reference: The reference.
        container: The container, unless the reference names another.
        placement: Where the pod runs.

    Raises:
        FieldError: there is no such container or resource.
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
    missing = placement.allocatable.get(resource, "0") if kind == "limits" else "0"
    return divided(str(stated.get(resource, missing)), str(reference.get("divisor") or "1"))


def divided(quantity: str, divisor: str) -> str:
    """A quantity in units of a divisor, rounded up to a whole number; a divisor of 0 counts as 1."""
    return str(math.ceil(parse_quantity(quantity) / (parse_quantity(divisor) or 1)))
