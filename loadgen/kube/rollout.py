"""How far the pods of a workload are, and what keeps those that get no further: pure functions of raw objects.

A pod gets a node, its image, the engine, the model, and is ready.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Raw = Mapping[str, Any]

PHASES = ("waiting for a node", "pulling the image", "waiting for the engine", "loading the model", "ready")
"""What a pod does on its way, in order."""

_NO_IMAGE = {"ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "ErrImagePull", "ImagePullBackOff"}
_ENGINE = "engine"
_OF_PODS = {
    "FailedMount": "check the volumes, Secrets and ConfigMaps that it names",
    "FailedAttachVolume": "a volume that one node holds cannot go to another: use ReadWriteMany, or one node",
    "FailedCreatePodSandBox": "the node's runtime or network cannot start it: look at the node",
}
_OF_SETS = {"FailedCreate": "a quota or an admission rule refuses its pods"}


def phase(pod: Raw) -> str:
    """Which of `PHASES` a pod is in."""
    status = pod.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if conditions.get("Ready") == "True":
        return "ready"
    if conditions.get("PodScheduled") != "True":
        return "waiting for a node"
    for container in status.get("initContainerStatuses", ()):
        if "running" in container.get("state", {}) and container["name"] == _ENGINE:
            return "waiting for the engine"
    if any("running" in each.get("state", {}) for each in _containers(status)):
        return "loading the model"
    return "pulling the image"


def summary(pods: Sequence[Raw], wanted: int) -> str:
    """All pods in a few words, such as `1 of 2 replicas ready, 1 loading the model`."""
    counts = Counter(map(phase, pods))
    others = [f"{counts[each]} {each}" for each in PHASES[:-1] if counts[each]]
    missing = wanted - len(pods)
    if missing > 0:
        others.insert(0, f"{missing} not there yet")
    return ", ".join([f"{counts['ready']} of {wanted} replica{'s' if wanted != 1 else ''} ready", *others])


def stuck(pods: Sequence[Raw], events: Sequence[Raw] = ()) -> list[str]:
    """Why pods get no further, one sentence per cause, however many pods share it.

    Args:
        pods: As in the `items` of a list of the API.
        events: Those of the namespace; they tell of volumes, quotas and nodes on their way.
    """
    reasons = [reason for pod in pods for reason in _reasons(pod, events)]
    there = {pod.get("metadata", {}).get("name") for pod in pods}
    waiting = {
        pod.get("metadata", {}).get("name") for pod in pods if phase(pod) in ("waiting for a node", "pulling the image")
    }
    for event in events:
        about = event.get("involvedObject", {})
        reason, said = event.get("reason"), str(event.get("message", "")).rstrip(". ")
        if reason in _OF_PODS and about.get("name") in waiting & there:
            reasons.append(f"a pod cannot start ({reason}): {said}; {_OF_PODS[reason]}")
        if reason in _OF_SETS and not pods:
            reasons.append(f"no pod can be made ({reason}): {said}; {_OF_SETS[reason]}")
    return list(dict.fromkeys(reasons))


def _reasons(pod: Raw, events: Sequence[Raw]) -> Iterator[str]:
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            name = pod.get("metadata", {}).get("name")
            if any(
                event.get("reason") == "TriggeredScaleUp" and event.get("involvedObject", {}).get("name") == name
                for event in events
            ):
                continue  # the cluster gets a node for it
            yield (
                f"a pod of the fleet cannot be scheduled: {str(condition.get('message', '')).rstrip('.')}: "
                "ask for fewer replicas or GPUs, or for more nodes"
            )
    for container in (*status.get("initContainerStatuses", ()), *_containers(status)):
        yield from _of_container(container)


def _of_container(container: Raw) -> Iterator[str]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, said = waiting.get("reason"), _words(waiting)
    if reason in _NO_IMAGE:
        yield (
            f"the image {container.get('image')} cannot be had ({reason}{said}): check its name, its tag and "
            "image.pullSecrets; on a sandbox, loadgen/kube/sandbox/images.py says which images there are"
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        yield f"the container {container.get('name')} cannot be made ({reason}{said}): see that what it names is there"
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" or ended.get("exitCode", 0) != 0:
        yield (
            f"the container {container.get('name')} ended with exit code {ended.get('exitCode')}"
            f" ({ended.get('reason', 'Error')}{_words(ended)}): read its log with `kubectl logs --previous`"
        )


def _words(state: Raw) -> str:
    said = " ".join(str(state.get("message", "")).split()).rstrip(".")
    return f": {said[-500:]}" if said else ""


def _containers(status: Raw) -> Sequence[Raw]:
    found: Sequence[Raw] = status.get("containerStatuses", ())
    return found
