"""Summarizes a run in sentences, for the page, Markdown and the console.

Every sentence is built from values that may be missing. A missing value is left out or reported as "not measured",
with the reason where the analysis gives one.
"""

from loadgen.analyze.findings import codes
from loadgen.analyze.results import Analysis, Finding, Headline, SignalTruth
from loadgen.dataset.names import Cause, Outcome, SignalName
from loadgen_reports import format as fmt
from loadgen_reports.attainment import violation_sentence, worst_windows
from loadgen_reports.chance import too_close
from loadgen_reports.finding_text import (
    SYMBOL,
    finding_sentence,
    limit_statement,
    list_item,
    missed_limits,
    notable,
    sentence,
    uncapitalize,
)
from loadgen_reports.in_time import in_time_line
from loadgen_reports.lag_sentences import lag_breakdown, lag_sentence, lag_statement, worst_scale_up
from loadgen_reports.warm_up import warm_up_sentences

SIGNAL_LABELS = {name.value: name.label for name in SignalName}
VERDICT = {"pass": "PASS", "fail": "FAIL", "invalid": "INVALID"}
_OUTCOME_PHRASES: dict[str, str] = {
    Outcome.REJECTED: "rejected",
    Outcome.TIMEOUT: "timed out",
    Outcome.ERROR: "ended in an error",
    Outcome.CUT_OFF: "cut off",
    Outcome.NOT_SENT: "never sent",
}
_NEEDS_AUXILIARY = {Outcome.REJECTED, Outcome.CUT_OFF, Outcome.NOT_SENT}
_MIN_SHARE_IN_LAG = 0.5
"""If at least this share of the slow requests was due in a lag window, the summary starts with the lag."""


def opening(analysis: Analysis) -> list[str]:
    """The opening paragraph, sentence by sentence: verdict, lag and its steps, slow requests, replicas, cost."""
    if analysis.run.state == "never_started":
        return [fmt.clean(_never_started(analysis))]
    lag_first = _lag_explains_failure(analysis)
    sentences = _lead(analysis, lag_first=lag_first) + violation_sentence(analysis)
    if analysis.run.state != "finished" and not _end_is_reported(analysis):
        sentences.append(_end_sentence(analysis))
    if analysis.whole.scheduled == 0:
        sentences.append("No request was scheduled, so there is nothing to measure.")
    if not lag_first:
        sentences += lag_sentence(analysis)
    sentences += _slow(analysis)
    if lag_first:
        # The first sentence is about the lag, so all missed limits are listed here.
        missed = missed_limits(analysis)
        listed = fmt.join_list(list_item(f) for f in missed)
        sentences.append(f"{fmt.plural(len(missed), 'Limit')} missed: {listed}.")
    sentences += warm_up_sentences(analysis)
    sentences += _unanswered(analysis)
    sentences += lag_breakdown(analysis)
    sentences += _fleet(analysis)
    sentences += _cost(analysis)
    return [fmt.clean(text) for text in sentences]


def summary_lines(analysis: Analysis) -> list[str]:
    """The summary for a console: whether the fleet was in time, the opening, and the notable findings."""
    lines = [line for line in (in_time_line(analysis), *opening(analysis)) if line]
    for finding in listed_findings(analysis):
        lines.append(f"  {SYMBOL[finding.severity]} {finding_sentence(finding)}")
    if analysis.run.emulated:
        lines.append(f"  {fmt.clean(emulation(analysis.run.emulated))}")
    return lines


def listed_findings(analysis: Analysis) -> list[Finding]:
    """The findings that are listed below the opening; the reason why a run never started is in the opening."""
    never = analysis.run.state == "never_started"
    return [f for f in notable(analysis) if not (never and f.severity == "invalid")]


def emulation(text: str) -> str:
    """The sentence about emulated parts; it always contains the word `emulated`."""
    return sentence(text) if "emulated" in text.lower() else f"Emulated: {text}"


def signal_sentence(analysis: Analysis) -> str | None:
    """Whether the signal can be trusted, and why; None without an autoscaler."""
    truth = analysis.signal
    if truth is None or analysis.run.ratio_target is None:
        return None
    unknown = truth.verdict == "not known"
    start = "Whether the signal can be trusted is not known" if unknown else f"The signal is {truth.verdict}"
    return fmt.clean(f"{start}: {uncapitalize(sentence(truth.reason))}{_alternative(truth)}")


def _alternative(truth: SignalTruth) -> str:
    """The recorded series that responds better than the ratio, as a sentence; empty where none does."""
    best = truth.candidates[0] if truth.candidates else None
    if best is None or best.signal == SignalName.RATIO or best.blind or not fmt.known(best.lead_s):
        return ""
    order = "before" if best.lead_s >= 0 else "after"
    label = SIGNAL_LABELS.get(best.signal, best.signal)
    lead = f"{fmt.tenths(abs(best.lead_s))} {order} a limit was broken"
    return f" The recorded series that responded best is {label}, {lead}."


def replica_span(headline: Headline) -> str | None:
    """The lowest, peak and last replica count, as `1 → 3 → 1`; None when replicas were not observed."""
    low, peak, last = headline.lowest_replicas, headline.peak_replicas, headline.last_replicas
    if low is None or peak is None:
        return None
    if low == peak and last in (None, peak):
        return str(peak)
    return f"{low} → {peak}" if last is None else f"{low} → {peak} → {last}"


def _lead(analysis: Analysis, *, lag_first: bool) -> list[str]:
    start = VERDICT[analysis.verdict]
    worst = worst_windows(analysis)
    if analysis.verdict == "pass":
        judged = sum(f.severity == "fail" for f in analysis.findings)
        if any(f.code == codes.SCALING_NOT_TESTED.code for f in analysis.findings):
            start = f"{start}, scaling not tested"
        if judged == 0:
            return [f"{start}: no limit was set, so nothing could fail."]
        met = {1: "the one limit was", 2: "both limits were"}.get(judged, f"all {fmt.number_word(judged)} limits were")
        exception = f" over the whole run, but {worst}" if worst else ""
        return [f"{start}: {met} met{exception}{too_close(analysis)}."]
    if analysis.verdict == "invalid":
        reasons = [f for f in analysis.findings if f.severity == "invalid" and not f.passed]
        items = [list_item(f) for f in missed_limits(analysis)]
        unreliable = [f"Measured, but not reliable: {fmt.join_list(items)}."] if items else []
        return [
            f"{start}: this run cannot be judged.",
            *(finding_sentence(f, advice=False) for f in reasons),
            *unreliable,
        ]
    also = (f"; {worst}" if worst else "") + too_close(analysis)
    if lag_first:
        return [f"{start}: {lag_statement(analysis, suffix='')}{also}."]
    missed = missed_limits(analysis)
    if not missed:
        return [f"{start}."]
    first = f"{start}: {limit_statement(missed[0])}{also}."
    if len(missed) == 1:
        return [first]
    return [first, f"Also missed: {fmt.join_list(list_item(f) for f in missed[1:])}."]


def _never_started(analysis: Analysis) -> str:
    """The only sentence of the opening; warnings, such as a crashed replica, are listed below it."""
    reasons = [f for f in analysis.findings if f.severity == "invalid" and not f.passed]
    reason = finding_sentence(reasons[0]) if reasons else "The run never started."
    return f"{VERDICT[analysis.verdict]}: {uncapitalize(reason)}"


def _end_is_reported(analysis: Analysis) -> bool:
    """Whether a finding that makes the run invalid already says how it ended."""
    return any(f.code == codes.INTERRUPTED.code and not f.passed for f in analysis.findings)


def _end_sentence(analysis: Analysis) -> str:
    length, stopped = analysis.run.length_s, analysis.whole.stopped
    when = f" after {fmt.rounded_duration(length)}" if fmt.known(length) else ""
    if analysis.run.state == "interrupted":
        return f"The run was interrupted{when}; the report covers what was recorded until then."
    cause = analysis.run.stop_cause
    ended = f"The run was stopped early{when}{f' {cause.label}' if cause else ''}"
    if not stopped:
        return f"{ended}."
    verb = "was" if stopped == 1 else "were"
    cut_off = f"{fmt.count(stopped)} {fmt.plural(stopped, 'request')} in flight {verb} cut off"
    return f"{ended}; {cut_off} and {verb} judged by {'its' if stopped == 1 else 'their'} age."


def _lag_explains_failure(analysis: Analysis) -> bool:
    """Whether the lag was measured and explains the slow requests."""
    head = analysis.headline
    if analysis.verdict != "fail" or not fmt.known(head.lag_s) or head.lag_s <= 0 or worst_scale_up(analysis) is None:
        return False
    if not any(f.code in codes.SLO_METRICS and f.unit == "s" for f in missed_limits(analysis)):
        return False
    return bool(head.slow_requests and head.slow_in_lag and head.slow_in_lag >= _MIN_SHARE_IN_LAG * head.slow_requests)


def _slow(analysis: Analysis) -> list[str]:
    head = analysis.headline
    if head.slow_requests is None or not fmt.known(head.ttft_limit_s):
        return []
    limit = f"TTFT ≤ {fmt.seconds(head.ttft_limit_s)}"
    unknown = _unknown(head)
    if head.judged_requests < 1:
        return [f"Whether a request met {limit} is not known: {unknown}."] if unknown else []
    requests = fmt.plural(head.judged_requests, "request")
    more = f"; {unknown}" if unknown else ""
    if head.slow_requests == 0:
        if head.judged_requests == 1:
            return [f"The one request met {limit}{more}."]
        return [f"All {fmt.count(head.judged_requests)} {requests} met {limit}{more}."]
    text = f"{fmt.count(head.slow_requests)} of {fmt.count(head.judged_requests)} {requests} exceeded {limit}"
    return [text + (_share_by_lag(analysis) or _share_in_lag_windows(head, len(analysis.lag_windows))) + more + "."]


def _unknown(head: Headline) -> str:
    """The requests whose TTFT the stop left unknown; empty without any."""
    if not head.unknown_requests:
        return ""
    number, noun = fmt.count(head.unknown_requests), fmt.plural(head.unknown_requests, "younger request")
    return f"{number} {noun} had no first token yet when the run was stopped"


def _share_by_lag(analysis: Analysis) -> str:
    """The share of the slow requests that is due to the lag, where two replays can tell; empty where they cannot."""
    cause = analysis.demand.attribution
    if cause is None or not cause.conclusive or cause.slow != analysis.headline.slow_requests:
        return ""
    timely = analysis.headline.in_time
    # Without an autoscaler nothing lags: the fleet is too small.
    too_small = cause.by_lag and timely is not None and timely.answer == "not_tested"
    why = "the fleet was too small" if too_small else "of the lag"
    if cause.slow == 1:
        return f", {'' if cause.by_lag else 'not '}because {why}"
    if not cause.by_lag:
        return f", none of them because {why}"
    share = "all" if cause.by_lag == cause.slow else fmt.percent(cause.by_lag / cause.slow)
    return f", {share} of them because {why}"


def _share_in_lag_windows(head: Headline, windows: int) -> str:
    if head.slow_in_lag is None or not head.slow_requests or windows == 0:
        return ""
    place = "the lag window" if windows == 1 else f"the {fmt.number_word(windows)} lag windows"
    if head.slow_requests == 1:
        place = "the lag window" if windows == 1 else f"one of {place}"
        return f", {'' if head.slow_in_lag else 'not '}inside {place}"
    if head.slow_in_lag == 0:
        return f", none of them inside {place}"
    share = "all" if head.slow_in_lag >= head.slow_requests else fmt.percent(head.slow_in_lag / head.slow_requests)
    return f", {share} of them inside {place}"


def _unanswered(analysis: Analysis) -> list[str]:
    """Failed requests by outcome, without those that a stop of the run ended."""
    totals: dict[str, int] = {}
    for row in analysis.outcomes:
        if row.outcome != Outcome.OK and row.cause != Cause.RUN_STOPPED:
            totals[row.outcome] = totals.get(row.outcome, 0) + row.count
    failed, scheduled = sum(totals.values()), analysis.whole.scheduled
    if failed == 0 or scheduled == 0:
        return []
    of_all = f"{fmt.count(failed)} of {fmt.count(scheduled)} {fmt.plural(scheduled, 'request')}"
    if len(totals) == 1:
        return [f"{of_all} {_outcome_phrase(next(iter(totals)), failed)}."]
    by_outcome = fmt.join_list(
        f"{fmt.count(number)} {_outcome_phrase(outcome, number)}" for outcome, number in totals.items()
    )
    return [f"{of_all} did not complete: {by_outcome}."]


def _outcome_phrase(outcome: str, number: int) -> str:
    verb = ("was " if number == 1 else "were ") if outcome in _NEEDS_AUXILIARY else ""
    return verb + _OUTCOME_PHRASES.get(outcome, f"ended as {outcome}")


def _fleet(analysis: Analysis) -> list[str]:
    head, run = analysis.headline, analysis.run
    low, peak, last = head.lowest_replicas, head.peak_replicas, head.last_replicas
    if low is None or peak is None:
        if run.ratio_target is None and not analysis.scaling:
            endpoint = "" if run.target in ("local", "sandbox") else f" behind {run.target}"
            return [f"The replicas{endpoint} were not observed, so replica counts, lag and cost are unknown."]
        return ["The number of ready replicas was not measured."]
    if low == peak and last in (None, peak):
        constant = f"{fmt.count(peak)} {fmt.plural(peak, 'replica')} served throughout"
        unchanged = "; the autoscaler never changed the replica count" if run.ratio_target is not None else ""
        return [f"{constant}{unchanged}."]
    end = f", and ended at {fmt.count(last)}" if last is not None else ""
    return [f"The fleet ran between {fmt.count(low)} and {fmt.count(peak)} replicas{end}."]


def _cost(analysis: Analysis) -> list[str]:
    """Cost compared with static peak, and with the smallest fixed fleet that can serve the load.

    The static peak alone would favour an autoscaler that overshoots.
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
    conjunction = "but" if cost.of_needed_ratio > 1 else "and"
    fleet = "one replica" if needed == 1 else _replicas(needed)
    return [f"{text}, {conjunction} {fmt.percent(cost.of_needed_ratio)} of the {fleet} that this load needs."]


def _replicas(count: int) -> str:
    return f"{fmt.count(count)} {fmt.plural(count, 'replica')}"
