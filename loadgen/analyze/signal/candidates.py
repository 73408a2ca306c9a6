"""Compares the recorded series as signals for scaling: which shows too much load first, and most clearly."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import last_sample, mean_over_pods, stale_s, window_s
from loadgen.analyze.results import SignalCandidate
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.breaches import breaches
from loadgen.analyze.signal.truth import MAX_FALSE_RATIO, Response, ratio_responses, responses
from loadgen.dataset.names import SignalName

_GAUGES = {
    SignalName.ENGINE_WAITING: 1.0,
    SignalName.RAW_PENDING: 1.0,
    SignalName.ENGINE_ACTIVE: 1.0,
    SignalName.KV_USED_RATIO: 0.1,
}
"""The gauges, and the least change that is more than noise: a request per replica, a tenth of the KV cache."""
_TENTH = 0.1


def candidates(run: Observed, fleet: Fleet, ratio: Series) -> tuple[SignalCandidate, ...]:
    """The ratio and the recorded gauges, the best first.

    The order is: not blind, not noisy, the longest lead, the highest monotonicity. Leads within a scrape interval are
    equal.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio.
    """
    scaler = run.info.autoscaler
    if scaler is None or not run.end_s:
        return ()
    at = np.arange(0.0, run.end_s, 1.0)
    load, calm = _load(run, fleet, at), _calm(run, at)
    found = []
    if np.isfinite(ratio.value).any():
        found.append(_candidate(run, SignalName.RATIO, ratio, ratio_responses(run, ratio), load, calm))
    for name, least in _GAUGES.items():
        pods = {pod: series for pod, series in run.signals.get(name, {}).items() if len(series.t_s)}
        if pods:
            mean = mean_over_pods(pods, stale_s(run))
            found.append(_candidate(run, name, mean, responses(run, mean, least, least), load, calm))
    step_s = max(1.0, scaler.scrape_interval_s)

    def order(each: SignalCandidate) -> tuple[bool, bool, float, float]:
        noisy = each.noise_ratio is not None and each.noise_ratio > MAX_FALSE_RATIO
        lead = 0.0 if each.lead_s is None else -np.floor(each.lead_s / step_s)
        return each.blind, noisy, lead, -(each.monotonicity or 0.0)

    return tuple(sorted(found, key=order))


def _candidate(
    run: Observed,
    name: SignalName,
    series: Series,
    response: tuple[Sequence[Response], float],
    load: Floats,
    calm: Bools,
) -> SignalCandidate:
    each, noise_limit = response
    leads = [one.lead_s for one in each if one.lead_s is not None]
    values = last_sample(series, np.arange(0.0, run.end_s, 1.0), stale_s(run))
    known = np.isfinite(values) & np.isfinite(load)
    quiet = values[calm & np.isfinite(values)]
    return SignalCandidate(
        signal=name.value,
        lead_s=min(leads, default=None),
        blind=len(leads) < len(each),
        monotonicity=_rank_correlation(load[known], values[known]),
        gain=_gain(load[known], values[known], quiet),
        noise_ratio=float((quiet > noise_limit).mean()) if len(quiet) else None,
    )


def _load(run: Observed, fleet: Fleet, at: Floats) -> Floats:
    """Requests in flight per ready replica."""
    requests = run.requests
    was_sent = np.isfinite(requests.sent_s)
    ended = np.where(np.isnan(requests.ended_s), np.inf, requests.ended_s)[was_sent]
    sent = np.searchsorted(np.sort(requests.sent_s[was_sent]), at, side="right")
    in_flight = sent - np.searchsorted(np.sort(ended), at, side="right")
    ready = fleet.ready.at(at)
    return np.where(ready > 0, in_flight / np.maximum(ready, 1.0), np.nan)


def _calm(run: Observed, at: Floats) -> Bools:
    """Whether no limit was broken, nor is within a sync period, when a signal should rise already."""
    assert run.info.autoscaler is not None
    calm = np.ones(len(at), dtype=np.bool_)
    for breach in breaches(run):
        early_s = breach.broke_s - run.info.autoscaler.sync_period_s
        calm &= (at < early_s) | (at > breach.until_s + window_s(run))
    return calm


def _rank_correlation(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation; None where one of the two never changes."""
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Floats) -> Floats:
    """The rank of each value; equal values have the mean of their ranks."""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2.0)[index]
    return ranks


def _gain(load: Floats, values: Floats, calm: Floats) -> float | None:
    """The rise from the lowest to the highest tenth of the load, in standard deviations of the calm values."""
    if not len(load) or len(calm) < 2 or np.ptp(calm) == 0:
        return None
    low, high = np.quantile(load, [_TENTH, 1 - _TENTH])
    return float((np.median(values[load >= high]) - np.median(values[load <= low])) / np.std(calm))
