"""Summarizes a run in sentences, for the page, Markdown and the console.

Every sentence is built from values that may be missing. A missing value is left out or reported as "not measured",
with the reason where the analysis gives one.
"""

from loadgen.analyze.findings import codes
from loadgen.analyze.results import Analysis, Finding, Headline
from loadgen.dataset.names import Cause, Outcome
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import (
    SYMBOL,
    failed,
    finding_sentence,
    in_brackets,
    mid,
    notable,
    sentence,
    statement_of,
)
from loadgen_reports.lag_text import lag, lag_parts, lag_statement, worst

VERDICT = {"pass": "PASS", "fail": "FAIL", "invalid": "INVALID"}
_ENDED: dict[str, str] = {
    Outcome.REJECTED: "rejected",
    Outcome.TIMEOUT: "timed out",
    Outcome.ERROR: "ended in an error",
    Outcome.CUT_OFF: "cut off",
    Outcome.NOT_SENT: "never sent",
}
_PASSIVE = {Outcome.REJECTED, Outcome.CUT_OFF, Outcome.NOT_SENT}
# From this share of slow requests on, the lag is what explains the run.
_LAG_EXPLAINS = 0.5


def opening(analysis: Analysis) -> list[str]:
    """The opening paragraph: verdict, lag, slow requests, where the lag went, the fleet, cost; one sentence each."""
    if analysis.run.state == "never_started":
        return [fmt.clean(_never_started(analysis))]
    lag_leads = _lag_leads(analysis)
    sentences = _lead(analysis, lag_leads=lag_leads)
    if analysis.run.state != "finished" and not _end_is_reported(analysis):
        sentences.append(_early_end(analysis))
    if analysis.whole.scheduled == 0:
        sentences.append("No request was scheduled, so there is nothing to measure.")
    if not lag_leads:
        sentences += lag(analysis)
    sentences += _slow(analysis)
    if lag_leads:
        # The lag leads, so every missed limit is named here: none must hide behind it.
        broken = failed(analysis)
        listed = fmt.join(in_brackets(f) for f in broken)
        sentences.append(f"{fmt.plural(len(broken), 'Limit')} missed: {listed}.")
    sentences += _unanswered(analysis)
    sentences += lag_parts(analysis)
    sentences += _fleet(analysis)
    sentences += _cost(analysis)
    return [fmt.clean(text) for text in sentences]


def summary_lines(analysis: Analysis) -> list[str]:
    """The end-of-run summary for a console: the opening, then one line for each finding that needs attention."""
    lines = opening(analysis)
    for finding in beside_the_opening(analysis):
        lines.append(f"  {SYMBOL[finding.severity]} {finding_sentence(finding)}")
    if analysis.run.emulated:
        lines.append(f"  {fmt.clean(emulation(analysis.run.emulated))}")
    return lines


def beside_the_opening(analysis: Analysis) -> list[Finding]:
    """The findings to list below the opening. For a run that never started, the opening already says why."""
    never = analysis.run.state == "never_started"
    return [f for f in notable(analysis) if not (never and f.severity == "invalid")]


def emulation(text: str) -> str:
    """The sentence that names what is emulated; it always contains the word."""
    return sentence(text) if "emulated" in text.lower() else f"Emulated: {text}"


def replica_span(headline: Headline) -> str | None:
    """The lowest, peak and last replica count, as `1 → 3 → 1`; None when it was not observed."""
    low, peak, last = headline.lowest_replicas, headline.peak_replicas, headline.last_replicas
    if low is None or peak is None:
        return None
    if low == peak and last in (None, peak):
        return str(peak)
    return f"{low} → {peak}" if last is None else f"{low} → {peak} → {last}"


def _lead(analysis: Analysis, *, lag_leads: bool) -> list[str]:
    start = VERDICT[analysis.verdict]
    if analysis.verdict == "pass":
        judged = sum(f.severity == "fail" for f in analysis.findings)
        idle = any(f.code == codes.SIGNAL_NEVER_CROSSED.code for f in analysis.findings)
        untested = "; scaling was not tested: the ratio never crossed its target" if idle else ""
        if judged == 0:
            return [f"{start}: no limit was set, so nothing could fail{untested}."]
        met = {1: "the one limit was", 2: "both limits were"}.get(judged, f"all {fmt.word(judged)} limits were")
        return [f"{start}: {met} met{untested}."]
    if analysis.verdict == "invalid":
        reasons = [f for f in analysis.findings if f.severity == "invalid" and not f.passed]
        seen = [in_brackets(f) for f in failed(analysis)]
        beside = [f"Measured, but not reliable: {fmt.join(seen)}."] if seen else []
        return [f"{start}: this run cannot be judged.", *(finding_sentence(f, advice=False) for f in reasons), *beside]
    if lag_leads:
        lag_sentence = lag_statement(analysis, extra="")
        return [f"{start}: {lag_sentence}."]
    broken = failed(analysis)
    if not broken:
        return [f"{start}."]
    first = f"{start}: {statement_of(broken[0])}."
    if len(broken) == 1:
        return [first]
    return [first, f"Also missed: {fmt.join(in_brackets(f) for f in broken[1:])}."]


def _never_started(analysis: Analysis) -> str:
    """The only sentence about such a run; warnings, such as a crashed replica, are listed below it."""
    reasons = [f for f in analysis.findings if f.severity == "invalid" and not f.passed]
    reason = finding_sentence(reasons[0]) if reasons else "The run never started."
    return f"{VERDICT[analysis.verdict]}: {mid(reason)}"


def _end_is_reported(analysis: Analysis) -> bool:
    """Whether a finding that makes the run invalid already says how it ended."""
    return any(f.code == codes.INTERRUPTED.code and not f.passed for f in analysis.findings)


def _early_end(analysis: Analysis) -> str:
    length, stopped = analysis.run.length_s, analysis.whole.stopped
    when = f" after {fmt.about(length)}" if fmt.known(length) else ""
    if analysis.run.state == "interrupted":
        return f"The run was interrupted{when}; the report covers what was recorded until then."
    ended = f"The run was stopped early{when}"
    if not stopped:
        return f"{ended}."
    verbs = ("was", "is") if stopped == 1 else ("were", "are")
    cut = f"{fmt.count(stopped)} {fmt.plural(stopped, 'request')} in flight {verbs[0]} cut off"
    return f"{ended}; {cut} and {verbs[1]} not judged."


def _lag_leads(analysis: Analysis) -> bool:
    """Whether the lag comes first: it was measured, and it explains the slow requests."""
    head = analysis.headline
    if analysis.verdict != "fail" or not fmt.known(head.lag_s) or worst(analysis) is None:
        return False
    if not any(f.code in codes.SLO_METRICS and f.unit == "s" for f in failed(analysis)):
        return False
    return bool(head.slow_requests and head.slow_in_lag and head.slow_in_lag >= _LAG_EXPLAINS * head.slow_requests)


def _slow(analysis: Analysis) -> list[str]:
    head = analysis.headline
    if head.slow_requests is None or not fmt.known(head.ttft_limit_s) or head.judged_requests < 1:
        return []
    limit = f"TTFT ≤ {fmt.seconds(head.ttft_limit_s)}"
    requests = fmt.plural(head.judged_requests, "request")
    if head.slow_requests == 0:
        if head.judged_requests == 1:
            return [f"The one request met {limit}."]
        return [f"All {fmt.count(head.judged_requests)} {requests} met {limit}."]
    text = f"{fmt.count(head.slow_requests)} of {fmt.count(head.judged_requests)} {requests} exceeded {limit}"
    return [text + _inside_lag(head, len(analysis.lag_windows)) + "."]


def _inside_lag(head: Headline, windows: int) -> str:
    if head.slow_in_lag is None or not head.slow_requests or windows == 0:
        return ""
    place = "the lag window" if windows == 1 else f"the {fmt.word(windows)} lag windows"
    if head.slow_requests == 1:
        place = "the lag window" if windows == 1 else f"one of {place}"
        return f", {'' if head.slow_in_lag else 'not '}inside {place}"
    if head.slow_in_lag == 0:
        return f", none of them inside {place}"
    share = "all" if head.slow_in_lag >= head.slow_requests else fmt.percent(head.slow_in_lag / head.slow_requests)
    return f", {share} of them inside {place}"


def _unanswered(analysis: Analysis) -> list[str]:
    """Requests that failed, and how; requests that the operator's stop ended are reported with the stop."""
    totals: dict[str, int] = {}
    for row in analysis.outcomes:
        if row.outcome != Outcome.OK and row.cause != Cause.RUN_STOPPED:
            totals[row.outcome] = totals.get(row.outcome, 0) + row.count
    lost, scheduled = sum(totals.values()), analysis.whole.scheduled
    if lost == 0 or scheduled == 0:
        return []
    of_all = f"{fmt.count(lost)} of {fmt.count(scheduled)} {fmt.plural(scheduled, 'request')}"
    if len(totals) == 1:
        return [f"{of_all} {_ended(next(iter(totals)), lost)}."]
    kinds = fmt.join(f"{fmt.count(number)} {_ended(outcome, number)}" for outcome, number in totals.items())
    return [f"{of_all} did not complete: {kinds}."]


def _ended(outcome: str, number: int) -> str:
    verb = ("was " if number == 1 else "were ") if outcome in _PASSIVE else ""
    return verb + _ENDED.get(outcome, f"ended as {outcome}")


def _fleet(analysis: Analysis) -> list[str]:
    head, run = analysis.headline, analysis.run
    low, peak, last = head.lowest_replicas, head.peak_replicas, head.last_replicas
    if low is None or peak is None:
        if run.ratio_target is None and not analysis.scaling:
            behind = "" if run.target in ("local", "sandbox") else f" behind {run.target}"
            return [f"The replicas{behind} were not observed, so replica counts, lag and cost are unknown."]
        return ["The number of ready replicas was not measured."]
    if low == peak and last in (None, peak):
        constant = f"{fmt.count(peak)} {fmt.plural(peak, 'replica')} served throughout"
        unchanged = "; the autoscaler never changed the replica count" if run.ratio_target is not None else ""
        return [f"{constant}{unchanged}."]
    end = f", and ended at {fmt.count(last)}" if last is not None else ""
    return [f"The fleet ran between {fmt.count(low)} and {fmt.count(peak)} replicas{end}."]


def _cost(analysis: Analysis) -> list[str]:
    """Cost against static peak, and against the smallest fixed fleet that carries the load.

    The first alone would flatter an autoscaler that overshoots.
    """
    cost = analysis.cost
    if not fmt.known(cost.of_static_ratio) or cost.static_replicas is None:
        return ["Cost: not measured."] if analysis.run.ratio_target is not None else []
    static, needed = cost.static_replicas, cost.needed_replicas
    text = f"Cost: {fmt.percent(cost.of_static_ratio)} of static peak ({_replicas(static)})"
    if needed is None or not fmt.known(cost.of_needed_ratio):
        return [f"{text}."]
    if needed == static:
        return [f"{text}, which is what this load needs."]
    if needed > static:
        return [f"{text}; this load needs {_replicas(needed)}."]
    but = "but" if cost.of_needed_ratio > 1 else "and"
    which = "one replica" if needed == 1 else _replicas(needed)
    return [f"{text}, {but} {fmt.percent(cost.of_needed_ratio)} of the {which} that this load needs."]


def _replicas(count: int) -> str:
    return f"{fmt.count(count)} {fmt.plural(count, 'replica')}"
