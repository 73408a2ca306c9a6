"""Findings about unschedulable replicas."""

import re

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding, Window
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval
from loadgen.base.display import listed
from loadgen.dataset.names import EventKind

_RESOURCE = re.compile(r"Insufficient ([\w./-]*\w)")
_CLAIMS = re.compile(r"cannot allocate all claims|resourceclaim (in use|not available)")
"""What the scheduler says of pods whose GPUs are claimed (Dynamic Resource Allocation), without naming a resource."""


def unschedulable_replicas(run: Observed, fleet: Fleet) -> list[Finding]:
    """The pods that the scheduler could not place during the load, with its reasons."""
    summaries, spans, resources = [], [], set()
    for event in run.of_kind(EventKind.REPLICA_UNSCHEDULABLE):
        pod = fleet.pods[str(event.pod)]
        span = max(event.t_s, 0.0), min(_end_s(pod, run.end_s), run.end_s)
        if span[1] <= span[0]:
            continue
        # The scheduler's second sentence is about preemption.
        reason = str(event.message or event.reason or "no reason given").split(". ")[0].rstrip(".")
        spans.append(span)
        resources |= {
            *_RESOURCE.findall(reason),
            *(["devices for its resource claims"] if _CLAIMS.search(reason) else []),
        }
        summaries.append(f"{pod.name} was unschedulable {Window(*span)} ({reason}), until {_outcome(pod, run.end_s)}")
    if not spans:
        return []
    needed = f"more {' and '.join(sorted(resources))}" if resources else "a node that fits"
    advice = (
        f"{listed(summaries)}. The autoscaler requested more replicas than fit on the nodes: add {needed}, free "
        f"resources, or lower maxReplicas. If a cluster autoscaler adds nodes, their start-up is part of the lag."
    )
    window = Window(min(start for start, _ in spans), max(end for _, end in spans))
    return [codes.REPLICA_UNSCHEDULABLE.finding(measured=_covered_s(spans), limit=0.0, window=window, advice=advice)]


def _end_s(pod: Replica, end_s: float) -> float:
    """When the pod was scheduled or deleted; the end of the load if neither happened."""
    return min(at for at in (pod.scheduled_s, pod.draining_s, pod.stopped_s, end_s) if at is not None)


def _outcome(pod: Replica, end_s: float) -> str:
    until = _end_s(pod, end_s)
    if until == pod.scheduled_s:
        return "it was scheduled"
    return "it was deleted" if until in (pod.draining_s, pod.stopped_s) else "the load ended"


def _covered_s(spans: list[Interval]) -> float:
    """Seconds that lie in at least one of the spans."""
    covered, reached = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered
