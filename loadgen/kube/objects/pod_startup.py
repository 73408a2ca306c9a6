"""Reads how far the pods of a workload have started, and what blocks those that do not progress.

A pod is scheduled to a node, pulls its image, downloads its model or waits for its engine, loads it, and is ready.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadgen.kube.objects.provisioners import event_time_s, is_about, provisioning_of
from loadgen.kube.objects.raw import Raw

READY = "ready"
STAGES = (
    "waiting for a node",
    "pulling the image",
    "downloading the model",
    "waiting for the engine",
    "loading the model",
    READY,
)
"""The stages of a starting pod, in order; a pod that failed or was evicted is in the stage `ended` instead."""

_ENDED = "ended"
_INIT_STAGES = {"download": "downloading the model", "engine": "waiting for the engine"}
"""Stages of the chart's init containers that may take long, by container."""
_IMAGE_REASONS = {"ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "ErrImagePull", "ImagePullBackOff"}
_POD_EVENT_ADVICE = {
    "FailedMount": "check the volumes, Secrets and ConfigMaps that it names",
    "FailedAttachVolume": "a ReadWriteOnce volume is attached to another node: use ReadWriteMany, or a single node",
    "FailedCreatePodSandBox": "the container runtime or the network of the node cannot start it: check the node",
    "FailedPrepareDynamicResources": "the DRA driver of the node cannot prepare the claimed devices: read its log",
    "FailedResourceClaimCreation": "check the ResourceClaimTemplate that it names, and the quota of claims",
}
_AFTER_SANDBOX = {"Pulling", "Pulled"}
"""Events of a pod whose volumes and sandbox are ready: earlier failures are resolved, although their events remain."""
_CLAIM = "FailedResourceClaimCreation"
_NOT_SCHEDULED = ("Unschedulable", "SchedulerError")
_SCHEDULING_ADVICE = {
    "CEL": "correct the selectors of its resource claim (gpu.dra.selectors)",
    "device class": "install the driver of that device class, or name another in gpu.dra.deviceClass",
    "cannot allocate all claims": "request fewer replicas or GPUs, add nodes, or check which devices the claims select "
    "(`kubectl get resourceslices`)",
}
"""Advice for scheduler messages about claimed devices, by a part of the message; any other message is about nodes."""
_CREATION = "FailedCreate"
_CREATORS = ("ReplicaSet", "StatefulSet")
"""Kinds of objects that create the pods of a Deployment and of a LeaderWorkerSet."""


class Blocker(NamedTuple):
    """A reason why a pod does not progress.

    Attributes:
        uid: Uid of the object; empty where no pod could be created.
        kind: Kind of problem, which stays the same while the message changes.
        message: Sentence that says what is wrong and what to do.
    """

    uid: str
    kind: str
    message: str


def startup_stage(pod: Raw) -> str:
    """Return which of `STAGES` a pod is in, or `ended`."""
    status = pod.get("status", {})
    if status.get("phase") in ("Failed", "Succeeded"):
        return _ENDED
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if conditions.get("Ready") == "True":
        return READY
    if conditions.get("PodScheduled") != "True":
        return "waiting for a node"
    for container in status.get("initContainerStatuses", ()):
        if "running" in container.get("state", {}) and container["name"] in _INIT_STAGES:
            return _INIT_STAGES[container["name"]]
    containers = _containers(status)
    if containers and all("running" in each.get("state", {}) for each in containers):
        return "loading the model"
    return "pulling the image"


def is_active(pod: Raw) -> bool:
    """Return whether a pod counts as a replica: it neither has ended nor is being deleted."""
    return "deletionTimestamp" not in pod["metadata"] and startup_stage(pod) != _ENDED


def summary(pods: Sequence[Raw], replicas: int) -> str:
    """Summarize the stages of active pods, such as `1 of 2 replicas ready, 1 loading the model`."""
    counts = Counter(map(startup_stage, pods))
    others = [f"{counts[each]} {each}" for each in STAGES[:-1] if counts[each]]
    missing = replicas - len(pods)
    if missing > 0:
        others.insert(0, f"{missing} not created yet")
    return ", ".join([f"{counts[READY]} of {replicas} replica{'s' if replicas != 1 else ''} ready", *others])


def find_blockers(
    pods: Sequence[Raw], events: Sequence[Raw] = (), *, replicas: int = 1, workload: Raw | None = None
) -> list[Blocker]:
    """Return what prevents pods from becoming ready at this moment, for each pod separately.

    Args:
        pods: Pods as in the `items` of a list. A ready pod is never blocked, even by earlier problems.
        events: Events of the namespace, which report problems with volumes and quotas, and nodes being added.
        replicas: How many pods there should be.
        workload: The workload; its condition `ReplicaFailure` says that a pod could not be created.
    """
    blockers = [blocker for pod in pods if startup_stage(pod) != READY for blocker in _of_pod(pod, events)]
    for pod in pods:
        if startup_stage(pod) in ("waiting for a node", "pulling the image"):
            blockers += _of_pod_events(pod, [event for event in events if is_about(event, pod)])
    if (failure := _creation_failure(events, workload, missing=len(pods) < replicas)) is not None:
        sentence = (
            f"pods cannot be created ({_CREATION}): {failure.rstrip('. ')}; a quota or an admission policy rejects its "
            "pods"
        )
        blockers.append(Blocker("", _CREATION, sentence))
    return blockers


def find_progress(pods: Sequence[Raw], events: Sequence[Raw] = ()) -> list[str]:
    """Return what is being done about pods that no node has room for, each sentence once."""
    reports = [provisioning_of(pod, events) for pod in pods if startup_stage(pod) == STAGES[0]]
    return list(dict.fromkeys(each.sentence for each in reports if each is not None and each.coming))


def _of_pod_events(pod: Raw, events: Sequence[Raw]) -> Iterator[Blocker]:
    reasons = {event.get("reason") for event in events}
    # The event stays when a later attempt succeeds.
    claimed = bool(pod.get("status", {}).get("resourceClaimStatuses"))
    for event in events if not reasons & _AFTER_SANDBOX else ():
        if (reason := event.get("reason")) in _POD_EVENT_ADVICE and not (reason == _CLAIM and claimed):
            message = str(event.get("message", "")).rstrip(". ")
            yield Blocker(_uid(pod), reason, f"a pod cannot start ({reason}): {message}; {_POD_EVENT_ADVICE[reason]}")


def _creation_failure(events: Sequence[Raw], workload: Raw | None, *, missing: bool) -> str | None:
    """Return why a pod of the workload cannot be created; events are older than conditions, which are removed."""
    conditions = {} if workload is None else workload.get("status", {})
    for condition in conditions.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return str(condition.get("message", ""))
    name = None if workload is None else workload["metadata"]["name"]
    failures = [
        event
        for event in events
        if event.get("reason") == _CREATION and _creates_pods_of(event.get("involvedObject", {}), name)
    ]
    if not missing or not failures:
        return None
    return str(max(failures, key=event_time_s).get("message", ""))


def _creates_pods_of(involved: Raw, workload: str | None) -> bool:
    # A ReplicaSet is named after its Deployment, and the StatefulSets after their LeaderWorkerSet, with one more part.
    name = str(involved.get("name", ""))
    return involved.get("kind") in _CREATORS and (workload is None or workload in (name, name.rpartition("-")[0]))


def _uid(pod: Raw) -> str:
    return str(pod.get("metadata", {}).get("uid", ""))


def _of_pod(pod: Raw, events: Sequence[Raw]) -> Iterator[Blocker]:
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") in _NOT_SCHEDULED:
            report = provisioning_of(pod, events)
            if report is not None and report.coming:
                continue
            refusal = f"; {report.sentence}" if report is not None else ""
            reason = str(condition.get("message", "")).rstrip(".")
            advice = [each for part, each in _SCHEDULING_ADVICE.items() if part in reason]
            message = (
                f"a pod cannot be scheduled: {reason}{refusal}: "
                f"{advice[0] if advice else 'request fewer replicas or GPUs, or add nodes'}"
            )
            yield Blocker(_uid(pod), "node", message)
    for container in (*status.get("initContainerStatuses", ()), *_containers(status)):
        for kind, message in _of_container(container):
            yield Blocker(_uid(pod), f"{kind} of {container.get('name')}", message)


def _of_container(container: Raw) -> Iterator[tuple[str, str]]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, detail = waiting.get("reason"), _detail(waiting)
    if reason in _IMAGE_REASONS:
        yield (
            "image",
            f"the image {container.get('image')} cannot be pulled ({reason}{detail}): check its name, its tag and "
            "image.pullSecrets; a sandbox has only the images that loadgen/sandbox/images.py lists",
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        yield (
            "creation",
            f"the container {container.get('name')} cannot be created ({reason}{detail}): check that the ConfigMaps, "
            "Secrets and volumes that it names exist",
        )
    # A running container is healthy, even if its last state is a failure.
    terminated = container.get("state", {}).get("terminated") or {}
    if reason == "CrashLoopBackOff":
        terminated = container.get("lastState", {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" or terminated.get("exitCode", 0) != 0:
        yield (
            "exit",
            f"the container {container.get('name')} ended with exit code {terminated.get('exitCode')}"
            f" ({terminated.get('reason', 'Error')}{_detail(terminated)}): read its log with `kubectl logs --previous`",
        )


def _detail(state: Raw) -> str:
    message = " ".join(str(state.get("message", "")).split()).rstrip(".")
    return f": {message[-500:]}" if message else ""


def _containers(status: Raw) -> Sequence[Raw]:
    containers: Sequence[Raw] = status.get("containerStatuses", ())
    return containers
