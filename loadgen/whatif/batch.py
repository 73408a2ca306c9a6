"""Finds out from a run how much requests in a batch slow one another down.

In every step an engine computes one token for each request of the batch, and a step takes longer the more there are:
time per token = a + s · b. The slope s is fitted over the requests, each with the mean batch b while it got its tokens.
"""

import math
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.demand.services import Services
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet

MIN_TOKENS = 5
"""Fewer gaps of a request say little about the time per token."""
MIN_REQUESTS = 50
MIN_SPREAD = 1.0
"""Difference of the 10th and the 90th percentile of the mean batches from which on the slope can be told."""
_SURE = 3.0
"""Standard errors by which a slope must differ from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEffect:
    """How much the batch slowed down the requests of a run, in the order of the requests.

    Attributes:
        slowdown_ratio: s / (a + s): by how much each further request slows down one that is alone; 0 if it does not.
        batch: Mean number of requests in the batch of each, itself included, while it was served; NaN if unknown.
        batch_at_start: That number at its start.
        why_missing: Why the slowdown is unknown, as the end of a sentence; None if it is known.
    """

    slowdown_ratio: float
    batch: Floats
    batch_at_start: Floats
    why_missing: str | None = None

    def alone_s(self, service_s: Floats, batch: Floats) -> Floats:
        """How long services would have taken alone."""
        return service_s / (1.0 + self.slowdown_ratio * (np.nan_to_num(batch, nan=1.0) - 1.0))


def batch_effect(run: Observed, fleet: Fleet, services: Services, slots: int) -> BatchEffect:
    """Fit the slowdown.

    Args:
        run: The run.
        fleet: Its replicas.
        services: The services of its requests.
        slots: Requests that a replica computes at the same time.
    """
    requests = run.requests
    known = services.known & np.isfinite(services.start_s)
    end_s = services.start_s + services.service_s
    batch = np.full(len(requests), np.nan)
    at_start, decoding = batch.copy(), batch.copy()
    for members, replicas in _replicas(run, fleet, services.start_s, known):
        served = _Served(services.start_s[members], end_s[members])
        # several replicas whose requests cannot be told apart share them
        share = np.maximum(replicas, 1.0)
        batch[members] = served.mean(services.start_s[members], end_s[members]) / share
        at_start[members] = served.count(services.start_s[members]) / share
        decoding[members] = served.mean(requests.first_s[members], requests.last_s[members]) / share
    batch, at_start, decoding = (np.clip(each, 1.0, slots) for each in (batch, at_start, decoding))
    slope, why = _slowdown(run, decoding, known)
    return BatchEffect(slowdown_ratio=slope, batch=batch, batch_at_start=at_start, why_missing=why)


def _slowdown(run: Observed, batch: Floats, known: Bools) -> tuple[float, str | None]:
    requests = run.requests
    gaps = requests.output_tokens - 1
    decode_s = requests.last_s - requests.first_s
    use = known & np.isfinite(batch) & (gaps >= MIN_TOKENS) & (decode_s > 0)
    if use.sum() < MIN_REQUESTS:
        return 0.0, f"of only {use.sum()} requests the times of at least {MIN_TOKENS + 1} tokens are known"
    low, high = np.quantile(batch[use], (0.1, 0.9))
    if high - low < MIN_SPREAD:
        return 0.0, f"most of them ran in batches of {low:.1f} to {high:.1f}, which is too little variation"
    weights = gaps[use]
    x, y = batch[use], decode_s[use] / weights
    middle = np.average(x, weights=weights)
    spread = float(np.sum(weights * (x - middle) ** 2))
    slope = float(np.sum(weights * (x - middle) * y) / spread)
    left = y - np.average(y, weights=weights) - slope * (x - middle)
    error = math.sqrt(float(np.sum((weights * (x - middle) * left) ** 2))) / spread
    alone = float(np.average(y, weights=weights)) - slope * (float(middle) - 1.0)
    if slope <= _SURE * error or alone <= 0:
        return 0.0, None
    return slope / alone, None


def _replicas(run: Observed, fleet: Fleet, start_s: Floats, known: Bools) -> list[tuple[Bools, Floats | float]]:
    """The requests of each replica where it is known which served them; all together with the replicas otherwise."""
    pods = run.requests.pod
    named = np.array([pod is not None for pod in pods])
    if (named & known).sum() == known.sum():
        return [(known & (pods == pod), 1.0) for pod in sorted({str(pod) for pod in pods[known]})]
    return [(known, np.nan_to_num(fleet.ready.at(start_s[known]), nan=1.0))]


class _Served:
    """The number of requests in service over time."""

    def __init__(self, start_s: Floats, end_s: Floats) -> None:
        self._start_s, self._end_s = np.sort(start_s), np.sort(end_s)
        self._edges = np.unique(np.concatenate((start_s, end_s)))
        steps = self.count(self._edges[:-1]) * np.diff(self._edges)
        self._total = np.concatenate(([0.0], np.cumsum(steps)))

    def count(self, at_s: Floats) -> Floats:
        begun = np.searchsorted(self._start_s, at_s, side="right")
        return (begun - np.searchsorted(self._end_s, at_s, side="right")).astype(np.float64)

    def mean(self, from_s: Floats, to_s: Floats) -> Floats:
        """The mean number over each span; NaN for one that is unknown or empty."""
        total = np.interp(to_s, self._edges, self._total) - np.interp(from_s, self._edges, self._total)
        length = to_s - from_s
        mean: Floats = np.divide(total, length, out=np.full(len(length), np.nan), where=length > 0)
        return mean
