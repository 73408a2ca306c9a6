"""Reads how far a rollout is: whether all pods have the current pod template, and which pods are updated."""

from collections.abc import Sequence
from typing import Any

from loadgen.kube.objects.raw import Raw

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_GROUP_HASH = "leaderworkerset.sigs.k8s.io/template-revision-hash"


def spec_observed(workload: Raw) -> bool:
    """Return whether the controller has observed the latest generation of the workload.

    Older LeaderWorkerSet controllers do not report an observed generation; they are assumed to be up to date.
    """
    status = workload.get("status", {})
    generation = workload["metadata"].get("generation", 0)
    if workload["kind"] != "Deployment" and status:
        return bool(status.get("observedGeneration", generation) >= generation)
    return bool(status.get("observedGeneration", 0) >= generation)


def rollout_pending(workload: Raw, replicas: int) -> str | None:
    """Describe in a few words what a rollout still waits for; None when all replicas are up to date.

    Args:
        workload: The Deployment or LeaderWorkerSet with its `kind`.
        replicas: The lowest number of replicas to wait for.
    """
    if not spec_observed(workload):
        return "waiting for the controller to observe the last change"
    status = workload.get("status", {})
    total, updated = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
    old = total - updated
    retained = min(_retained(workload), old)
    if old > retained:
        return f"{old - retained} old replica{'s' if old - retained != 1 else ''} pending termination"
    if updated + retained < replicas:
        return f"{updated + retained} of {replicas} new replicas created"
    return None


def updated_pods(workload: Raw, pods: Sequence[Any], replica_sets: Sequence[Raw] | None) -> list[Any]:
    """Return the pods of the latest revision that the controller has observed.

    Args:
        workload: The Deployment or LeaderWorkerSet with its `kind`.
        pods: All pods that its selector matches.
        replica_sets: ReplicaSets that its selector matches; None where they cannot be read, which returns all pods.
    """
    if workload["kind"] != "Deployment":
        return _of_youngest_leader(pods, retained=_retained(workload))
    if replica_sets is None:
        return [*pods]
    revision = _annotation(workload, _REVISION)
    hashes = {
        each["metadata"].get("labels", {}).get(_HASH)
        for each in replica_sets
        if _annotation(each, _REVISION) == revision
        and any(
            owner["uid"] == workload["metadata"].get("uid") for owner in each["metadata"].get("ownerReferences", ())
        )
    }
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get(_HASH) in hashes]


def _of_youngest_leader(pods: Sequence[Any], *, retained: int) -> list[Any]:
    """Return the pods with the revision of the youngest leader; all pods where a partition retains old ones."""
    if retained or not pods:
        return [*pods]
    youngest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    revision = youngest["metadata"].get("labels", {}).get(_GROUP_HASH)
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get(_GROUP_HASH) == revision]


def _retained(workload: Raw) -> int:
    """Return how many groups of a LeaderWorkerSet keep their old revision: those below its partition."""
    rolling = workload["spec"].get("rolloutStrategy", {}).get("rollingUpdateConfiguration", {})
    return int(rolling.get("partition") or 0)


def _annotation(raw: Raw, name: str) -> str | None:
    value: str | None = raw["metadata"].get("annotations", {}).get(name)
    return value
