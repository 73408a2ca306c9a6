"""Compares the measurements with the limits of the scenario, one finding per limit."""

import math
from collections.abc import Sequence

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.latency import Measured
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import Finding, Severity, Span
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit

_NEVER = {
    "ttft": "never received a first token",
    "tpot": "never received their last token",
    "e2e": "never received their last token",
}


def judged_ttft_s(run: Observed) -> Floats:
    """TTFT of every judged request; +inf when its first token never arrived."""
    return _missing_as_inf(run.requests.ttft_s[run.requests.judged])


def in_spans(spans: Sequence[Span], due_s: Floats) -> Bools:
    """Whether each due time lies in one of the spans [start, end]."""
    inside = np.zeros(len(due_s), dtype=np.bool_)
    for span in spans:
        inside |= (due_s >= span.start_s) & (due_s <= span.end_s)
    return inside


def slo(run: Observed, measured: Measured, lag_windows: Sequence[Span]) -> list[Finding]:
    """One finding for every limit of the scenario, met or not."""
    return [
        _failed(run, limit) if limit.metric == "failed" else _latency(run, measured, lag_windows, limit)
        for limit in run.info.limits
    ]


def _finding(
    limit: Limit, *, passed: bool, measured: float | None, advice: str, severity: Severity = "fail"
) -> Finding:
    declared = codes.SLO[limit.metric, limit.statistic]
    return declared.finding(passed=passed, measured=measured, limit=limit.limit, advice=advice, severity=severity)


def _unmeasured(limit: Limit, advice: str) -> Finding:
    """A limit without any value to compare with: the run cannot be judged."""
    return _finding(limit, passed=False, measured=None, advice=advice, severity="invalid")


def _failed(run: Observed, limit: Limit) -> Finding:
    judged = run.requests.judged
    count, failed = int(judged.sum()), int((judged & ~run.requests.ok).sum())
    if not count:
        return _unmeasured(limit, "No request was due, so there is nothing to judge.")
    share = failed / count
    summary = f"{failed:,} of {count:,} requests failed"
    passed = share <= limit.limit
    advice = f"{summary}." if passed else f"{summary}: see the causes in the outcomes table, most frequent first."
    return _finding(limit, passed=passed, measured=share, advice=advice)


def _latency(run: Observed, measured: Measured, lag_windows: Sequence[Span], limit: Limit) -> Finding:
    values, due = _values(run, measured, limit.metric)
    if not len(values):
        reason = "no request was due" if not run.requests.judged.any() else "no response was streamed"
        return _unmeasured(limit, f"Not measured, because {reason}: check `stream` and the load.")
    value = quantile(values, QUANTILES[limit.statistic])
    slow = values > limit.limit
    noun = "token gaps" if limit.metric == "itl" else "requests"
    if not slow.any():
        advice = f"All {len(values):,} {noun} were within {limit.limit:g} s."
        return _finding(limit, passed=True, measured=value, advice=advice)
    slow_count = int(slow.sum())
    share = f"{_percent(slow_count / len(values))}, {_allowed(limit)} allowed"
    summary = f"{slow_count:,} of {len(values):,} {noun} were slower than {limit.limit:g} s ({share})"
    if value <= limit.limit:
        return _finding(limit, passed=True, measured=value, advice=f"{summary}.")
    if math.isinf(value):
        over = "At least one" if limit.statistic == "max" else f"More than {_allowed(limit)}"
        never = f"{int(np.isinf(values).sum()):,} of {len(values):,}"
        advice = f"{over} of the requests ({never}) {_NEVER[limit.metric]}: see the outcomes table for the causes."
        return _finding(limit, passed=False, measured=None, advice=advice)
    advice = f"{summary}{_scaling_advice(slow, due, lag_windows)}"
    return _finding(limit, passed=False, measured=value, advice=advice)


def _allowed(limit: Limit) -> str:
    """The share of requests that may be slower than the limit."""
    return "none" if limit.statistic == "max" else _percent(1 - QUANTILES[limit.statistic])


def _percent(share: float) -> str:
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.1f}".removesuffix(".0") + " %"


def _scaling_advice(slow: Bools, due_s: Floats, lag_windows: Sequence[Span]) -> str:
    """Whether the slow requests coincide with scale-ups, and the advice for either case."""
    if not lag_windows:
        return ": the replicas cannot serve this load within the limit; add replicas or lower the load."
    inside = int((slow & in_spans(lag_windows, due_s)).sum())
    share = inside / max(int(slow.sum()), 1)
    summary = f", {share * 100:.0f} % of them due during a scale-up"
    if share >= 0.5:
        return f"{summary}: shorten the longest step of the scale-up, scale earlier, or keep more replicas ready."
    return f"{summary}: most were slow outside scale-ups; allow more replicas or look for a queue elsewhere."


def _values(run: Observed, measured: Measured, metric: str) -> tuple[Floats, Floats]:
    """The values that a limit applies to and the due time of each request; missing responses count as +inf."""
    requests = run.requests
    judged, ok = requests.judged, requests.ok
    if metric == "itl":
        use = judged[measured.gap_row]
        return measured.gap_s[use], requests.scheduled_s[measured.gap_row[use]]
    if metric == "ttft":
        return judged_ttft_s(run), requests.scheduled_s[judged]
    if metric == "e2e":
        return _missing_as_inf(requests.e2e_s[judged]), requests.scheduled_s[judged]
    tpot = np.where(ok, measured.tpot_s, np.inf)
    # An ok request of a single token has no gap; where nothing has one, nothing was streamed.
    use = judged & ~np.isnan(tpot)
    if not np.isfinite(tpot[use]).any():
        return np.empty(0), np.empty(0)
    return tpot[use], requests.scheduled_s[use]


def _missing_as_inf(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.inf, values)
