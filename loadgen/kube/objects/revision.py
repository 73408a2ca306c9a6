"""Whether a change of a workload has reached all of its pods, and which pods are new: pure functions of raw objects."""

from collections.abc import Sequence
from typing import Any

from loadgen.kube.objects.workload import Raw

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_GROUP_HASH = "leaderworkerset.sigs.k8s.io/template-revision-hash"


def unseen(workload: Raw) -> bool:
    """Whether its controller has yet to look at the last change.

    Older controllers of LeaderWorkerSet do not say what they have looked at: they are believed at once.
    """
    status = workload.get("status", {})
    generation = workload["metadata"].get("generation", 0)
    if workload["kind"] != "Deployment" and status:
        return bool(status.get("observedGeneration", generation) < generation)
    return bool(status.get("observedGeneration", 0) < generation)


def left_to_do(workload: Raw, replicas: int) -> str | None:
    """What is left of a rollout, in a few words; None where all replicas are of the last version.

    Args:
        workload: The Deployment or LeaderWorkerSet with its `kind`.
        replicas: How many there must be at least.
    """
    if unseen(workload):
        return "its controller has not seen the last change yet"
    status = workload.get("status", {})
    there, new = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
    old = there - new
    kept = min(_kept(workload), old)
    if old > kept:
        return f"{old - kept} of the old version still there"
    if new + kept < replicas:
        return f"{new + kept} of {replicas} of the new version made"
    return None


def new_pods(workload: Raw, pods: Sequence[Any], sets: Sequence[Raw] | None) -> list[Any]:
    """The pods of the last version that its controller has seen.

    Args:
        workload: The Deployment or LeaderWorkerSet with its `kind`.
        pods: All that its selector selects.
        sets: ReplicaSets with that selector; None where they may not be read: then no pod is told from another.
    """
    if workload["kind"] != "Deployment":
        return _of_youngest(pods, kept=_kept(workload))
    if sets is None:
        return [*pods]
    revision = _annotation(workload, _REVISION)
    hashes = {
        each["metadata"].get("labels", {}).get(_HASH)
        for each in sets
        if _annotation(each, _REVISION) == revision
        and any(
            owner["uid"] == workload["metadata"].get("uid") for owner in each["metadata"].get("ownerReferences", ())
        )
    }
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get(_HASH) in hashes]


def _of_youngest(pods: Sequence[Any], *, kept: int) -> list[Any]:
    """Those of the revision that the youngest leader has; all where some are to stay as they are."""
    if kept or not pods:
        return [*pods]
    youngest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    revision = youngest["metadata"].get("labels", {}).get(_GROUP_HASH)
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get(_GROUP_HASH) == revision]


def _kept(workload: Raw) -> int:
    """How many groups of a LeaderWorkerSet are to stay as they are: those before its partition."""
    rolling = workload["spec"].get("rolloutStrategy", {}).get("rollingUpdateConfiguration", {})
    return int(rolling.get("partition") or 0)


def _annotation(raw: Raw, name: str) -> str | None:
    value: str | None = raw["metadata"].get("annotations", {}).get(name)
    return value
