"""Compares the ratio that the autoscaler reads with the true ratios of the same replicas."""

from collections.abc import Callable

import numpy as np

from loadgen.analyze.findings.deviation import median_deviation
from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import last_sample, mean_true_ratio, ratio_by_pod, stale_s, true_ratio, true_ratios
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

TRUTH_TOLERANCE = 0.25
MAX_SIGNAL_LAG_S = 5


def deviation(run: Observed, fleet: Fleet, ratio: Series) -> tuple[float, int] | None:
    """The deviation of the ratio from the true ratios of the same replicas, and the number of seconds compared.

    A replica that completed nothing counts as it was read: as 0 where the rule gave 0, and not at all where it gave no
    sample.
    """
    scaler = run.info.autoscaler
    assert scaler is not None
    at = np.arange(0.0, run.end_s, 1.0)
    by_pod = ratio_by_pod(run, fleet)
    if "" in by_pod:
        fits = [_fit(run, at, last_sample(ratio, at, stale_s(run)), each) for each in _fleet_ratios(run, fleet)]
        return min((fit for fit in fits if fit is not None), default=None)
    counted = {pod: each for pod, each in run.signals.get(SignalName.RAW_COMPUTE_US, {}).items() if len(each.t_s)}
    rows = [_until_end(run, by_pod[pod], at) for pod in by_pod if pod in counted]
    if not rows:
        return None
    reads = np.array(rows)
    known = np.isfinite(reads)

    def same_replicas(t_s: Floats) -> Floats:
        true = true_ratios(run, fleet, t_s)
        return _mean(np.where(known, np.array([true[pod] for pod in by_pod if pod in counted]), 0.0), known)

    return _fit(run, at, _mean(np.where(known, reads, 0.0), known), same_replicas)


def _fit(run: Observed, at: Floats, read: Floats, reference: Callable[[Floats], Floats]) -> tuple[float, int] | None:
    scaler = run.info.autoscaler
    assert scaler is not None
    return median_deviation(read, lambda lag_s: reference(at - lag_s), target=scaler.target, max_lag_s=MAX_SIGNAL_LAG_S)


def _fleet_ratios(run: Observed, fleet: Fleet) -> tuple[Callable[[Floats], Floats], ...]:
    """Sound ways to make one value of a fleet: the mean over all or over the busy replicas, and the ratio of sums."""

    def mean_of_all(t_s: Floats) -> Floats:
        true = np.array(list(true_ratios(run, fleet, t_s).values()) or [np.full(len(t_s), np.nan)])
        return _mean(true, np.isfinite(true))

    return mean_of_all, lambda t_s: mean_true_ratio(run, fleet, t_s), lambda t_s: true_ratio(run, t_s)


def _until_end(run: Observed, series: Series, at: Floats) -> Floats:
    """The last sample at each time; that of a replica that stopped is valid for one scrape only."""
    scaler = run.info.autoscaler
    values = last_sample(series, at, stale_s(run))
    if len(series.t_s):
        values[at > series.t_s[-1] + (scaler.scrape_interval_s if scaler else 0.0)] = np.nan
    return values


def _mean(values: Floats, known: Bools) -> Floats:
    """The mean of the known rows; NaN where none is known."""
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / count, np.nan)
    return mean
