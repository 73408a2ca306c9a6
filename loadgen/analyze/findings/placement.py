"""Replicas that were wanted and for which no node had room."""

import re

from loadgen.analyze.findings.validity import span_text
from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import EventKind

_RESOURCE = re.compile(r"Insufficient ([\w./-]*\w)")


def unplaced(run: Observed, fleet: Fleet) -> list[Finding]:
    """Pods that the scheduler could not place while the load ran, each with its time and the scheduler's reason."""
    said, spans, short = [], [], set()
    for event in run.of_kind(EventKind.REPLICA_UNSCHEDULABLE):
        pod = fleet.pods[str(event.pod)]
        span = max(event.t_s, 0.0), min(_end_s(pod, run.end_s), run.end_s)
        if span[1] <= span[0]:
            continue
        # the scheduler's second sentence is about pods that it could have taken away
        why = str(event.message or event.reason or "no reason given").split(". ")[0].rstrip(".")
        spans.append(span)
        short |= set(_RESOURCE.findall(why))
        said.append(f"{pod.name} had no node {span_text(*span)} ({why}), until {_outcome(pod, run.end_s)}")
    if not spans:
        return []
    what = f"more {' and '.join(sorted(short))}" if short else "a node that fits"
    advice = (
        f"{'; '.join(said)}. The autoscaler wanted more replicas than the cluster has room for: give it {what}, free "
        f"what others hold, or lower maxReplicas to what fits. Where a cluster autoscaler adds nodes, their start "
        f"counts into the lag."
    )
    window = span_text(min(start for start, _ in spans), max(end for _, end in spans))
    return [warn("replica.unschedulable", "Replicas without a node", _covered_s(spans), 0.0, "s", window, advice)]


def _end_s(pod: Replica, end_s: float) -> float:
    """When it was placed or given up; the end of the load if neither."""
    return min(at for at in (pod.scheduled_s, pod.draining_s, pod.gone_s, end_s) if at is not None)


def _outcome(pod: Replica, end_s: float) -> str:
    until = _end_s(pod, end_s)
    if until == pod.scheduled_s:
        return "it got one"
    return "it was given up" if until in (pod.draining_s, pod.gone_s) else "the load ended"


def _covered_s(spans: list[Interval]) -> float:
    """Seconds that lie in at least one of the spans."""
    covered, reached = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered
