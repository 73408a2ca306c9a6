"""Compares the attainment of a run, and its time in violation, with the limits of the scenario."""

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Attainment, Finding, Severity
from loadgen.base.display import clock
from loadgen.dataset.run_info import Limit

_LET_FINISH = "Let requests in flight finish (--stop-timeout), or run the load to its end."


def attainment_limits(run: Observed, attained: Attainment | None) -> list[Finding]:
    """One finding for every limit on the attainment or on the time in violation, met or not."""
    limits = [limit for limit in run.info.limits if limit.metric in ("attainment", "in_violation")]
    return [_finding(limit, attained) for limit in limits]


def _finding(limit: Limit, attained: Attainment | None) -> Finding:
    if attained is None:
        advice = (
            "Not measured, because no request was due or there is no limit for single requests: check the load, and "
            "set a limit such as `ttft_p95_s`."
        )
        return _judged(limit, passed=False, measured=None, advice=advice, severity="invalid")
    return _attainment(limit, attained) if limit.metric == "attainment" else _in_violation(limit, attained)


def _judged(
    limit: Limit, *, passed: bool, measured: float | None, advice: str, severity: Severity = "fail", unknown: int = 0
) -> Finding:
    return codes.SLO[limit.metric, limit.statistic].finding(
        passed=passed, measured=measured, limit=limit.limit, advice=advice, severity=severity, unknown=unknown
    )


def _attainment(limit: Limit, attained: Attainment) -> Finding:
    whole = attained.whole
    summary = f"{whole.attained:,} of {whole.requests:,} requests {_met(attained)}"
    if whole.attainment_lower < limit.limit <= whole.attainment_upper:
        advice = (
            f"{summary}, and {whole.unknown:,} more were open when the run was stopped and still could. {_LET_FINISH}"
        )
        return _judged(limit, passed=False, measured=None, severity="invalid", unknown=whole.unknown, advice=advice)
    if whole.unknown:
        summary += f"; {whole.unknown:,} more, open when the run was stopped, cannot change this"
    if whole.attainment_lower >= limit.limit:
        return _judged(limit, passed=True, measured=whole.attainment_lower, advice=f"{summary}.")
    advice = f"{summary}: see the windows in violation for when the others were due."
    return _judged(limit, passed=False, measured=whole.attainment_upper, advice=advice)


def _in_violation(limit: Limit, attained: Attainment) -> Finding:
    lower, upper = attained.in_violation_lower_s, attained.in_violation_upper_s
    violated = sum(window.in_violation is True for window in attained.windows)
    unknown = sum(window.in_violation is None for window in attained.windows)
    summary = (
        f"In {violated:,} of {len(attained.windows):,} windows of {attained.window_s:g} s, fewer than "
        f"{attained.target_ratio * 100:g} % of the requests {_met(attained)}"
    )
    if lower <= limit.limit < upper:
        advice = (
            f"{summary}, and in {unknown:,} more it is not known, because requests were open when the run was "
            f"stopped. {_LET_FINISH}"
        )
        still_open = attained.whole.unknown
        return _judged(limit, passed=False, measured=None, severity="invalid", unknown=still_open, advice=advice)
    if upper <= limit.limit:
        return _judged(limit, passed=True, measured=upper, advice=f"{summary}.")
    worst = attained.windows[attained.worst_window]
    advice = (
        f"{summary}; the worst, from {clock(worst.start_s)} to {clock(worst.end_s)}, had "
        f"{worst.attainment_upper * 100:.3g} %. See the timeline for what happened then."
    )
    return _judged(limit, passed=False, measured=lower, advice=advice)


def _met(attained: Attainment) -> str:
    """What a request does to attain: `met TTFT ≤ 2 s and E2E ≤ 10 s`."""
    parts = [f"{metric.upper()} ≤ {limit:g} s" for metric, limit in attained.limits_s.items()]
    if not parts:
        return "were answered"
    return f"met {' and '.join([', '.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]}"
