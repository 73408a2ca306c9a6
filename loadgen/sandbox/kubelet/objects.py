"""Reads names, times and references of API objects, which stay plain JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def rfc3339(unix_s: float) -> str:
    """Format a time to the second, as in API objects."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(unix_s: float) -> str:
    """Format a time to the microsecond, as in leases."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Return the seconds since the epoch of a time in an API object."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def go_duration(duration_s: float) -> str:
    """Format a duration as Go does, to the millisecond: `1m30s`, `2.5s`, `250ms`."""
    milliseconds = int(duration_s * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def pod_uid(pod: Json) -> str:
    """Return the pod's UID."""
    return str(pod["metadata"]["uid"])


def pod_path(pod: Json, *, subresource: str = "") -> str:
    """Return the pod's path in the API."""
    meta = pod["metadata"]
    suffix = f"/{subresource}" if subresource else ""
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}{suffix}"


def format_pod(pod: Json) -> str:
    """Format a pod as in the kubelet's messages: `name_namespace(uid)`."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def pod_reference(pod: Json, field: str | None = None) -> Json:
    """Return an object reference to the pod, or to a field of the pod."""
    meta = pod["metadata"]
    reference = {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    if field:
        reference["fieldPath"] = field
    return reference


def is_sidecar(container: Json) -> bool:
    """Return whether an init container is a sidecar, which keeps running beside the main containers."""
    return container.get("restartPolicy") == "Always"


def init_containers(pod: Json) -> list[Json]:
    """Return the pod's init containers in order, sidecars included."""
    return list(pod["spec"].get("initContainers") or [])


def main_containers(pod: Json) -> list[Json]:
    """Return the pod's main containers in order."""
    return list(pod["spec"]["containers"])


def all_containers(pod: Json) -> Iterator[tuple[str, Json]]:
    """Yield the field path and spec of every container, init containers first."""
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or []:
            yield f"spec.{kind}{{{container['name']}}}", container


def is_host_network(pod: Json) -> bool:
    """Return whether the pod uses the node's network namespace."""
    return bool(pod["spec"].get("hostNetwork"))


def grace_period_s(pod: Json) -> float:
    """Return the grace period of the pod's deletion, else of its spec; at least one second."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds", 30)
    return max(1.0, float(seconds))
