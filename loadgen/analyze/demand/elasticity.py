"""Computes elasticity metrics from two step functions: needed and supplied replicas.

d(t) is the need, s(t) the supply, T the length of the load. Ratios are means over the time in which d > 0:

    θ_U = 1/T · ∫ max(d − s, 0) / d dt          θ_O = 1/T · ∫ max(s − d, 0) / d dt
    τ_U = 1/T · ∫ [s < d] dt                    τ_O = 1/T · ∫ [s > d] dt
    υ_U = share of steps with sgn Δd > sgn Δs   υ_O = share of steps with sgn Δs > sgn Δd
    σ   = (Σ x⁶)^(1/6) over θ_U, θ_O, τ_U, τ_O, υ = υ_U + υ_O and the share of slow requests

The sources, and how far these formulas were compared with them, are in docs/metrics.md ("Elasticity"). Percentages of
the sources are ratios here.
"""

import math
from itertools import pairwise

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results.demand import Elasticity
from loadgen.analyze.steps import Step

SETTLED_RATIO = 0.1
"""The supply has settled within this share of the need, rounded down to whole replicas."""


def elasticity(
    needed: Step, supplied: Step, length_s: float, step_s: float, slow_ratio: float | None = None
) -> Elasticity:
    """Compare a supply with the need over [0, length_s].

    Args:
        needed: Needed replicas, known throughout.
        supplied: Supplied replicas; unknown times count as none.
        length_s: Length of the load, more than 0.
        step_s: Length of the time steps in which movements are compared: the sync period of the autoscaler.
        slow_ratio: Share of the requests that exceeded a limit.
    """
    need, supply, lasts = _both(needed, supplied, length_s)
    some = need > 0
    share = lasts[some] / lasts[some].sum() if some.any() else np.empty(0)
    missing, excess = np.maximum(need - supply, 0.0)[some], np.maximum(supply - need, 0.0)[some]
    theta_under, theta_over = float((share * missing / need[some]).sum()), float((share * excess / need[some]).sum())
    tau_under, tau_over = float(share[missing > 0].sum()), float(share[excess > 0].sum())
    upsilon_under, upsilon_over = _instability(needed, supplied, length_s, step_s)
    moves = _moves(supplied, length_s)
    parts = [theta_under, theta_over, tau_under, tau_over, upsilon_under + upsilon_over, slow_ratio]
    return Elasticity(
        theta_under=theta_under,
        theta_over=theta_over,
        tau_under=tau_under,
        tau_over=tau_over,
        upsilon_under=upsilon_under,
        upsilon_over=upsilon_over,
        jitter_per_s=(len(moves) - len(_moves(needed, length_s))) / length_s,
        reversals=int((np.sign(moves[1:]) != np.sign(moves[:-1])).sum()),
        overshoot_ratio=float(supply.max() / need.max() - 1) if need.max() > 0 else math.inf,
        settling_s=_settling(needed, supplied, length_s),
        unneeded_s=float(lasts[~some & (supply > 0)].sum()),
        deviation=None if slow_ratio is None else float(sum(part**6 for part in parts if part is not None) ** (1 / 6)),
    )


def _both(needed: Step, supplied: Step, length_s: float) -> tuple[Floats, Floats, Floats]:
    """Need, supply and duration of every span in which both are constant."""
    times = np.concatenate((needed.t_s, supplied.t_s))
    edges = np.unique(np.concatenate(([0.0], times[(times > 0) & (times < length_s)], [length_s])))
    starts = edges[:-1]
    return np.nan_to_num(needed.at(starts)), np.nan_to_num(supplied.at(starts)), np.diff(edges)


def _instability(needed: Step, supplied: Step, length_s: float, step_s: float) -> tuple[float, float]:
    grid = np.arange(0.0, length_s, step_s)
    if len(grid) < 2:
        return 0.0, 0.0
    need, supply = np.sign(np.diff(np.nan_to_num(needed.at(grid)))), np.sign(np.diff(np.nan_to_num(supplied.at(grid))))
    return float((need > supply).mean()), float((supply > need).mean())


def _moves(step: Step, length_s: float) -> Floats:
    """The changes within the load, without the first value."""
    values, _ = step.within(0.0, length_s)
    changes = np.diff(np.nan_to_num(values))
    return np.asarray(changes[changes != 0])


def _settling(needed: Step, supplied: Step, length_s: float) -> float | None:
    """The longest time from a change of the need until the supply stayed near it until the next change."""
    changes = needed.t_s[(needed.t_s > 0) & (needed.t_s < length_s)].tolist()
    longest = 0.0
    for start, end in pairwise([*changes, length_s]):
        need = float(needed.at(np.array([start]))[0])
        values, lasts = supplied.within(start, end)
        far = np.flatnonzero(np.abs(np.nan_to_num(values) - need) > math.floor(SETTLED_RATIO * need))
        if len(far) and far[-1] == len(values) - 1:
            return None
        longest = max(longest, float(lasts[: far[-1] + 1].sum()) if len(far) else 0.0)
    return longest
