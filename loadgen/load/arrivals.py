"""Computes the due times of an open-loop test before it starts."""

import math
from typing import Literal

import numpy as np

from loadgen.base.errors import SettingsError
from loadgen.scenario.rates import Floats, RateBase

MAX_ARRIVALS = 5_000_000
"""Largest number of requests of one run: its plan takes about 300 MB and half a minute in every process."""

_BISECTIONS = 60
_CHUNK = 100_000
"""Levels that are inverted at a time, which bounds the memory of intermediate values."""


def due_times(rate: RateBase, spacing: Literal["poisson", "even"], seed: int) -> Floats:
    """Return the times at which requests are due, independent of the server's responses (open loop).

    Arrival k is due where the integral Λ of the rate reaches a level S_k: t_k = Λ⁻¹(S_k), for all levels up to
    Λ(end). With `even` spacing S_k = k + ½; with `poisson` the S_k are sums of independent exponentials of mean 1,
    which makes the times a non-homogeneous Poisson process of that rate (the time-change theorem). Λ is inverted by
    bisection on its exact form, so no grid blurs a step or a spike.

    Args:
        rate: Requests per second over time.
        spacing: `poisson` or `even`.
        seed: Seed of the Poisson process; unused with `even`.

    Returns:
        Sorted seconds from the start of the rate, shape (n,); n itself is random with `poisson`.

    Raises:
        SettingsError: more than `MAX_ARRIVALS` are expected, or no arrival was drawn, which can happen by chance when
            few are expected.
    """
    total = rate.expected(rate.length_s)
    if total > MAX_ARRIVALS:
        raise SettingsError(
            f"the load sends about {total:,.0f} requests, and one run can plan {MAX_ARRIVALS:,}: reduce the rate or "
            f"the duration, or make several runs of it"
        )
    levels: Floats
    if spacing == "even":
        levels = np.arange(math.floor(total + 0.5), dtype=np.float64) + 0.5
    else:
        random = np.random.default_rng(seed)
        levels = np.empty(0)
        last = 0.0
        while last < total:
            more = last + np.cumsum(random.exponential(size=int(total - last + 10 * (total + 1) ** 0.5) + 1))
            levels = np.concatenate((levels, more))
            last = float(levels[-1])
        levels = levels[levels < total]
    if len(levels) == 0:
        raise SettingsError(
            f"the load sends no request: {total:g} are expected in total, and {spacing} arrivals with seed {seed} give "
            f"none; increase the rate or the duration"
        )
    for start in range(0, len(levels), _CHUNK):
        levels[start : start + _CHUNK] = _times_of(rate, levels[start : start + _CHUNK])
    return levels


def _times_of(rate: RateBase, levels: Floats) -> Floats:
    """Return when the integral of a rate reaches each level."""
    low = np.zeros_like(levels)
    high = np.full_like(levels, rate.length_s)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = rate.expected(middle) >= levels
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    return high


def max_in_any_window(due_s: Floats, window_s: float) -> int:
    """Return the largest number of arrivals in any window of `window_s` seconds.

    A request ends at its timeout at the latest, so no more than this many can be in flight at once.
    """
    if len(due_s) == 0:
        return 0
    first = np.searchsorted(due_s, due_s - window_s, side="left")
    return int(np.max(np.arange(len(due_s)) - first) + 1)
