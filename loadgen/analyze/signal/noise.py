"""Measures how often chance alone moves the ratio past its target: at constant load and constant replicas."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.demand.need import planned
from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.queueing import last_sample, stale_s, window_s
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.breaches import Breach
from loadgen.analyze.stats import quantile
from loadgen.analyze.steps import runs

SAME_RATE = 0.01
"""Rates that differ by this share are the same."""
MIN_WINDOWS = 20
"""Fewer independent values of the ratio say nothing about a chance of 5 %; those within one rate window are one."""
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Noise:
    """The chance of a false reading with its 95 % interval; None with too little constant load.

    Attributes:
        constant_s: Seconds of constant load and replicas.
        false_ratio: Share of them in which the ratio was past the target and its tolerance, on the other side than the
            median of its span.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    constant_s: float
    false_ratio: float | None = None
    low: float | None = None
    high: float | None = None


def noise(run: Observed, fleet: Fleet, ratio: Series, found: Sequence[Breach]) -> Noise:
    """The chance that one evaluation at constant load and replicas reads past target · (1 ± tolerance).

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        found: The spans in which a limit on latency was broken.
    """
    scaler = run.info.autoscaler
    assert scaler is not None
    at = np.arange(0.0, run.end_s, 1.0)
    values = last_sample(ratio, at, stale_s(run))
    upper, lower = scaler.target * (1 + scaler.tolerance), scaler.target * (1 - scaler.tolerance)
    seconds = wrong = 0
    for first, last in _constant_spans(run, fleet, at, found):
        span = values[first : last + 1]
        span = span[np.isfinite(span)]
        if not len(span):
            continue
        level = float(np.median(span))
        above = (span > upper) & (level <= upper)
        below = (span < lower) & (level >= lower)
        seconds += len(span)
        wrong += int((above | below).sum())
    windows = seconds / window_s(run)
    if windows < MIN_WINDOWS:
        return Noise(float(seconds))
    share = wrong / seconds
    return Noise(float(seconds), share, *_wilson(share, windows))


def _constant_spans(run: Observed, fleet: Fleet, at: Floats, found: Sequence[Breach]) -> list[tuple[int, int]]:
    """Spans, as indices of `at`, of constant load and replicas.

    A span begins once the ratio holds nothing from before, and not before a limit that was broken is met again: until
    then the replicas work off a backlog. What happens later does not matter, as it may be noise.
    """
    rate = planned(run)
    if rate is None or not len(at):
        return []
    per_s, ready, desired = rate.at(at), fleet.ready.at(at), fleet.desired.at(at)
    settle_s = window_s(run) + (_typical_e2e_s(run) or 0.0)
    spans = []
    start = 0
    for end in range(1, len(at) + 1):
        if end < len(at) and _same(per_s[start], per_s[end]) and ready[start] == ready[end]:
            continue
        first = math.ceil(_settled_s(at[start] + settle_s, found, window_s(run)))
        if end - 1 > first and per_s[start] > 0 and ready[start] > 0:
            settled = np.zeros(len(at), dtype=np.bool_)
            settled[first:end] = True
            # While replicas start or stop, the autoscaler has decided already.
            settled &= np.isnan(desired) | (desired == ready)
            spans += runs(settled)
        start = end
    return spans


def _settled_s(from_s: float, found: Sequence[Breach], window: float) -> float:
    for breach in found:
        if breach.start_s <= from_s < breach.until_s + window:
            from_s = breach.until_s + window
    return from_s


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_RATE * max(one, other)


def _typical_e2e_s(run: Observed) -> float | None:
    values = run.requests.e2e_s[np.isfinite(run.requests.e2e_s)]
    return quantile(values, 0.5) if len(values) else None


def _wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share of `count` independent values (Wilson)."""
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return 0.0 if share == 0 else max(centre - half, 0.0), 1.0 if share == 1 else min(centre + half, 1.0)
