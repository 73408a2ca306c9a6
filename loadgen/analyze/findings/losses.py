"""Findings about replicas and nodes that were lost without a scale-down."""

import math
from bisect import bisect_right
from collections.abc import Collection

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding, Window
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.steps import Interval
from loadgen.base.display import clock, listed, tenths
from loadgen.dataset.names import EventKind, Outcome

TIMESTAMP_S = 2.0
"""A pod may seem to stop this much before the decision to stop it: the API stamps whole seconds."""

DRAIN_S = 1.0
"""A client may notice a broken stream this much after the replica stopped."""


def losses(run: Observed, fleet: Fleet) -> list[Finding]:
    """The nodes and replicas that were lost during the load."""
    return [*_nodes(run), *_replicas(run, fleet)]


def failed_in_drain(run: Observed, fleet: Fleet) -> list[Finding]:
    """Requests that were cut off or failed while a replica terminated."""
    requests = run.requests
    failed = requests.judged & ((requests.outcome == Outcome.CUT_OFF) | (requests.outcome == Outcome.ERROR))
    ended = requests.ended_s[failed]
    inside = np.zeros(len(ended), dtype=np.bool_)
    for pod in fleet.pods.values():
        if pod.draining_s is not None and pod.draining_s < fleet.end_s:
            until = pod.stopped_s if pod.stopped_s is not None else math.inf
            inside |= (ended >= pod.draining_s) & (ended <= until + DRAIN_S)
    if not inside.any():
        return []
    times = ended[inside]
    advice = (
        "Responses did not survive a scale-down: remove a replica from the load balancer before it is stopped, and "
        "give it a grace period longer than the longest response."
    )
    window = Window(float(times.min()), float(times.max()))
    return [codes.DRAIN_BROKEN.finding(measured=float(len(times)), limit=0.0, window=window, advice=advice)]


def lost_replicas(run: Observed, fleet: Fleet) -> list[tuple[str, float]]:
    """Name and time of every replica that stopped beyond the number that the desired count fell by, in order."""
    falls = [
        (event.t_s, max(counts[0] - counts[1], 0))
        for event in run.of_kind(EventKind.HPA_RESCALE)
        if (counts := event.replica_counts) is not None
    ]
    fall_s, fallen = np.array([at for at, _ in falls]), np.cumsum([0, *(fall for _, fall in falls)])
    stops = [(pod.draining_s if pod.draining_s is not None else pod.stopped_s, pod.name) for pod in fleet.pods.values()]
    scaled_down, lost = 0, []
    for stop, name in sorted((at, name) for at, name in stops if at is not None and at < fleet.end_s):
        if scaled_down < fallen[np.searchsorted(fall_s, stop + TIMESTAMP_S, side="right")]:
            scaled_down += 1
        else:
            lost.append((name, stop))
    return lost


def _replicas(run: Observed, fleet: Fleet) -> list[Finding]:
    lost = [(name, at) for name, at in lost_replicas(run, fleet) if 0 <= at < run.end_s]
    if not lost:
        return []
    restored = [_restored_s(fleet, at, run.end_s) for _, at in lost]
    spans = [(at, run.end_s if again is None else again) for (_, at), again in zip(lost, restored, strict=True)]
    start, end = spans[0][0], max(end for _, end in spans)
    names = listed([name for name, _ in lost], ", ")
    longest = max(end - start for start, end in spans)
    until = f"{tenths(longest)} at most until as many replicas were ready as desired"
    if None in restored:
        until = "as many replicas as desired were not ready again before the load ended"
    advice = (
        f"{names} stopped without a scale-down (deleted, evicted, or lost with the node): {until}, "
        f"{_failures(run, spans)} during this time. Keep one replica more than the load needs, let the gateway retry "
        f"requests that have no response yet, and protect the pods from evictions with a PodDisruptionBudget."
    )
    window = Window(start, end)
    return [codes.REPLICA_LOST.finding(measured=float(len(lost)), limit=0.0, window=window, advice=advice)]


def _nodes(run: Observed) -> list[Finding]:
    summaries, spans, pods = [], [], set()
    back_s: dict[object, list[float]] = {}
    for each in run.of_kind(EventKind.NODE_BACK):
        back_s.setdefault(each.data.get("node"), []).append(each.t_s)
    for event in run.of_kind(EventKind.NODE_LOST):
        node, replicas = event.data.get("node"), event.data.get("pods")
        if not replicas:
            continue  # it had no replicas, so it does not matter to the workload
        back = back_s.get(node, [])[bisect_right(back_s.get(node, []), event.t_s) :][:1]
        silent = event.data.get("silent_s")
        start = event.t_s - (silent if isinstance(silent, int | float) else 0.0)
        span = max(start, 0.0), min(*back, run.end_s, run.end_s)
        if span[1] <= span[0]:
            continue
        spans.append(span)
        pods |= set(replicas)
        last = "" if start == event.t_s else f"last renewed its lease at {clock(start)} and "
        summaries.append(f"{node} {last}became not ready at {clock(event.t_s)}")
    if not spans:
        return []
    advice = (
        f"{listed(summaries)}. Replicas on it: {listed(sorted(pods), ', ')}; {_failures(run, spans)} during this "
        f"time. Replicas on an unreachable node receive requests until Kubernetes marks the node not ready (50 s by "
        f"default), and are replaced when their toleration of node.kubernetes.io/unreachable ends (300 s by default): "
        f"set a shorter tolerationSeconds, and enable health checks of the replicas in the gateway."
    )
    lost_s = sum(end - start for start, end in spans)
    window = Window(min(start for start, _ in spans), max(end for _, end in spans))
    return [codes.NODE_LOST.finding(measured=lost_s, limit=0.0, window=window, advice=advice)]


def _restored_s(fleet: Fleet, lost_s: float, end_s: float) -> float | None:
    """When as many replicas were ready as desired again; None if that was not before `end_s`."""
    edges = np.unique(np.concatenate((fleet.ready.t_s, fleet.desired.t_s)))
    edges = edges[(edges > lost_s) & (edges < end_s)]
    restored = edges[fleet.ready.at(edges) >= fleet.desired.at(edges)]
    return float(restored[0]) if len(restored) else None


def _failures(run: Observed, spans: Collection[Interval]) -> str:
    requests = run.requests
    ended = requests.ended_s[requests.judged & ~requests.ok]
    starts, ends = (np.sort([span[edge] for span in spans]) for edge in (0, 1))
    inside = np.searchsorted(starts, ended, side="right") > np.searchsorted(ends, ended, side="left")
    count = int(inside.sum())
    return f"{count:,} request{'' if count == 1 else 's'} failed"
