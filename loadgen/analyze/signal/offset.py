r"""Estimates the offset between the clock of the requests and that of samples and events.

A server counts a request between the time at which the client sent it and the time at which the client had its answer.
So at every time t of the client, with S the servers' count at t plus the offset, and a constant c for what they counted
before:

    answered requests until t  ≤  S(t + offset) − c  ≤  requests sent until t

    count |              ____ sent
          |         ____/ ___ counted by the servers
          |    ____/ ____/ __ answered
          |___/_____/_____/________ t

Any other offset moves S out of this band. The offsets at which it stays inside form an interval: its middle is the
estimate, and half its width the error. Scrapes are a second apart, so S itself is known up to the increment of one
scrape.
"""

import numpy as np

from loadgen.analyze.observed import Floats, Ints, Observed, Series
from loadgen.analyze.queueing import increments, resets
from loadgen.analyze.results import ClockOffset
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

MAX_OFFSET_S = 120.0
STEP_S = 0.25
MIN_ANSWERED = 50
POINTS = 400
"""Times at which the counts are compared."""
MARGIN_S = 30.0
"""They begin this long before the first request and end this long after the last answer, where no count changes."""
NOISE = 0.1
"""Offsets are equally good if they differ by less than this mean number of requests outside the band."""
MAX_MISFIT = 0.02
"""Largest mean number of requests outside the band, as a share of the answered ones, if counters count this load."""


def clock_offset(run: Observed, fleet: Fleet) -> ClockOffset:
    """The offset of samples and events; unknown where the counters do not count the requests of this load alone."""
    requests = run.requests
    answered = np.sort(requests.ended_s[requests.ok & np.isfinite(requests.ended_s)])
    sent = np.sort(requests.sent_s[np.isfinite(requests.sent_s)])
    counters = {pod: each for pod, each in run.signals.get(SignalName.RAW_SUCCESS, {}).items() if len(each.t_s) > 1}
    if not counters:
        return ClockOffset(offset_s=None, error_s=None, why_missing="the counters of the replicas were not collected")
    if min(len(answered), len(sent)) < MIN_ANSWERED:
        why = f"{len(answered)} answered requests are too few"
        return ClockOffset(offset_s=None, error_s=None, why_missing=why)
    earliest, latest = _counted(run, fleet, counters, since_s=float(sent[0]))
    at = np.linspace(sent[0] - MARGIN_S, answered[-1] + MARGIN_S, POINTS)
    below: Ints = np.searchsorted(answered, at, side="right").astype(np.int64)
    above: Ints = np.searchsorted(sent, at, side="right").astype(np.int64)
    offsets = np.arange(-MAX_OFFSET_S, MAX_OFFSET_S + STEP_S / 2, STEP_S)
    misfit = _misfit(offsets, at, below, above, earliest, latest)
    least = float(misfit.min())
    if least > max(NOISE, MAX_MISFIT * len(answered)):
        why = "the counters of the replicas do not match the requests of this load"
        return ClockOffset(offset_s=None, error_s=None, why_missing=why)
    good = offsets[misfit <= least + NOISE]
    return ClockOffset(offset_s=float(good[0] + good[-1]) / 2, error_s=float(good[-1] - good[0]) / 2 + STEP_S)


def _counted(run: Observed, fleet: Fleet, counters: dict[str, Series], since_s: float) -> tuple[Series, Series]:
    """The number that all replicas had counted at each time: at most, and at least.

    What a scrape finds may have been counted since the scrape before. The first value of a replica counts only if it
    appeared during the load; the counter of another one may hold requests of other loads.
    """
    times, since, values = [], [], []
    for pod, series in counters.items():
        growth = increments(series, resets(run, pod))
        is_new = series.t_s[:1] > since_s
        replica = fleet.pods.get(pod)
        ready_s = series.t_s[0] - 1.0 if replica is None or replica.ready_s is None else replica.ready_s
        times += [series.t_s[:1], growth.t_s]
        since += [np.minimum(series.t_s[:1], ready_s), series.t_s[:-1]]
        values += [np.where(is_new, series.value[:1], 0.0), growth.value]
    return _steps(np.concatenate(since), np.concatenate(values)), _steps(np.concatenate(times), np.concatenate(values))


def _steps(times: Floats, values: Floats) -> Series:
    order = np.argsort(times, kind="stable")
    return Series(times[order], np.cumsum(values[order]))


def _misfit(offsets: Floats, at: Floats, answered: Ints, sent: Ints, earliest: Series, latest: Series) -> Floats:
    """The mean number of requests outside the band for each offset, with the best constant for each."""
    shifted = at[None, :] + offsets[:, None]
    low, high = _at(latest, shifted) - sent, _at(earliest, shifted) - answered
    # Σ max(0, low − c) + max(0, c − high) is least at the median of all its ends.
    constant = np.median(np.concatenate((low, high), axis=1), axis=1, keepdims=True)
    misfit: Floats = (np.maximum(low - constant, 0.0) + np.maximum(constant - high, 0.0)).mean(axis=1)
    return misfit


def _at(steps: Series, t_s: Floats) -> Floats:
    totals = np.concatenate(([0.0], steps.value))
    return totals[np.searchsorted(steps.t_s, t_s, side="right")]
