"""How far the pods of a workload are, and what keeps those that get no further: pure functions of raw objects.

A pod gets a node, its image, the engine, the model, and is ready.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Raw = Mapping[str, Any]

PHASES = ("waiting for a node", "pulling the image", "waiting for the engine", "loading the model", "ready")
"""What a pod does on its way, in order; one that has failed or was evicted is `ended`, and goes on no way."""

_NO_IMAGE = {"ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "ErrImagePull", "ImagePullBackOff"}
_ENDED = "ended"
_ENGINE = "engine"
_OF_PODS = {
    "FailedMount": "check the volumes, Secrets and ConfigMaps that it names",
    "FailedAttachVolume": "a volume that one node holds cannot go to another: use ReadWriteMany, or one node",
    "FailedCreatePodSandBox": "the node's runtime or network cannot start it: look at the node",
}
_BEYOND = {"Pulling", "Pulled"}
"""Events of a pod that has its volumes and its sandbox: what failed before is over, though its event stays."""
_OF_SETS = {"FailedCreate": "a quota or an admission rule refuses its pods"}


class Cause(NamedTuple):
    """Why something gets no further: of which object, which kind of cause, and a sentence that may change meanwhile."""

    uid: str
    kind: str
    why: str


def phase(pod: Raw) -> str:
    """Which of `PHASES` a pod is in, or `ended`."""
    status = pod.get("status", {})
    if status.get("phase") in ("Failed", "Succeeded"):
        return _ENDED
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


def on_its_way(pod: Raw) -> bool:
    """Whether a pod is one of the fleet: neither on its way out, nor a left-over of one that ended."""
    return "deletionTimestamp" not in pod["metadata"] and phase(pod) != _ENDED


def summary(pods: Sequence[Raw], wanted: int) -> str:
    """All pods on their way in a few words, such as `1 of 2 replicas ready, 1 loading the model`."""
    counts = Counter(map(phase, pods))
    others = [f"{counts[each]} {each}" for each in PHASES[:-1] if counts[each]]
    missing = wanted - len(pods)
    if missing > 0:
        others.insert(0, f"{missing} not there yet")
    return ", ".join([f"{counts['ready']} of {wanted} replica{'s' if wanted != 1 else ''} ready", *others])


def stuck(pods: Sequence[Raw], events: Sequence[Raw] = ()) -> list[Cause]:
    """Why pods get no further; causes of one kind differ by their pod.

    Args:
        pods: As in the `items` of a list of the API; one that is ready is not stuck, whatever was before.
        events: Those of the namespace; they tell of volumes, quotas and nodes on their way.
    """
    causes = [cause for pod in pods if phase(pod) != "ready" for cause in _causes(pod, events)]
    waiting = {
        pod.get("metadata", {}).get("name"): pod
        for pod in pods
        if phase(pod) in ("waiting for a node", "pulling the image")
    }
    beyond = {event.get("involvedObject", {}).get("name") for event in events if event.get("reason") in _BEYOND}
    for event in events:
        about = event.get("involvedObject", {})
        reason, said = event.get("reason"), str(event.get("message", "")).rstrip(". ")
        if reason in _OF_PODS and about.get("name") in waiting and about["name"] not in beyond:
            why = f"a pod cannot start ({reason}): {said}; {_OF_PODS[reason]}"
            causes.append(Cause(_uid(waiting[about["name"]]), reason, why))
        if reason in _OF_SETS and not pods:
            why = f"no pod can be made ({reason}): {said}; {_OF_SETS[reason]}"
            causes.append(Cause("", reason, why))
    return causes


def _uid(pod: Raw) -> str:
    return str(pod.get("metadata", {}).get("uid", ""))


def _causes(pod: Raw, events: Sequence[Raw]) -> Iterator[Cause]:
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            name = pod.get("metadata", {}).get("name")
            if any(
                event.get("reason") == "TriggeredScaleUp" and event.get("involvedObject", {}).get("name") == name
                for event in events
            ):
                continue  # the cluster gets a node for it
            why = (
                f"a pod of the fleet cannot be scheduled: {str(condition.get('message', '')).rstrip('.')}: "
                "ask for fewer replicas or GPUs, or for more nodes"
            )
            yield Cause(_uid(pod), "node", why)
    for container in (*status.get("initContainerStatuses", ()), *_containers(status)):
        for kind, why in _of_container(container):
            yield Cause(_uid(pod), f"{kind} of {container.get('name')}", why)


def _of_container(container: Raw) -> Iterator[tuple[str, str]]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, said = waiting.get("reason"), _words(waiting)
    if reason in _NO_IMAGE:
        yield (
            "image",
            f"the image {container.get('image')} cannot be had ({reason}{said}): check its name, its tag and "
            "image.pullSecrets; on a sandbox, loadgen/sandbox/images.py says which images there are",
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        yield (
            "making",
            f"the container {container.get('name')} cannot be made ({reason}{said}): see that what it names is there",
        )
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" or ended.get("exitCode", 0) != 0:
        yield (
            "end",
            f"the container {container.get('name')} ended with exit code {ended.get('exitCode')}"
            f" ({ended.get('reason', 'Error')}{_words(ended)}): read its log with `kubectl logs --previous`",
        )


def _words(state: Raw) -> str:
    said = " ".join(str(state.get("message", "")).split()).rstrip(".")
    return f": {said[-500:]}" if said else ""


def _containers(status: Raw) -> Sequence[Raw]:
    found: Sequence[Raw] = status.get("containerStatuses", ())
    return found
