"""Computes the due times of an open-loop test before it starts."""

import math
from typing import Literal

import numpy as np

from loadgen.base.errors import SettingsError
from loadgen.scenario.rates import Floats, RateBase

_BISECTIONS = 60


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
        SettingsError: no arrival was drawn, which can happen by chance when few are expected.
    """
    total = rate.expected(rate.length_s)
    if spacing == "even":
        levels = np.arange(math.floor(total + 0.5)) + 0.5
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
