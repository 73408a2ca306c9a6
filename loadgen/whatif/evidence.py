"""Looks in a run for what contradicts its simulation, where replicas and TTFT alone could agree by chance.

Wrong services, for instance, are made up for by a wrong number of slots: the capacity of a replica, and so the run,
stays as it was, and the answers to changed settings would be wrong.
"""

import math
from collections.abc import Iterator

import numpy as np

from loadgen.analyze.observed import Observed
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

TOO_LONG = 0.05
"""Share of the services that may be longer than the whole request was for the client."""
_ROUNDING = 0.05
"""Share of a request, and seconds, by which its service may be longer."""
COUNTED_WITHIN = 0.10
"""Share by which Triton's counters may differ from the requests."""
UNEVEN = 0.10
"""Share of the requests that may go to other replicas than in turn, besides what random choice would explain."""


def contradictions(run: Observed, fleet: Fleet) -> Iterator[str]:
    """What contradicts a simulation of a run, one sentence each, without a full stop.

    Args:
        run: The run.
        fleet: Its replicas.
    """
    requests = run.requests
    whole_s = requests.ended_s - requests.sent_s
    known = requests.ok & np.isfinite(requests.service_s) & np.isfinite(whole_s)
    service_s = requests.service_s[known]
    if known.any():
        too_long = float(np.mean(service_s > whole_s[known] * (1 + _ROUNDING) + _ROUNDING))
        if too_long > TOO_LONG:
            yield f"{too_long:.0%} of the services are longer than the client waited for the whole answer"
    answered = _increase(run, SignalName.RAW_SUCCESS)
    sent = int(np.isfinite(requests.sent_s).sum())
    if answered > (1 + COUNTED_WITHIN) * sent:
        yield (
            f"the replicas answered {answered:,.0f} requests, of which the run sent {sent:,} at most: the load of "
            "others is not simulated"
        )
    compute_s = _increase(run, SignalName.RAW_COMPUTE_US) * 1e-6 / answered if answered else 0.0
    if known.any() and 0 < (1 + COUNTED_WITHIN) * compute_s < service_s.mean():
        yield (
            f"a service takes {service_s.mean():.3g} s on average, and Triton counted {compute_s:.3g} s of compute for "
            "a request"
        )
    off, by_chance = _uneven(run, fleet)
    if off > UNEVEN + by_chance:
        yield (
            f"requests did not take turns: of those that were sent while several replicas were ready, {off:.0%} would "
            "have gone to another one"
        )


def _increase(run: Observed, counter: str) -> float:
    """The increase of a counter over all replicas."""
    return sum(float(np.clip(np.diff(each.value), 0.0, None).sum()) for each in run.signals.get(counter, {}).values())


def _uneven(run: Observed, fleet: Fleet) -> tuple[float, float]:
    """The share of the requests that would go to another replica if all that were ready had got as many.

    It is that of the requests that were sent while several were ready. Also the share that is to be expected if the
    gateway chooses at random. Both are 0 where it is not known which replica answered.
    """
    requests = run.requests
    rows = np.flatnonzero(requests.pod.known & np.isfinite(requests.sent_s))
    spans = {
        name: (pod.ready_s, min(each for each in (pod.draining_s, pod.stopped_s, math.inf) if each is not None))
        for name, pod in fleet.pods.items()
        if pod.ready_s is not None
    }
    edges = np.unique([edge for span in spans.values() for edge in span])
    codes, places = requests.pod.code[rows], np.searchsorted(edges, requests.sent_s[rows], side="right")
    served: dict[frozenset[str], dict[str, int]] = {}
    for place in np.unique(places).tolist():
        if not place:
            continue
        ready = frozenset(name for name, (start_s, end_s) in spans.items() if start_s <= edges[place - 1] < end_s)
        if len(ready) < 2:
            continue
        counts = served.setdefault(ready, dict.fromkeys(ready, 0))
        for name, count in zip(requests.pod.names, np.bincount(codes[places == place]).tolist(), strict=False):
            counts[name] = counts.get(name, 0) + count
    off = by_chance = total = 0.0
    for ready, counts in served.items():
        count = sum(counts.values())
        off += sum(max(each - count / len(ready), 0.0) for each in counts.values())
        # mean deviation of a binomial count
        by_chance += len(ready) * math.sqrt(2 / math.pi * count / len(ready) * (1 - 1 / len(ready))) / 2
        total += count
    return (off / total, by_chance / total) if total else (0.0, 0.0)
