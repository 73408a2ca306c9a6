"""Computes which share of the requests met every limit for a single request, in windows of due time."""

import math

import numpy as np

from loadgen.analyze.bounds import bounds, unfinished_gaps
from loadgen.analyze.measured import Measured
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import Attainment, AttainmentWindow, Violation
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit, RunInfo

WINDOW_S = 30.0
"""Length of a window where the settings of a run do not have it."""
MIN_REQUESTS = 20
"""A window with fewer requests is joined with the next: one slow request would be more than 5 % of it."""
MAX_WINDOWS = 2_000
"""Windows of a longer run are longer."""


def request_limits(limits: tuple[Limit, ...]) -> dict[str, Limit]:
    """For each limited latency the limit that applies to single requests: that of its highest limited percentile."""
    highest: dict[str, Limit] = {}
    for limit in limits:
        if limit.statistic in QUANTILES:
            other = highest.get(limit.metric)
            if other is None or QUANTILES[limit.statistic] > QUANTILES[other.statistic]:
                highest[limit.metric] = limit
    return highest


def target_ratio(limits: tuple[Limit, ...]) -> float | None:
    """The share of the requests that must attain; None without a limit that a single request can meet."""
    shares = [QUANTILES[limit.statistic] for limit in request_limits(limits).values()]
    if shares:
        return min(shares)
    failed = next((limit.limit for limit in limits if limit.metric == "failed"), None)
    return None if failed is None else round(1 - failed, 12)


def attainment(run: Observed, measured: Measured) -> Attainment | None:
    """The attainment of a run; None without limits for single requests, or without requests to judge."""
    target = target_ratio(run.info.limits)
    requests = run.requests
    use = requests.due & ~requests.by_generator & run.warm
    if run.length_s is None or target is None or not use.any():
        return None
    limits = request_limits(run.info.limits)
    broken = np.zeros(len(requests), dtype=np.bool_)
    for limit in limits.values():
        broken |= _broken(run, measured, limit)
    attained, may_attain = requests.ok & ~broken, (requests.ok | requests.open) & ~broken
    due_s = requests.scheduled_s[use]
    start_s, end_s = min(run.warm_up_s, float(due_s[0])), _end_s(run, float(due_s[-1]))
    window_s = max(window_length_s(run.info), (end_s - start_s) / MAX_WINDOWS)
    edges = window_edges(due_s, start_s, end_s, window_s)
    certain = np.concatenate(([0], np.cumsum(attained[use])))
    possible = np.concatenate(([0], np.cumsum(may_attain[use])))

    def window(first_s: float, last_s: float, low: int, high: int) -> AttainmentWindow:
        count = int(certain[high] - certain[low])
        unknown = int(possible[high] - possible[low]) - count
        return _window(first_s, last_s, high - low, count, unknown, target)

    at = [*np.searchsorted(due_s, edges[:-1], side="left").tolist(), len(due_s)]
    windows = tuple(window(edges[i], edges[i + 1], at[i], at[i + 1]) for i in range(len(edges) - 1))
    worst = min(range(len(windows)), key=lambda i: (windows[i].attainment_upper, windows[i].attainment_lower))
    return Attainment(
        limits_s={metric: limit.limit for metric, limit in limits.items()},
        target_ratio=target,
        window_s=window_s,
        whole=window(start_s, end_s, 0, len(due_s)),
        windows=windows,
        worst_window=worst,
        in_violation_lower_s=sum(each.end_s - each.start_s for each in windows if each.in_violation),
        in_violation_upper_s=sum(each.end_s - each.start_s for each in windows if each.in_violation is not False),
        worst=_around(run, measured, limits, windows, worst) if windows[worst].in_violation else None,
    )


def _broken(run: Observed, measured: Measured, limit: Limit) -> Bools:
    """Whether each request exceeds the limit for certain: by its own value, or by that percentile of its own gaps."""
    requests = run.requests
    values = bounds(run, measured, limit.metric) if limit.metric != "itl" else unfinished_gaps(run, measured)
    slow = np.bincount(values.row[values.broken(limit.limit)], minlength=len(requests))
    if limit.metric != "itl":
        return slow > 0
    slow += np.where(requests.due, measured.slow_gaps[limit.limit], 0)
    ended = np.where(requests.due, np.maximum(measured.responses - 1, 0), 0)
    gaps = ended + np.bincount(values.row, minlength=len(requests))
    # An open stream gets at most as many gaps as it may get tokens.
    most = np.where(requests.open, np.fmax(requests.max_tokens - 1, gaps), gaps)
    broken: Bools = slow > most - np.ceil(QUANTILES[limit.statistic] * most)
    return broken


def window_length_s(info: RunInfo) -> float:
    """The length of a window, by the settings of the run."""
    slo = info.settings.get("slo")
    given = slo.get("window_s") if isinstance(slo, dict) else None
    return float(given) if isinstance(given, int | float) and 0 < given < math.inf else WINDOW_S


def _end_s(run: Observed, last_due_s: float) -> float:
    """The end of the last stage that was not cut, or the last due time if that is later."""
    ends = [min(stage.end_s - run.zero_s, run.end_s) for stage in run.info.stages]
    return max([last_due_s, *ends])


def window_edges(
    due_s: Floats, start_s: float, end_s: float, window_s: float, least: int = MIN_REQUESTS
) -> list[float]:
    """The edges of the windows: one with too few requests is joined with the next, the last with the one before.

    Args:
        due_s: Due times of the requests, in order.
        start_s: Start of the first window.
        end_s: End of the last window.
        window_s: Length of a window.
        least: Fewest requests of a window.
    """
    starts = start_s + window_s * np.arange(max(math.ceil((end_s - start_s) / window_s), 1))
    counts = np.diff([*np.searchsorted(due_s, starts, side="left"), len(due_s)])
    edges, since = [float(starts[0])], 0
    for number, count in enumerate(counts.tolist()):
        since += count
        if since >= least and number + 1 < len(starts):
            edges.append(float(starts[number + 1]))
            since = 0
    if since < least and len(edges) > 1:
        edges.pop()
    return [*edges, end_s]


def _window(
    start_s: float, end_s: float, requests: int, attained: int, unknown: int, target: float
) -> AttainmentWindow:
    lower, upper = attained / requests, (attained + unknown) / requests
    seconds = end_s - start_s
    return AttainmentWindow(
        start_s=start_s,
        end_s=end_s,
        requests=requests,
        attained=attained,
        unknown=unknown,
        attainment_lower=lower,
        attainment_upper=upper,
        burn_lower=_burn(upper, target),
        burn_upper=_burn(lower, target),
        goodput_lower_per_s=attained / seconds if seconds else math.nan,
        goodput_upper_per_s=(attained + unknown) / seconds if seconds else math.nan,
        in_violation=True if upper < target else None if lower < target else False,
    )


def _burn(share: float, target: float) -> float:
    if share >= 1:
        return 0.0
    return (1 - share) / (1 - target) if target < 1 else math.inf


def _around(
    run: Observed,
    measured: Measured,
    limits: dict[str, Limit],
    windows: tuple[AttainmentWindow, ...],
    worst: int,
) -> Violation:
    """The consecutive windows in violation around one of them."""
    first = last = worst
    while first and windows[first - 1].in_violation:
        first -= 1
    while last + 1 < len(windows) and windows[last + 1].in_violation:
        last += 1
    start_s, end_s = windows[first].start_s, windows[last].end_s
    due_s = run.requests.scheduled_s
    before_end = due_s <= end_s if last == len(windows) - 1 else due_s < end_s
    members = (due_s >= start_s) & before_end & ~run.requests.by_generator
    exceeded: tuple[float, Limit, float, bool] | None = None
    for limit in limits.values():
        lower, upper = _percentile(run, measured, limit, members)
        excess = lower / max(limit.limit, 1e-9)
        if lower > limit.limit and (exceeded is None or excess > exceeded[0]):
            exceeded = excess, limit, lower, upper > lower
    inside = windows[first : last + 1]
    _, limit_of, value, at_least = exceeded or (0.0, None, None, False)
    return Violation(
        start_s=start_s,
        end_s=end_s,
        requests=sum(each.requests for each in inside),
        attained=sum(each.attained for each in inside),
        metric=limit_of.metric if limit_of else None,
        statistic=limit_of.statistic if limit_of else None,
        limit_s=limit_of.limit if limit_of else None,
        measured_s=value,
        at_least=at_least,
    )


def _percentile(run: Observed, measured: Measured, limit: Limit, members: Bools) -> tuple[float, float]:
    """The bounds of the limited percentile of some requests."""
    share = QUANTILES[limit.statistic]
    if limit.metric != "itl":
        values = bounds(run, measured, limit.metric, members)
        return quantile(values.lower_s, share), quantile(values.upper_s, share)
    last, gaps = unfinished_gaps(run, measured), measured.gaps.of(members)
    last = last.where(members[last.row])
    return gaps.joined(last.lower_s).quantile(share), gaps.joined(last.upper_s).quantile(share)
