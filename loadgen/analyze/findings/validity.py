"""Whether the run can be judged at all: the generator, the signal, the amount of evidence."""

import math

import numpy as np

from loadgen.analyze.findings.cluster import one_pod
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.queueing import truth
from loadgen.analyze.results import Finding
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import quantile
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import EventKind, GapSource, SignalName

CLOCK_S = 0.001
"""How far two times of one request may contradict each other: the resolution of what stamps them."""


def validity(run: Observed, fleet: Fleet) -> list[Finding]:
    """One finding for every condition of a verdict, met or not."""
    findings = [_ended(run), _rows(run), _send_lag(run), _samples(run), _order(run)]
    if run.length_s is None:
        findings.insert(0, _check("load", "Load", False, None, None, "s", "No load started: see the logs of the run."))
    if run.info.autoscaler is not None:
        findings += _signal(run, fleet)
    return findings + one_pod(run, fleet)


def ready_spans(run: Observed, fleet: Fleet) -> list[Interval]:
    """Spans of the load in which a replica was ready; all of it when no replica was observed."""
    due = run.requests.scheduled_s[run.requests.due]
    end = min(run.end_s, float(due[-1])) if len(due) else run.end_s
    if not fleet.pods:
        return [(0.0, end)] if end > 0 else []
    edges = np.concatenate(([0.0], fleet.ready.t_s[(fleet.ready.t_s > 0) & (fleet.ready.t_s < end)], [end]))
    held = fleet.ready.at(edges[:-1])
    spans: list[Interval] = []
    for start, stop, count in zip(edges[:-1].tolist(), edges[1:].tolist(), held.tolist(), strict=True):
        if not count > 0 or stop <= start:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


def sample_times(run: Observed) -> Floats:
    """Every time at which the ratio of any replica was sampled."""
    pods = run.signals.get(SignalName.RATIO, {})
    return np.unique(np.concatenate([series.t_s for series in pods.values()])) if pods else np.empty(0)


def _idle_scrapes(run: Observed) -> Floats:
    """Scrapes that worked while there was no compute: a rule may then leave the ratio out, as it is undefined."""
    if SignalName.RAW_COMPUTE_US not in run.signals:
        return np.empty(0)
    worked = [series.t_s[series.value > 0] for series in run.signals.get(SignalName.UP, {}).values()]
    times = np.unique(np.concatenate(worked)) if worked else np.empty(0)
    idle: Floats = times[np.isnan(truth(run, times))]
    return idle


def longest_gap(times: Floats, spans: list[Interval]) -> Interval | None:
    """The longest time without a sample inside one of the spans; None without a span."""
    worst: Interval | None = None
    for start, end in spans:
        edges = np.concatenate(([start], times[(times > start) & (times < end)], [end]))
        index = int(np.argmax(np.diff(edges)))
        gap = (float(edges[index]), float(edges[index + 1]))
        if worst is None or gap[1] - gap[0] > worst[1] - worst[0]:
            worst = gap
    return worst


def span_text(start_s: float, end_s: float) -> str:
    """A window in words, as `Finding.window` has it."""
    return f"from {start_s:.1f} s to {end_s:.1f} s"


def _check(
    name: str,
    title: str,
    passed: bool,
    measured: float | None,
    limit: float | None,
    unit: str,
    advice: str,
    window: str = "whole run",
) -> Finding:
    return Finding(
        code=f"validity.{name}",
        severity="invalid",
        passed=passed,
        title=title,
        measured=measured,
        limit=limit,
        unit=unit,
        window=window,
        advice=advice,
    )


def _ended(run: Observed) -> Finding:
    advice = {
        "finished": "Every due request has its answer.",
        "stopped": "The run was stopped early on purpose; what the stop ended is shown and not judged.",
    }.get(
        run.info.state,
        f"The load broke off {run.end_s:.0f} s after its start, because the tool or a part of it died: what was "
        f"recorded until then is shown; "
        f"read the logs of the run, then run it again.",
    )
    return _check("interrupted", "Run ended in order", not run.interrupted, None, None, "s", advice)


def _rows(run: Observed) -> Finding:
    ids = np.unique(run.requests.ids)
    highest = int(ids[-1]) + 1 if len(ids) else 0
    known = run.info.expected_rows
    expected = highest if known is None or run.interrupted else max(known, highest)
    missing = expected - len(ids)
    advice = (
        "Every request that was due has its row."
        if not missing
        else f"{missing:,} of {expected:,} requests that were due have no row, so nobody knows what became of them: "
        f"a load process died or lost them; read the logs of the run, then run it again."
    )
    return _check("rows", "Due requests without a row", not missing, float(missing), 0.0, "count", advice)


def _send_lag(run: Observed) -> Finding:
    limit = run.info.validity.send_lag_p99_s
    lag = run.requests.send_lag_s[run.requests.judged]
    late = np.where(np.isnan(lag), np.inf, lag)
    measured = quantile(late, 0.99)
    never = int(np.isinf(late).sum())
    if not len(late):
        advice, measured = "No request was due, so nothing is known of the generator.", math.inf
    elif measured <= limit:
        advice = "Requests went out when they were due."
    elif math.isinf(measured):
        advice = (
            f"{never:,} of {len(late):,} due requests were never sent, because no user was free: "
            f"raise the number of users, use more processes, or lower the rate."
        )
    else:
        advice = (
            "The generator itself was late, so the latencies say as much about this machine as about the server: "
            "use more processes (--processes), another machine, or a lower rate."
        )
    known = measured if math.isfinite(measured) else None
    return _check("send_lag", "Send lag p99", measured <= limit, known, limit, "s", advice)


def _samples(run: Observed) -> Finding:
    answered, limit = int(run.requests.ok.sum()), run.info.validity.min_samples
    passed = answered >= limit
    advice = (
        f"{answered:,} answered requests are enough to judge."
        if passed
        else f"{answered:,} answered requests are too few for percentiles: run longer or at a higher rate."
    )
    return _check("samples", "Answered requests", passed, float(answered), float(limit), "count", advice)


def _order(run: Observed) -> Finding:
    requests = run.requests
    steps = [requests.scheduled_s, requests.sent_s, requests.first_s, requests.last_s, requests.ended_s]
    wrong = np.zeros(len(requests), dtype=np.bool_)
    for number, earlier in enumerate(steps):
        for later in steps[number + 1 :]:
            wrong |= later < earlier - CLOCK_S
    count = int(wrong.sum())
    advice = (
        "The times of every request are in order."
        if not count
        else f"{count:,} requests have times that contradict each other, such as a token before the request: "
        f"the clock of a load process is wrong; run all load processes on one host."
    )
    return _check("clock", "Requests with contradictory times", not count, float(count), 0.0, "count", advice)


def _signal(run: Observed, fleet: Fleet) -> list[Finding]:
    times = sample_times(run)
    during = int(((times >= 0) & (times <= run.end_s)).sum())
    if not during:
        advice = (
            "Nothing of the ratio was recorded while the load ran, so scaling cannot be judged: "
            "check that Prometheus scrapes the replicas and that the recording rule has their labels."
        )
        return [_check("signal", "Samples of the ratio", False, 0.0, 1.0, "count", advice)]
    found = _check("signal", "Samples of the ratio", True, float(during), 1.0, "count", "The ratio was recorded.")
    limit = run.info.validity.scrape_gap_s
    gap = longest_gap(np.union1d(times, _idle_scrapes(run)), ready_spans(run, fleet))
    if gap is None:
        advice = (
            "No replica was ready while the load ran, so there was nothing to sample: see the logs of the replicas."
        )
        return [found, _check("scrape_gap", "Longest gap of the ratio", False, None, limit, "s", advice)]
    length = gap[1] - gap[0]
    advice = "The ratio was sampled throughout." if length <= limit else _unseen(run, gap)
    window = span_text(*gap)
    return [
        found,
        _check("scrape_gap", "Longest gap of the ratio", length <= limit, length, limit, "s", advice, window),
    ]


def _unseen(run: Observed, span: Interval) -> str:
    """Why the ratio was not seen in this time, as far as the collection knows."""
    gaps = [event for event in run.of_kind(EventKind.COLLECT_GAP) if event.data.get("source") == GapSource.PROMETHEUS]
    if any(event.t_s < span[1] and event.until_s > span[0] for event in gaps):
        return (
            "Nothing came from Prometheus in this time, and the autoscaler reads its metric there: what it did then "
            "says nothing of its settings. Find out what became of Prometheus (its pod, its node, its log), and run "
            "again."
        )
    return (
        "The autoscaler's input was not seen for this long: see whether Prometheus or the collector stalled (logs/), "
        "and free the machine."
    )
