"""Finds out whether an HPA ever settles: a ratio that is 0 below saturation makes it scale up and down for ever."""

from dataclasses import dataclass

import numpy as np

from loadgen.whatif.model import Floats, Load
from loadgen.whatif.settings import Setup, Span
from loadgen.whatif.sweep import run

SEED = 20_261
_CYCLES = 3
_LENGTH_S = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A limit cycle at a constant rate.

    Attributes:
        rate_per_s: The rate.
        low: Fewest desired replicas of the cycle.
        high: Most desired replicas of the cycle.
        period_s: Mean time between two scale-ups from the lowest number.
    """

    rate_per_s: float
    low: int
    high: int
    period_s: float


def limit_cycle(setup: Setup, service_s: Floats, first_token_s: Floats, rate_per_s: float) -> Cycle | None:
    """Simulate Poisson arrivals at a constant rate for two hours; None if the replicas settle.

    Args:
        setup: The setup.
        service_s: Service times of a run; the simulated requests draw from them.
        first_token_s: Their parts until the first token, in the same order.
        rate_per_s: The rate.
    """
    rng = np.random.default_rng(SEED)
    count = int(rng.poisson(rate_per_s * _LENGTH_S))
    drawn = rng.integers(0, len(service_s), count)
    load = Load(
        arrival_s=np.sort(rng.uniform(0.0, _LENGTH_S, count)),
        service_s=service_s[drawn],
        first_token_s=first_token_s[drawn],
    )
    simulated = run(load, setup, Span(initial=setup.hpa.lowest, begin_s=0.0, end_s=_LENGTH_S))
    # what it does in the first quarter may be how it settles
    later = [each for each in simulated.syncs if each.t_s >= _LENGTH_S / 4]
    desired = [each.after for each in later]
    if not desired or min(desired) == max(desired):
        return None
    low = min(desired)
    leaves = [each.t_s for each in later if each.before == low and each.after > low]
    if len(leaves) <= _CYCLES:
        return None
    return Cycle(rate_per_s=rate_per_s, low=low, high=max(desired), period_s=float(np.mean(np.diff(np.array(leaves)))))
