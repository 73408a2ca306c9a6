"""Queues of a few lines, as a truth for estimates: nothing of `loadgen.analyze` is used.

A run is drawn from a seed, so it is the same in every test. Times are seconds from the start of the load.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Literal["equal", "exponential", "lognormal"]
Life = tuple[float, float]
"""When a replica begins to take requests, and when it takes no more."""
ALWAYS: Life = (-math.inf, math.inf)


def poisson(rate: Callable[[Floats], Floats], length_s: float, seed: int, peak: float = 20.0) -> Floats:
    """Arrivals of a rate that is a function of time with at most `peak` a second, by thinning."""
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, length_s, random.poisson(peak * length_s)))
    return times[random.uniform(0, peak, len(times)) < rate(times)]


def constant(per_s: float, length_s: float, seed: int) -> Floats:
    """Arrivals of a constant rate."""
    return poisson(lambda t: np.full(len(t), per_s), length_s, seed, per_s)


def drawn(kind: Kind, count: int, seed: int, mean_s: float) -> Floats:
    """Service times; a lognormal one has a coefficient of variation of 1.3."""
    random = np.random.default_rng(1000 + seed)
    if kind == "equal":
        return np.full(count, mean_s)
    if kind == "exponential":
        return random.exponential(mean_s, count)
    return random.lognormal(math.log(mean_s) - 0.5, 1.0, count)


def served(due_s: Floats, service_s: Floats, lives: Sequence[Life], slots: int = 1) -> Floats:
    """Start of each request: replicas, which exist from … until, get requests in turn and serve in their order."""
    free = [[since] * slots for since, _ in lives]
    start = []
    for number, (at, takes) in enumerate(zip(due_s.tolist(), service_s.tolist(), strict=True)):
        there = [replica for replica, (since, until) in enumerate(lives) if since <= at < until]
        queue = free[there[number % len(there)]]
        start.append(max(at, queue[0]))
        heapq.heapreplace(queue, start[-1] + takes)
    return np.array(start)


class Answers(NamedTuple):
    """What a client sees of the requests of a run."""

    due_s: Floats
    start_s: Floats
    first_s: Floats
    last_s: Floats
    tokens: Floats


PREFILL = 0.1
"""Share of a service until its first token."""


def answers(due_s: Floats, service_s: Floats, lives: Sequence[Life], slots: int = 1) -> Answers:
    """The answers of such replicas, with a token for each tenth of a second of service, rounded."""
    start = served(due_s, service_s, lives, slots)
    return Answers(due_s, start, start + PREFILL * service_s, start + service_s, np.ceil(10 * service_s))


def p95(values: Floats) -> float:
    """The 95th percentile by nearest rank."""
    return float(np.sort(values)[math.ceil(0.95 * len(values)) - 1])
