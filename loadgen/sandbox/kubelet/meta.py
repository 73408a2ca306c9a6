"""Names, times and references of API objects, which stay the JSON that the API server sent."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def rfc3339(unix_s: float) -> str:
    """A time as the API writes it, to the second."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(unix_s: float) -> str:
    """A time as leases carry it, to the microsecond."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_s(text: str) -> float:
    """Seconds since the epoch of a time that the API wrote."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def go_duration(duration_s: float) -> str:
    """A duration as Go prints it, to the millisecond: `1m30s`, `2.5s`, `250ms`."""
    milliseconds = int(duration_s * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def uid_of(pod: Json) -> str:
    """The pod's UID."""
    return str(pod["metadata"]["uid"])


def pod_path(pod: Json, *, subresource: str = "") -> str:
    """Path of the pod in the API."""
    meta = pod["metadata"]
    tail = f"/{subresource}" if subresource else ""
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}{tail}"


def described(pod: Json) -> str:
    """The pod as the kubelet's messages name it: `name_namespace(uid)`."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def pod_reference(pod: Json, field: str | None = None) -> Json:
    """What an event about the pod, or about a field of it, points at."""
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
    """Whether an init container goes on running beside the main containers."""
    return container.get("restartPolicy") == "Always"


def init_containers(pod: Json) -> list[Json]:
    """The pod's init containers, sidecars included, in order."""
    return list(pod["spec"].get("initContainers") or [])


def main_containers(pod: Json) -> list[Json]:
    """The pod's main containers, in order."""
    return list(pod["spec"]["containers"])


def all_containers(pod: Json) -> Iterator[tuple[str, Json]]:
    """Every container with the path of its field in the pod."""
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or []:
            yield f"spec.{kind}{{{container['name']}}}", container


def is_host_network(pod: Json) -> bool:
    """Whether the pod lives in the node's own network namespace."""
    return bool(pod["spec"].get("hostNetwork"))


def grace_s(pod: Json) -> float:
    """Seconds that the pod has to end: as its deletion says, else its spec; one second at least."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = pod["spec"].get("terminationGracePeriodSeconds", 30)
    return max(1.0, float(asked))
