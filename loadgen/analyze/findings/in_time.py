"""Compares the lag of the scale-ups with the limit of the scenario, and reports a run that did not test scaling."""

import math

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding, InTime
from loadgen.base.display import clock, tenths
from loadgen.dataset.run_info import Limit

MOST_REPEATS = 100
"""If more repeats are needed to decide, the distance from the limit does not matter."""
_Z = 1.96
_RETRY = "raise the peak until the load needs more replicas than serve at its start, or omit the limit"


def scale_up_lag(run: Observed, found: InTime) -> list[Finding]:
    """One finding for the limit on the lag of scale-ups, met or not; empty without such a limit."""
    limits = [limit for limit in run.info.limits if limit.metric == "scale_up_lag"]
    return [_compared(run, limit, found) for limit in limits]


def not_tested(run: Observed, found: InTime) -> list[Finding]:
    """The warning that a run with an autoscaler did not test scaling."""
    scaler = run.info.autoscaler
    if found.answer != "not_tested" or scaler is None or scaler.min_replicas == scaler.max_replicas:
        return []
    reason = found.reason[0].upper() + found.reason[1:]
    advice = f"{reason}. To test scaling, raise the peak of the load, or begin with fewer replicas."
    return [codes.SCALING_NOT_TESTED.finding(measured=None, limit=None, advice=advice)]


def repeats_to_decide(low_s: float, high_s: float, distance_s: float, phase_s: float) -> int | None:
    """How many runs like this one would decide on which side of a limit their mean lag is; None for too many.

    The mean of n runs has a 95 % interval whose half width is √(h² + (1.96 · P/√12)²) / √n: of this run's h, and of the
    phase of the HPA, which is uniform over the sync period P.

    Args:
        low_s: Lower end of the interval of this run's lag.
        high_s: Upper end.
        distance_s: Distance of its lag from the limit.
        phase_s: Sync period P.
    """
    half_s = (high_s - low_s) / 2
    width = half_s**2 + (_Z * phase_s) ** 2 / 12
    if distance_s <= 0 or width > MOST_REPEATS * distance_s**2:
        return None
    return max(2, math.ceil(width / distance_s**2))


def _compared(run: Observed, limit: Limit, found: InTime) -> Finding:
    declared = codes.SLO[limit.metric, limit.statistic]

    def invalid(advice: str) -> Finding:
        return declared.finding(measured=None, limit=limit.limit, advice=advice, severity="invalid")

    if found.answer == "not_tested":
        return invalid(f"Scaling was not tested: {found.reason}; {_RETRY}.")
    lag = found.lag
    if lag is None or (found.answer == "not_known" and found.clocks_differ):
        return invalid(f"The lag is not known: {found.reason}.")
    if found.until_load_end and lag.value <= limit.limit:
        advice = (
            f"The load needed {found.replicas} replicas for its last {tenths(lag.value)}, and they did not serve "
            f"before it ended, so the lag may be on either side of the limit: make the load longer."
        )
        return invalid(advice)
    return declared.finding(
        measured=lag.value,
        limit=limit.limit,
        passed=lag.value <= limit.limit,
        advice=_advice(run, limit.limit, found),
        low=lag.low,
        high=lag.high,
    )


def _advice(run: Observed, limit_s: float, found: InTime) -> str:
    lag = found.lag
    assert lag is not None
    served = "did not serve while they were needed" if found.served_s is None else f"served at {clock(found.served_s)}"
    parts = [f"{found.replicas} replicas were needed at {clock(found.needed_s)} and {served}"]
    scaler = run.info.autoscaler
    period_s = scaler.sync_period_s if scaler is not None else 0.0
    if lag.low < lag.high and lag.low <= limit_s <= lag.high:
        repeats = repeats_to_decide(lag.low, lag.high, abs(lag.value - limit_s), period_s)
        decide = (
            f"{repeats} runs like this one would decide: --repeats {repeats}"
            if repeats is not None
            else f"not even {MOST_REPEATS} runs like this one would decide"
        )
        parts.append(
            f"too close to call: the limit is inside the 95 % interval of the lag, {lag.low:.1f} … {lag.high:.1f} s, "
            f"and {decide}"
        )
    if found.parts is not None and period_s:
        least = lag.value - found.parts.phase_s
        if least <= limit_s <= least + period_s:
            parts.append(
                f"{tenths(found.parts.phase_s)} of it is the phase of the HPA, which is chance: with another one the "
                f"lag would be {least:.1f} … {least + period_s:.1f} s, so repeat the run"
            )
    if lag.value > limit_s:
        parts.append("see the links of the scale-up for the one to fix first")
    return f"{'; '.join(parts)}."
