"""Reads from events what a node provisioner does about a pod that no node has room for.

The cluster autoscaler (GKE with its node auto-provisioning, EKS, AKS) and Karpenter (EKS, and AKS with node
auto-provisioning) report in events of the pod that a node is coming for it, or why none is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from loadgen.kube.objects.raw import Raw, parse_time

_COMING = {"TriggeredScaleUp": "the cluster autoscaler", "Nominated": "Karpenter"}
_REFUSED = {"NotTriggerScaleUp": "the cluster autoscaler"}
_KARPENTER = "karpenter"


class Provisioning(NamedTuple):
    """The last report of a node provisioner about a pod.

    Attributes:
        coming: Whether a node is coming, so that the pod makes progress.
        sentence: What the provisioner says.
    """

    coming: bool
    sentence: str


def is_about(event: Raw, pod: Raw) -> bool:
    """Return whether an event is about a pod; an earlier pod of the same name has another uid."""
    involved, metadata = event.get("involvedObject", {}), pod.get("metadata", {})
    same_uid = involved.get("uid") in (None, "", metadata.get("uid"))
    return involved.get("kind", "Pod") == "Pod" and involved.get("name") == metadata.get("name") and same_uid


def event_time_s(event: Raw) -> float:
    """Return when an event happened last, in seconds since the epoch; 0 where it has no time."""
    series = event.get("series") or {}
    for stamp in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        if stamp:
            return parse_time(stamp) or 0.0
    return 0.0


def provisioning_of(pod: Raw, events: Sequence[Raw]) -> Provisioning | None:
    """Return the last report of a node provisioner about a pod; None without one."""
    reports = [each for event in events if is_about(event, pod) and (each := _report(event)) is not None]
    # stable: of two reports without a time, the later one in the list
    return sorted(reports, key=lambda each: each[0])[-1][1] if reports else None


def _report(event: Raw) -> tuple[float, Provisioning] | None:
    reason, message = str(event.get("reason", "")), str(event.get("message", "")).rstrip(". ")
    source = str(event.get("reportingComponent") or event.get("source", {}).get("component", ""))
    if reason in _COMING:
        found = Provisioning(True, f"{_COMING[reason]} is adding a node for a pod ({reason}: {message})")
    elif reason in _REFUSED:
        found = Provisioning(False, f"{_REFUSED[reason]} adds no node ({message})")
    elif reason == "FailedScheduling" and source == _KARPENTER:
        found = Provisioning(False, f"Karpenter adds no node ({message})")
    else:
        return None
    return event_time_s(event), found
