"""Pods that will never run as they stand, by what the API says of them: each as a sentence that says what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NO_IMAGE = {"ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}


def stuck(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence per cause, however many pods share it.

    Args:
        pods: As in the `items` of a list of the API.
    """
    return list(dict.fromkeys(reason for pod in pods for reason in _reasons(pod)))


def _reasons(pod: Mapping[str, Any]) -> Iterator[str]:
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield (
                f"a pod of the fleet cannot be scheduled: {str(condition.get('message', '')).rstrip('.')}: "
                "ask for fewer replicas or GPUs, or for more nodes"
            )
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _NO_IMAGE:
            yield (
                f"no program stands for the image {container.get('image')} in the sandbox ({waiting['reason']}): "
                "use an image that loadgen/kube/sandbox/images.py knows, or add it there"
            )
