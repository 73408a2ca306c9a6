"""Compares the measurements with the limits of the scenario, one finding per limit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.bounds import Bounds, bounds, unfinished_gaps
from loadgen.analyze.findings import codes
from loadgen.analyze.measured import Measured
from loadgen.analyze.observed import Bools, Floats, Ints, Observed
from loadgen.analyze.results import FEWEST_VALUES, Finding, Severity, Span
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit

_NEVER = {
    "ttft": "never received a first token",
    "itl": "never ended, because the stream broke off",
    "tpot": "never received their last token",
    "e2e": "never received their last token",
}


def in_spans(spans: Sequence[Span], due_s: Floats) -> Bools:
    """Whether each due time lies in one of the spans [start, end]."""
    inside = np.zeros(len(due_s), dtype=np.bool_)
    for span in spans:
        inside |= (due_s >= span.start_s) & (due_s <= span.end_s)
    return inside


def slo(run: Observed, measured: Measured, lag_windows: Sequence[Span]) -> list[Finding]:
    """One finding for every limit on failed requests or on a latency, met or not."""
    return [
        _failed(run, limit) if limit.metric == "failed" else _latency(run, measured, lag_windows, limit)
        for limit in run.info.limits
        if limit.metric == "failed" or limit.statistic in QUANTILES
    ]


def _finding(
    limit: Limit, *, passed: bool, measured: float | None, advice: str, severity: Severity = "fail", unknown: int = 0
) -> Finding:
    declared = codes.SLO[limit.metric, limit.statistic]
    return declared.finding(
        passed=passed, measured=measured, limit=limit.limit, advice=advice, severity=severity, unknown=unknown
    )


def _unmeasured(limit: Limit, advice: str) -> Finding:
    """A limit without any value to compare with: the run cannot be judged."""
    return _finding(limit, passed=False, measured=None, advice=advice, severity="invalid")


def _failed(run: Observed, limit: Limit) -> Finding:
    judged, still_open = run.requests.judged & run.warm, int((run.requests.open & run.warm).sum())
    count, failed = int(judged.sum()), int((judged & ~run.requests.ok).sum())
    left_out = f"{still_open:,} more were in flight, and younger than the time-out, when the run was stopped"
    if not count:
        nothing = f"No request was due{_after_warm_up(run)}, so there is nothing to judge."
        reason = f"No request ended: {left_out}." if still_open else nothing
        return _unmeasured(limit, reason.replace(" more ", " "))
    share = failed / count
    summary = f"{failed:,} of {count:,} requests failed"
    if still_open:
        summary += f"; {left_out}, and count as neither"
    passed = share <= limit.limit
    advice = f"{summary}." if passed else f"{summary}: see the causes in the outcomes table, most frequent first."
    return _finding(limit, passed=passed, measured=share, advice=advice)


def _latency(run: Observed, measured: Measured, lag_windows: Sequence[Span], limit: Limit) -> Finding:
    """A limit on a latency; the advice says so if there are too few values for the percentile."""
    values = _gaps(run, measured, limit) if limit.metric == "itl" else _values(run, measured, limit)
    found = _compared(run, values, lag_windows, limit)
    if not 0 < values.count < FEWEST_VALUES.get(limit.statistic, 0):
        return found
    noun = "token gaps" if limit.metric == "itl" else "requests"
    few = f"The {limit.statistic} of {values.count} {noun} is their maximum."
    return replace(found, advice=f"{found.advice.rstrip('.')}. {few}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """The values to which a limit applies.

    Attributes:
        count: Number of values.
        unknown: Number of values that may be on either side of the limit.
        slow: Number of values above the limit for certain, of each request.
        due_s: Due time of each request.
        never: Number of values that will never arrive.
        open_slow: Number of slow values that were open when the run was stopped.
        lower_s: Lower bound of the limited percentile.
        upper_s: Upper bound.
    """

    count: int
    unknown: int
    slow: Ints
    due_s: Floats
    never: int
    open_slow: int
    lower_s: float
    upper_s: float


def _values(run: Observed, measured: Measured, limit: Limit) -> _Values:
    """The latencies of the requests after the warm-up."""
    values, share = bounds(run, measured, limit.metric, run.warm if run.warm_up_s else None), QUANTILES[limit.statistic]
    return _Values(
        count=len(values),
        unknown=int(values.unknown(limit.limit).sum()),
        slow=values.broken(limit.limit).astype(np.int64),
        due_s=values.due_s,
        never=int(np.isinf(values.lower_s).sum()),
        open_slow=_open_slow(values, limit),
        lower_s=quantile(values.lower_s, share),
        upper_s=quantile(values.upper_s, share),
    )


def _gaps(run: Observed, measured: Measured, limit: Limit) -> _Values:
    """The gaps of the requests after the warm-up, and the gap of each stream that ended before its last token."""
    members, share = run.requests.due & run.warm, QUANTILES[limit.statistic]
    gaps, last = measured.gaps.of(members), unfinished_gaps(run, measured)
    last = last.where(members[last.row])
    slow = np.where(members, measured.slow_gaps[limit.limit], 0)
    return _Values(
        count=len(gaps) + len(last),
        unknown=int(last.unknown(limit.limit).sum()),
        slow=slow + np.bincount(last.row[last.broken(limit.limit)], minlength=len(slow)),
        due_s=run.requests.scheduled_s,
        never=int(np.isinf(last.lower_s).sum()),
        open_slow=_open_slow(last, limit),
        lower_s=gaps.joined(last.lower_s).quantile(share),
        upper_s=gaps.joined(last.upper_s).quantile(share),
    )


def _open_slow(values: Bounds, limit: Limit) -> int:
    least = values.broken(limit.limit) & ~np.isfinite(values.upper_s) & np.isfinite(values.lower_s)
    return int(least.sum())


def _compared(run: Observed, values: _Values, lag_windows: Sequence[Span], limit: Limit) -> Finding:
    """A limit and the values: met or missed if it is so for every value that open requests may still get."""
    if not values.count:
        any_due = (run.requests.due & run.warm).any()
        reason = "no response was streamed" if any_due else f"no request was due{_after_warm_up(run)}"
        return _unmeasured(limit, f"Not measured, because {reason}: check `stream` and the load.")
    lower, upper, unknown = values.lower_s, values.upper_s, values.unknown
    if lower <= limit.limit < upper:
        return _finding(
            limit,
            passed=False,
            measured=None,
            severity="invalid",
            unknown=unknown,
            advice=_unknown_advice(limit, unknown, values.count, lower),
        )
    count, slow_count = values.count, int(values.slow.sum())
    noun = "token gaps" if limit.metric == "itl" else "requests"
    left_out = f"; {unknown:,} more, open when the run was stopped, cannot change this" if unknown else ""
    if not slow_count:
        advice = f"All {count - unknown:,} {noun} were within {limit.limit:g} s{left_out}."
        return _finding(limit, passed=True, measured=upper, advice=advice)
    allowed = f"{_percent(slow_count / count)}, {_allowed(limit)} allowed"
    summary = f"{slow_count:,} of {count:,} {noun} were slower than {limit.limit:g} s ({allowed})"
    if upper <= limit.limit:
        return _finding(limit, passed=True, measured=upper, advice=f"{summary}{left_out}.")
    if math.isinf(lower):
        over = "At least one" if limit.statistic == "max" else f"More than {_allowed(limit)}"
        never = f"{values.never:,} of {count:,}"
        advice = f"{over} of the {noun} ({never}) {_NEVER[limit.metric]}: see the outcomes table for the causes."
        return _finding(limit, passed=False, measured=None, advice=advice)
    if values.open_slow:
        summary += f", {values.open_slow:,} of them still open when the run was stopped and counted at their age"
    return _finding(limit, passed=False, measured=lower, advice=f"{summary}{_scaling_advice(values, lag_windows)}")


def _after_warm_up(run: Observed) -> str:
    return f" after the warm-up of {run.warm_up_s:g} s" if run.warm_up_s else ""


def _unknown_advice(limit: Limit, unknown: int, count: int, lower_s: float) -> str:
    noun = "token gaps" if limit.metric == "itl" else "requests"
    return (
        f"{unknown:,} of {count:,} {noun} were open when the run was stopped and may end on either side of "
        f"{limit.limit:g} s, so the {limit.statistic} is at least {lower_s:.3g} s and has no upper bound. Let requests "
        f"in flight finish (--stop-timeout), or run the load to its end."
    )


def _allowed(limit: Limit) -> str:
    """The share of requests that may be slower than the limit."""
    return "none" if limit.statistic == "max" else _percent(1 - QUANTILES[limit.statistic])


def _percent(share: float) -> str:
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.1f}".removesuffix(".0") + " %"


def _scaling_advice(values: _Values, lag_windows: Sequence[Span]) -> str:
    """Whether the slow requests coincide with scale-ups, and the advice for either case."""
    if not lag_windows:
        return ": the replicas cannot serve this load within the limit; add replicas or lower the load."
    inside = int(values.slow[in_spans(lag_windows, values.due_s)].sum())
    share = inside / max(int(values.slow.sum()), 1)
    summary = f", {share * 100:.0f} % of them due during a scale-up"
    if share >= 0.5:
        return f"{summary}: shorten the longest step of the scale-up, scale earlier, or keep more replicas ready."
    return f"{summary}: most were slow outside scale-ups; allow more replicas or look for a queue elsewhere."
