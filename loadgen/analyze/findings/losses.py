"""Replicas and nodes that went away although the autoscaler had not given them up."""

from collections.abc import Iterable

import numpy as np

from loadgen.analyze.findings.validity import span_text
from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import EventKind

STAMP_S = 2.0
"""A pod's stop may bear an earlier time than the decision that it follows: the API stamps whole seconds."""


def losses(run: Observed, fleet: Fleet) -> list[Finding]:
    """What was lost while the load ran."""
    return [*_nodes(run), *_replicas(run, fleet)]


def lost_replicas(run: Observed, fleet: Fleet) -> list[tuple[str, float]]:
    """Replicas that stopped beyond the number that the desired count fell by, each with the time; in order of time."""
    falls = [
        (event.t_s, event.data["before"] - event.data["after"])
        for event in run.of_kind(EventKind.HPA_RESCALE)
        if isinstance(event.data.get("before"), int) and isinstance(event.data.get("after"), int)
    ]
    stops = [(pod.draining_s if pod.draining_s is not None else pod.gone_s, pod.name) for pod in fleet.pods.values()]
    given_up, lost = 0, []
    for stop, name in sorted((at, name) for at, name in stops if at is not None and at < fleet.end_s):
        if given_up < sum(max(fall, 0) for at, fall in falls if at <= stop + STAMP_S):
            given_up += 1
        else:
            lost.append((name, stop))
    return lost


def _replicas(run: Observed, fleet: Fleet) -> list[Finding]:
    lost = [(name, at) for name, at in lost_replicas(run, fleet) if 0 <= at < run.end_s]
    if not lost:
        return []
    whole = [_whole_again(fleet, at, run.end_s) for _, at in lost]
    spans = [(at, run.end_s if again is None else again) for (_, at), again in zip(lost, whole, strict=True)]
    start, end = spans[0][0], max(end for _, end in spans)
    names = ", ".join(name for name, _ in lost)
    longest = max(end - start for start, end in spans)
    until = f"{longest:.1f} s at most until as many replicas were ready as desired"
    if None in whole:
        until = "as many replicas as desired were not ready again before the load ended"
    advice = (
        f"{names} stopped although the autoscaler had not given {'it' if len(lost) == 1 else 'them'} up (deleted, "
        f"evicted, or the node went): {until}, {_broken(run, spans)} broken in this time. "
        f"Keep one replica more than the load needs, let the gateway try "
        f"again where nothing was answered yet, and give the pods a PodDisruptionBudget against evictions."
    )
    window = span_text(start, end)
    return [warn("replica.lost", "Replicas lost", float(len(lost)), 0.0, "count", window, advice)]


def _nodes(run: Observed) -> list[Finding]:
    said, spans, pods = [], [], set()
    for event in run.of_kind(EventKind.NODE_LOST):
        node, on_it = event.data.get("node"), event.data.get("pods")
        if not on_it:
            continue  # a cluster has many nodes, and they come and go
        back = (
            each.t_s
            for each in run.of_kind(EventKind.NODE_BACK)
            if each.data.get("node") == node and each.t_s > event.t_s
        )
        silent = event.data.get("silent_s")
        start = event.t_s - (silent if isinstance(silent, int | float) else 0.0)
        span = max(start, 0.0), min(next(back, run.end_s), run.end_s)
        if span[1] <= span[0]:
            continue
        spans.append(span)
        pods |= set(on_it)
        last = "" if start == event.t_s else f"was heard of last at {start:.1f} s and "
        said.append(f"{node} {last}was called lost at {event.t_s:.1f} s")
    if not spans:
        return []
    advice = (
        f"{'; '.join(said)}. Replicas on it: {', '.join(sorted(pods))}; {_broken(run, spans)} broken in this time. "
        f"Until Kubernetes calls a node lost (50 s by default) its replicas still get requests, and they are replaced "
        f"only when they no longer tolerate node.kubernetes.io/unreachable (300 s by default): set a shorter "
        f"tolerationSeconds, and let the gateway check the health of replicas itself."
    )
    lost_s = sum(end - start for start, end in spans)
    window = span_text(min(start for start, _ in spans), max(end for _, end in spans))
    return [warn("node.lost", "Nodes lost", lost_s, 0.0, "s", window, advice)]


def _whole_again(fleet: Fleet, lost_s: float, end_s: float) -> float | None:
    """When as many replicas were ready as desired again; None if not before `end_s`."""
    edges = np.unique(np.concatenate((fleet.ready.t_s, fleet.desired.t_s)))
    edges = edges[(edges > lost_s) & (edges < end_s)]
    whole = edges[fleet.ready.at(edges) >= fleet.desired.at(edges)]
    return float(whole[0]) if len(whole) else None


def _broken(run: Observed, spans: Iterable[Interval]) -> str:
    requests = run.requests
    ended = requests.ended_s[requests.judged & ~requests.ok]
    inside = np.zeros(len(ended), dtype=np.bool_)
    for start, end in spans:
        inside |= (ended >= start) & (ended <= end)
    count = int(inside.sum())
    return f"{count:,} request{' was' if count == 1 else 's were'}"
