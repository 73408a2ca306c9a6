"""Determines how the replicas of a run served: over time, as a supply for replays, and by which gateway policy."""

from dataclasses import replace

import numpy as np

from loadgen.analyze.demand.replay import Policy, Supply, replay
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval, Step, count

POLICIES: tuple[Policy, ...] = ("round_robin", "least_requests", "one_queue")
_BLOCK = 20
"""Consecutive requests whose starts are compared as a mean: which replica got which of them is not known."""
_CLEARLY = 0.5
"""Another policy than round robin is told from starts that it explains with at most this share of the error."""
_MOST = 100_000
"""Requests that are replayed to tell the policy."""
_NONE = np.empty(0)


def supply(fleet: Fleet) -> Step:
    """Serving replicas over time; those that were ready before the load serve since they were ready.

    The first answer cannot come before the first request, so of these it does not show since when they could serve.
    """
    since = min((start for pod in fleet.pods.values() for start, _ in pod.ready), default=0.0)
    return count((span for pod in fleet.pods.values() for span in serving_spans(pod, fleet)), min(since, 0.0))


def serving_spans(pod: Replica, fleet: Fleet) -> list[Interval]:
    """The spans in which a replica served: all its ready spans if no answers were counted."""
    if not len(fleet.serving.t_s):
        return pod.ready
    early = [span for span in pod.ready if span[0] <= 0]
    return early + [span for span in pod.serving if not any(start <= span[0] < end for start, end in early)]


def as_served(run: Observed, fleet: Fleet, mean_service_s: float, slots: int, policy: Policy) -> Supply:
    """The replicas as they served.

    A replica took requests from the first to the last that it answered, where the answers name their replica. Elsewhere
    it took its first request one service before its first answer, and its last when it was no longer ready.
    """
    sent_s = _sent_by_pod(run)
    lives = []
    for pod in fleet.pods.values():
        for start, end in serving_spans(pod, fleet):
            ready = max((since for since, _ in pod.ready if since <= start), default=start)
            since = max(ready, start - mean_service_s)
            own = sent_s.get(pod.name, _NONE)
            own = own[(own >= ready) & (own < min((again for again, _ in pod.ready if again >= end), default=np.inf))]
            if len(own):
                since, end = min(float(own[0]), start), max(float(np.nextafter(own[-1], np.inf)), end)
            lives.append((-np.inf if start <= 0 else since, end))
    return Supply(
        from_s=np.array([start for start, _ in lives]),
        until_s=np.array([end for _, end in lives]),
        slots=slots,
        policy=policy,
    )


def _sent_by_pod(run: Observed) -> dict[str, Floats]:
    """When the requests were due that each replica answered, in order."""
    pods = run.requests.pod
    order = np.argsort(pods.code, kind="stable")
    cuts = np.searchsorted(pods.code[order], np.arange(len(pods.names) + 1))
    due_s = run.requests.scheduled_s[order]
    return {name: due_s[first:last] for name, first, last in zip(pods.names, cuts[:-1], cuts[1:], strict=True)}


def gateway_policy(
    run: Observed, due_s: Floats, service_s: Floats, start_s: Floats, known: Bools, fleet: Fleet, slots: int
) -> Policy:
    """The policy of the gateway: the one whose replay has starts that are closest to those of the run.

    Args:
        run: The run.
        due_s: When requests were due, in order.
        service_s: Their services.
        start_s: When the services started in the run.
        known: Whether each start is known.
        fleet: The replicas.
        slots: Requests that a replica serves at the same time.
    """
    if len(fleet.pods) < 2:
        return POLICIES[0]
    due_s, service_s, start_s, known = due_s[:_MOST], service_s[:_MOST], start_s[:_MOST], known[:_MOST]
    block = np.arange(int(known.sum())) // _BLOCK
    sizes = np.bincount(block)
    errors = []
    served = as_served(run, fleet, float(service_s.mean()), slots, POLICIES[0])
    for policy in POLICIES:
        replayed = replay(due_s, service_s, replace(served, policy=policy))
        late = np.clip(replayed[known] - start_s[known], -1e6, 1e6)
        errors.append(float(np.abs(np.bincount(block, weights=late) / sizes).mean()))
    best = int(np.argmin(errors))
    return POLICIES[best] if errors[best] < _CLEARLY * errors[0] else POLICIES[0]
