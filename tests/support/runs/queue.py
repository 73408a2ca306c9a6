"""Runs of a queue of a few lines: replicas of one slot get requests in turn; without code of the analysis."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis
from loadgen.scenario.rates import Step
from support.runs.tables import event, info, life, request, rescale, series, tables

SERVICE_S = 0.2
"""One replica serves five requests a second."""
ALWAYS = (-math.inf, math.inf)


GROUP = 4
"""Requests that arrive at the same time, so that some of them wait for a slot: otherwise the slots are unknown."""


def even(load: Step, length_s: float) -> list[float]:
    """Arrivals without chance: a group of them at the times at which their expected number is 2, 6, 10, …"""
    grid = np.linspace(0.0, length_s, int(length_s * 10) + 1)
    counts = np.array([load.expected(float(at)) for at in grid])
    targets = np.arange(GROUP / 2, counts[-1], GROUP)
    return [float(at) for at in np.repeat(np.interp(targets, counts, grid), GROUP)]


def places(due: Sequence[float], lives: Sequence[tuple[float, float]]) -> list[int]:
    """Which replica each request goes to: those that exist, from … until, get requests in turn."""
    found = []
    for number, at in enumerate(due):
        there = [replica for replica, (since, until) in enumerate(lives) if since <= at < until]
        found.append(there[number % len(there)])
    return found


def starts(due: Sequence[float], lives: Sequence[tuple[float, float]], service_s: float = SERVICE_S) -> list[float]:
    """When each request starts, at replicas with one slot."""
    free = [since for since, _ in lives]
    found = []
    for at, chosen in zip(due, places(due, lives), strict=True):
        found.append(max(at, free[chosen]))
        free[chosen] = found[-1] + service_s
    return found


def queue_run(
    load: Step,
    lives: Sequence[tuple[float, float]],
    length_s: float,
    *,
    limits: Sequence[tuple[str, str, float]] = (),
    events: Sequence[dict[str, Any]] = (),
    samples: Sequence[dict[str, Any]] = (),
    start_up: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    named: bool = False,
    **about: Any,
) -> Analysis:
    """The analysis of an evenly spaced load; the first token comes after a tenth of the service.

    A replica that comes during the load was created 6 s before, and its first answer is counted 1 s after it came;
    `start_up` has other events before the ready of a replica. With `named`, answers name their replica.
    """
    due = even(load, length_s)
    begun = starts(due, lives)
    measured = {"engine_prefill_s": 0.1 * SERVICE_S, "engine_decode_s": 0.9 * SERVICE_S}
    rows = [
        request(number, at, start - at + 0.1 * SERVICE_S, start - at + SERVICE_S) | measured
        for number, (at, start) in enumerate(zip(due, begun, strict=True))
    ]
    for row, place in zip(rows, places(due, lives), strict=True):
        row["pod"] = f"p{place}" if named else None
    happened, counters = list(events), list(samples) or ratio_over(0.0, 0.0, length_s)
    for number, (since, until) in enumerate(lives):
        since = max(since, -10.0)
        end = None if until == math.inf else until
        own = life(f"p{number}", since - 6.0, since, end, end)
        if start_up and f"p{number}" in start_up:
            own = [*start_up[f"p{number}"], *own[3:]]
        happened += own
        answered = since + 1 if since > 0 else 1.0
        counters += series("raw_success", f"p{number}", {since: 0.0, answered: 1.0, length_s: 9.0})
    settings = {"load": load.model_dump(mode="json")}
    stages = (("all", 0.0, length_s),)
    made = info(length_s=length_s, stages=stages, limits=limits, settings=settings, **about)
    return analyze(made, tables(requests=rows, events=happened, samples=counters))


def ratio_over(from_s: float, until_s: float, length_s: float) -> list[dict[str, Any]]:
    """Samples of a ratio that is over its target of 1 in a span, once a second."""
    values = {float(at): 4.0 if from_s <= at < until_s else 0.0 for at in range(-5, int(length_s))}
    return series("ratio", "p0", values)


__all__ = ["ALWAYS", "SERVICE_S", "even", "event", "places", "queue_run", "ratio_over", "rescale", "starts"]
