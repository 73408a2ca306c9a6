"""Intervals of the percentiles of long runs, from a sample of their requests.

A sample keeps what queues do only if it is of consecutive requests, so windows of them are replayed: one at a random
place in each of equal parts of the run, after as many requests before it as the replicas need to fill. Of how many
requests take longer than x, the draws of a window show the luck of arrivals and services, and the windows show by how
much the run differs from one to another. Their sum over the whole run has, by the central limit theorem, the variance

    v(x) = s²(x) · n/N · 1/(1 − lead) + s²(x) / draws + w²(x) · (1 − n/N)

with n of N requests in windows, s² the variance of the share of the sample between draws, and w² that of its mean by
where its windows lie (from the differences of successive ones). The first term is that of another run; what happens in
a window may last into the next by at most the requests before it, their lead. Another run has its percentile p at x or
below if at most 1 − p of its requests take longer, so the interval has all x at which that is neither sure nor ruled
out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.demand.capacity import SEED, LatencyLimit, Work, latency_s
from loadgen.analyze.demand.replay import Supply, replay
from loadgen.analyze.observed import Floats, Ints
from loadgen.analyze.stats import quantile

SAMPLED = 50_000
"""Requests of all windows and of what is replayed before them."""
LEAD = 0.2
"""Share of these requests that is replayed before the windows."""
DRAWS = 40
WINDOWS = {40: 2.02, 20: 2.09, 10: 2.26}
"""Numbers of windows that are tried, each with the quantile of Student's t for so many."""
FILLS_RATIO, FILLS_S = 0.05, 0.01
"""Replayed by itself, the sample must have its percentile of the replay of the run to this share or time."""
_PLACES = 400

ArrivalsWithin = Callable[[np.random.Generator, float, float], Floats]
"""Draws due times in a span, in order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Windows of consecutive requests.

    Attributes:
        first: Row from which each window is replayed.
        begin: Row of its first request that counts.
        end: Row after its last.
    """

    first: Ints
    begin: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.first)

    @property
    def requests(self) -> int:
        """Requests that count."""
        return int((self.end - self.begin).sum())


@dataclass(frozen=True, slots=True)
class SampledInterval:
    """The ends of the interval, seconds, and the sample that it is from."""

    low_s: float
    high_s: float
    sample: Sample


def sampled_interval(
    due_s: Floats,
    work: Work,
    supply: Supply,
    start_s: Floats,
    limit: LatencyLimit,
    arrivals: ArrivalsWithin,
    warm_up_s: float = 0.0,
) -> SampledInterval | str:
    """The range that holds the percentile of another run with a chance of 95 %; a text says why there is none.

    Args:
        due_s: When the requests of the run were due, in order; more than `SAMPLED`.
        work: Their services.
        supply: The replicas.
        start_s: Their starts in a replay of the whole run.
        limit: The metric and its percentile.
        arrivals: Draws due times.
        warm_up_s: Requests that are due earlier do not count.
    """
    if limit.share >= 1:
        return "the maximum of a sample is not that of the run"
    rows = int(np.searchsorted(due_s, warm_up_s))
    for windows in WINDOWS:
        sample = _sample(rows, len(due_s), windows)
        if sample is not None and _fills(sample, due_s, work, supply, start_s, limit):
            return _inverted(sample, due_s, work, supply, limit, arrivals, rows)
    return f"requests wait for longer than a sample of {SAMPLED:,} requests shows"


def poisson(rate: Callable[[Floats], Floats], highest: float) -> ArrivalsWithin:
    """Poisson arrivals of a rate, by thinning.

    Args:
        rate: The rate at some times.
        highest: Its highest value.
    """
    peak = highest * (1 + 1e-6)

    def draw(random: np.random.Generator, start_s: float, end_s: float) -> Floats:
        times = np.sort(random.uniform(start_s, end_s, random.poisson(peak * (end_s - start_s))))
        return times[random.uniform(0.0, peak, len(times)) < rate(times)]

    return draw


def _sample(first: int, count: int, windows: int) -> Sample | None:
    """A window at a random place in each of equal parts of the rows from `first`; None if they do not fit."""
    each = SAMPLED // windows
    lead = int(LEAD * each)
    edges = np.linspace(first, count, windows + 1).astype(np.int64)
    spare = np.diff(edges) - (each - lead)
    if spare.min() < 0:
        return None
    random = np.random.default_rng([SEED, windows])
    begin = edges[:-1] + (random.uniform(0.0, 1.0, windows) * spare).astype(np.int64)
    return Sample(np.maximum(begin - lead, 0), begin, begin + each - lead)


def _fills(sample: Sample, due_s: Floats, work: Work, supply: Supply, start_s: Floats, limit: LatencyLimit) -> bool:
    """Whether the requests before each window fill the replicas as the whole run does."""
    alone, whole = [], []
    for first, begin, end in zip(sample.first, sample.begin, sample.end, strict=True):
        rows = np.arange(first, end)
        own = work.rows(rows)
        again = replay(due_s[rows], own.service_s, supply)
        alone.append(latency_s(limit.metric, due_s[rows], again, own)[begin - first :])
        whole.append(latency_s(limit.metric, due_s[rows], start_s[rows], own)[begin - first :])
    found, expected = (quantile(np.concatenate(each), limit.share) for each in (alone, whole))
    return abs(found - expected) <= max(FILLS_RATIO * expected, FILLS_S)


def _inverted(
    sample: Sample,
    due_s: Floats,
    work: Work,
    supply: Supply,
    limit: LatencyLimit,
    arrivals: ArrivalsWithin,
    first_row: int,
) -> SampledInterval | str:
    values = _draws(sample, due_s, work, supply, limit, arrivals)
    every = np.sort(np.concatenate([each for draw in values for each in draw]))
    if not len(every):
        return "no other draw of the load has a request that counts"
    at = _places(every, limit.share)
    counts = np.array([[len(each) for each in draw] for draw in values], dtype=np.float64)
    longer = np.array(
        [[len(each) - np.searchsorted(np.sort(each), at, side="right") for each in draw] for draw in values],
        dtype=np.float64,
    )
    mean = longer.sum(axis=(0, 1)) / counts.sum()
    residual = (longer - mean * counts[:, :, None]) / counts.mean()
    of_draws = residual.mean(axis=1).var(axis=0, ddof=1)
    steps = np.diff(residual.mean(axis=0), axis=0)
    of_windows = (steps**2).sum(axis=0) / (2 * len(steps)) / len(sample)
    share = sample.requests / (len(due_s) - first_row)
    variance = of_draws * (share / (1 - LEAD) + 1 / DRAWS) + of_windows * (1 - share)
    off = WINDOWS[len(sample)] * np.sqrt(variance)
    possible, sure = (np.flatnonzero(mean + sign * off <= 1 - limit.share) for sign in (-1, 1))
    low_s = float(at[possible[0]]) if len(possible) else math.inf
    return SampledInterval(low_s, float(at[sure[0]]) if len(sure) else math.inf, sample)


def _places(values: Floats, share: float) -> Floats:
    """Values at which the distribution is looked at: denser around `share`, and towards its end."""
    near = np.geomspace(1.0, 1 / len(values), _PLACES)
    shares = np.concatenate((1 - near, share - share * near, share + (1 - share) * near))
    return np.unique(values[np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)])


def _draws(
    sample: Sample, due_s: Floats, work: Work, supply: Supply, limit: LatencyLimit, arrivals: ArrivalsWithin
) -> Sequence[Sequence[Floats]]:
    """The latencies of each draw in each window."""
    random = np.random.default_rng([SEED, DRAWS])
    spans = [
        (float(due_s[first]), float(due_s[begin]), float(due_s[min(end, len(due_s) - 1)]))
        for first, begin, end in zip(sample.first, sample.begin, sample.end, strict=True)
    ]
    draws = []
    for _ in range(DRAWS):
        draw = []
        for since_s, begin_s, end_s in spans:
            due = arrivals(random, since_s, end_s)
            own = work.rows(random.integers(0, len(work.service_s), len(due)))
            latency = latency_s(limit.metric, due, replay(due, own.service_s, supply), own)
            draw.append(latency[due >= begin_s])
        draws.append(draw)
    return draws
