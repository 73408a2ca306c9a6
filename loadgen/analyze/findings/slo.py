"""The scenario's limits against what was measured: one finding each."""

import math
from collections.abc import Sequence

import numpy as np

from loadgen.analyze.latency import Measured
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import Finding, Severity, Span
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit

_TITLES = {"ttft": "TTFT", "itl": "ITL", "tpot": "TPOT", "e2e": "E2E", "failed": "Failed requests"}
_NEVER = {
    "ttft": "never got a first token",
    "tpot": "never got their last token",
    "e2e": "never got their last token",
}


def judged_ttft_s(run: Observed) -> Floats:
    """TTFT of every request that is judged; +inf when its first token never came."""
    return _or_never(run.requests.ttft_s[run.requests.judged])


def within(spans: Sequence[Span], due_s: Floats) -> Bools:
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
    limit: Limit, passed: bool, measured: float | None, advice: str, unit: str = "s", severity: Severity = "fail"
) -> Finding:
    name = "" if limit.metric == "failed" else f" {limit.statistic}"
    return Finding(
        code=f"slo.{limit.metric}.{limit.statistic}",
        severity=severity,
        passed=passed,
        title=f"{_TITLES[limit.metric]}{name}",
        measured=measured,
        limit=limit.limit,
        unit=unit,
        window="whole run",
        advice=advice,
    )


def _failed(run: Observed, limit: Limit) -> Finding:
    judged = run.requests.judged
    count, failed = int(judged.sum()), int((judged & ~run.requests.ok).sum())
    if not count:
        return _finding(limit, False, None, "No request was due, so there is nothing to judge.", "ratio", "invalid")
    share = failed / count
    said = f"{failed:,} of {count:,} requests did not end ok"
    passed = share <= limit.limit
    advice = f"{said}." if passed else f"{said}: the outcomes table names the causes; start with the most frequent."
    return _finding(limit, passed, share, advice, "ratio")


def _latency(run: Observed, measured: Measured, lag_windows: Sequence[Span], limit: Limit) -> Finding:
    values, due = _values(run, measured, limit.metric)
    if not len(values):
        why = "no request was due" if not run.requests.judged.any() else "no answer came in more than one piece"
        return _finding(limit, False, None, f"Not measured, because {why}: see `stream` and the load.", "s", "invalid")
    value = quantile(values, QUANTILES[limit.statistic])
    slow = values > limit.limit
    what = "token gaps" if limit.metric == "itl" else "requests"
    if not slow.any():
        return _finding(limit, True, value, f"All {len(values):,} {what} were within {limit.limit:g} s.")
    many = int(slow.sum())
    share = f"{_percent(many / len(values))}, and {_allowed(limit)} may be"
    said = f"{many:,} of {len(values):,} {what} were slower than {limit.limit:g} s ({share})"
    if value <= limit.limit:
        return _finding(limit, True, value, f"{said}.")
    if math.isinf(value):
        over = "At least one" if limit.statistic == "max" else f"More than {_allowed(limit)}"
        never = f"{int(np.isinf(values).sum()):,} of {len(values):,}"
        return _finding(
            limit, False, None, f"{over} of the requests ({never}) {_NEVER[limit.metric]}: see the outcomes for why."
        )
    return _finding(limit, False, value, f"{said}{_where(slow, due, lag_windows)}")


def _allowed(limit: Limit) -> str:
    """The share that may be slower than the limit."""
    return "none" if limit.statistic == "max" else _percent(1 - QUANTILES[limit.statistic])


def _percent(share: float) -> str:
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.1f}".removesuffix(".0") + " %"


def _where(slow: Bools, due_s: Floats, lag_windows: Sequence[Span]) -> str:
    """Whether the slow ones fall together with scale-ups, and what that asks for."""
    if not lag_windows:
        return ": the replicas cannot carry this load within the limit; add replicas or lower the load."
    inside = int((slow & within(lag_windows, due_s)).sum())
    share = inside / max(int(slow.sum()), 1)
    said = f", {share * 100:.0f} % of them due while a scale-up was under way"
    if share >= 0.5:
        return f"{said}: shorten the longest link of the lag chain, scale earlier, or keep more replicas ready."
    return f"{said}: most were slow with the replicas in place; allow more replicas or look for a queue elsewhere."


def _values(run: Observed, measured: Measured, metric: str) -> tuple[Floats, Floats]:
    """Values that the limit is about and the due time of each one's request; what never came is +inf."""
    requests = run.requests
    judged, ok = requests.judged, requests.ok
    if metric == "itl":
        use = judged[measured.gap_row]
        return measured.gap_s[use], requests.scheduled_s[measured.gap_row[use]]
    if metric == "ttft":
        return judged_ttft_s(run), requests.scheduled_s[judged]
    if metric == "e2e":
        return _or_never(requests.e2e_s[judged]), requests.scheduled_s[judged]
    tpot = np.where(ok, measured.tpot_s, np.inf)
    # An ok request of a single token has no gap; where nothing has one, nothing was streamed.
    use = judged & ~np.isnan(tpot)
    if not np.isfinite(tpot[use]).any():
        return np.empty(0), np.empty(0)
    return tpot[use], requests.scheduled_s[use]


def _or_never(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.inf, values)
