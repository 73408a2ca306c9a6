"""Estimates what replicas can serve: sustained throughput, and the highest rate within the limits on latency.

**Sustained capacity** of a replica is C = k / E[S], with k slots and service times S: completions per second while work
always waits. It is a ratio of sums over whole services, their number over their own busy slot-time. Which services
count depends at most on what is known when they start, so neither idle time nor slow services are preferred.

**C_slo(n)** is the highest stationary rate that n replicas carry within the limits on TTFT and E2E. It is found by
replays of Poisson arrivals with services drawn from those of the run; the same random numbers at every rate make the
waits grow with the rate. Without such a limit it is n · C.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from loadgen.analyze.demand.replay import Policy, fixed, replay
from loadgen.analyze.observed import Bools, Floats
from loadgen.analyze.results.demand import Estimate
from loadgen.analyze.stats import quantile

SEED = 20_201_130
"""Seed of every random number of these estimates, so that the same tables give the same values."""
MIN_SERVICES = 20
MODEL_ERROR = 0.02
"""Modelled services may be wrong by this share for reasons that no sample shows, such as the network."""
_Z = 1.96
_RESAMPLES = 1000
_MOST_BLOCKS = 1000
_REQUESTS = 4000
"""Requests of one replay; the first tenth of them is left out, because the replay starts with empty queues."""
_SEEDS = 3
_HALVINGS = 9
"""The rate is determined to n · C / 2⁹."""
MOST_REPLICAS = 1000
"""No load of a test needs more: a search beyond it would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyLimit:
    """A limit on a percentile of TTFT or E2E, seconds."""

    metric: str
    share: float
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Services of requests and their parts before the first token, seconds; one entry for each request."""

    service_s: Floats
    prefill_s: Floats

    def scaled(self, factor: float) -> "Work":
        """The same work at another speed."""
        return Work(service_s=self.service_s * factor, prefill_s=self.prefill_s * factor)

    def rows(self, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> "Work":
        """The work of these requests."""
        return Work(service_s=self.service_s[rows], prefill_s=self.prefill_s[rows])


def filled(work: Work, known: Bools) -> Work:
    """The work with unknown services drawn from the known ones, of which there must be some."""
    rows = np.arange(len(known))
    missing = np.flatnonzero(~known)
    rows[missing] = np.random.default_rng(SEED).choice(np.flatnonzero(known), len(missing))
    return work.rows(rows)


def latency_s(metric: str, due_s: Floats, start_s: Floats, work: Work) -> Floats:
    """TTFT or E2E of replayed requests."""
    return start_s - due_s + (work.prefill_s if metric == "ttft" else work.service_s)


def within(limits: Sequence[LatencyLimit], due_s: Floats, start_s: Floats, work: Work) -> bool:
    """Whether replayed requests keep every limit."""
    return all(quantile(latency_s(each.metric, due_s, start_s, work), each.share) <= each.limit_s for each in limits)


def mean_interval(values: Floats, seed: int = SEED) -> Estimate:
    """The mean with its 95 % interval by the studentized bootstrap.

    Consecutive values form blocks, at most `_MOST_BLOCKS`, so that slow changes between them widen the interval. The
    studentized bootstrap keeps its coverage where the values are skewed, as service times are.
    """
    blocks = min(len(values), _MOST_BLOCKS)
    parts = np.array([part.mean() for part in np.array_split(values, blocks)])
    mean = float(values.mean())
    error = float(parts.std(ddof=1) / math.sqrt(blocks)) if blocks > 1 else math.inf
    if not 0 < error < math.inf:
        return Estimate(value=mean, low=mean, high=mean)
    drawn = parts[np.random.default_rng(seed).integers(0, blocks, (_RESAMPLES, blocks))]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(blocks)
    use = errors > 0
    distance = (drawn.mean(axis=1)[use] - parts.mean()) / errors[use]
    low, high = np.quantile(distance, [0.025, 0.975]).tolist()
    return Estimate(value=mean, low=max(mean - max(high, 0.0) * error, 0.0), high=mean - min(low, 0.0) * error)


def sustained(service_s: Floats, slots: int, *, model_error_s: float | None = None) -> Estimate:
    """Sustained capacity of one replica, requests per second, with its 95 % interval.

    Args:
        service_s: Service times, at least `MIN_SERVICES`, seconds.
        slots: Requests that the replica serves at the same time.
        model_error_s: If the services are modelled, the standard error that all of them share. The interval is wider by
            it, and by `MODEL_ERROR` on either side.
    """
    mean = mean_interval(service_s)
    more, shared_s = (0.0, 0.0) if model_error_s is None else (MODEL_ERROR, _Z * model_error_s)
    longest, shortest = mean.high + shared_s, max(mean.low - shared_s, mean.value / 100)
    return Estimate(value=slots / mean.value, low=slots / longest * (1 - more), high=slots / shortest * (1 + more))


@dataclass(slots=True, kw_only=True)
class Rates:
    """Highest stationary rates of fleets of any size within the limits, computed where they are asked for.

    Attributes:
        work: The services from which replays draw.
        capacity: Sustained capacity of one replica.
        slots: Requests that a replica serves at the same time.
        policy: How the gateway distributes requests.
        limits: Limits on TTFT and E2E.
    """

    work: Work
    capacity: Estimate
    slots: int
    policy: Policy
    limits: tuple[LatencyLimit, ...]
    _known: dict[int, Estimate] = field(default_factory=dict, init=False)

    def of(self, replicas: int) -> Estimate:
        """C_slo of this many replicas, requests per second.

        Of large fleets only some sizes are replayed: between two of them, the rate of each replica changes evenly.
        """
        if replicas not in self._known:
            self._known[replicas] = self._rate(replicas)
        return self._known[replicas]

    def needed(self, rate_per_s: float) -> int | None:
        """The least number of replicas that carries a rate within the limits; None if no number does."""
        # One replica carries at most C, so fewer than this are never enough.
        replicas = max(1, math.floor(rate_per_s / self.capacity.value))
        while self.of(replicas).value <= rate_per_s:
            if self.of(replicas).value == 0 or replicas > MOST_REPLICAS:
                return None
            replicas += 1
        return replicas

    def _rate(self, replicas: int) -> Estimate:
        if not self.limits:
            return _times(self.capacity, replicas)
        if replicas > _SIZES[-1]:
            return _times(self.of(_SIZES[-1]), replicas / _SIZES[-1])
        if replicas not in _SIZES:
            above = next(number for number, size in enumerate(_SIZES) if size > replicas)
            small, large = _SIZES[above - 1], _SIZES[above]
            one, other = self.of(small), self.of(large)
            share = (replicas - small) / (large - small)

            def between(low: float, high: float) -> float:
                return replicas * ((1 - share) * low / small + share * high / large)

            return Estimate(
                value=between(one.value, other.value),
                low=between(one.low, other.low),
                high=between(one.high, other.high),
            )
        found = [self._highest(replicas, 1.0, seed) for seed in range(_SEEDS)]
        slow = self.capacity.value / self.capacity.low
        fast = self.capacity.value / self.capacity.high
        lowest, highest = int(np.argmin(found)), int(np.argmax(found))
        return Estimate(
            value=sorted(found)[_SEEDS // 2],
            low=min(found[lowest], self._highest(replicas, slow, lowest)),
            high=max(found[highest], self._highest(replicas, fast, highest)),
        )

    def _highest(self, replicas: int, factor: float, seed: int) -> float:
        random = np.random.default_rng([SEED, seed])
        requests = max(_REQUESTS, 20 * replicas * self.slots)
        gaps = random.exponential(size=requests)
        drawn = self.work.scaled(factor).rows(random.integers(0, len(self.work.service_s), requests))
        fleet = fixed(replicas, self.slots, self.policy)
        warm = requests // 10
        kept = drawn.rows(np.arange(warm, requests))
        arrivals = np.cumsum(gaps)
        if not within(self.limits, np.zeros(len(kept.service_s)), np.zeros(len(kept.service_s)), kept):
            return 0.0
        low, high = 0.0, replicas * self.capacity.value / factor
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            due = arrivals / middle
            start = replay(due, drawn.service_s, fleet)
            if within(self.limits, due[warm:], start[warm:], kept):
                low = middle
            else:
                high = middle
        return low


_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Fleets that are replayed; rates of other sizes lie between, and those of larger ones are proportional."""


def _times(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor)
