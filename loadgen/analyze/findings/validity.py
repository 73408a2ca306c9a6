"""Checks whether the run can be judged: the load generator, the scaling signal and the number of samples."""

import math
from collections import Counter

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.cluster import one_pod
from loadgen.analyze.findings.missing_signal import gap_advice, gaps_sentence, no_sample_advice
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.queueing import true_ratio
from loadgen.analyze.results import Finding, Window
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.gaps import signal_gaps
from loadgen.analyze.stats import quantile
from loadgen.analyze.steps import Interval
from loadgen.analyze.tokens import REPEATED, REVERSED
from loadgen.base.display import rounded_duration
from loadgen.dataset.names import Cause, SignalName

CLOCK_S = 0.001
"""Tolerance between two timestamps of one request: the resolution of their clocks."""


def validity(run: Observed, fleet: Fleet) -> list[Finding]:
    """One finding for every condition of validity, met or not."""
    findings = [_ended(run), _rows(run), _send_lag(run), _samples(run), _timestamps(run)]
    if run.length_s is None:
        findings.insert(0, never_started(run.info.error))
    if run.info.autoscaler is not None:
        findings += _signal(run, fleet)
    return findings + _generator(run) + one_pod(run, fleet)


def never_started(error: str | None) -> Finding:
    """The one finding of a run without a load.

    Args:
        error: The error that ended the run, if it is known.
    """
    reason = f"it failed with: {error}" if error else "see the error on the console and the logs of the run."
    return codes.LOAD.finding(measured=None, limit=None, advice=f"The load never started; {reason}")


def ready_spans(run: Observed, fleet: Fleet) -> list[Interval]:
    """Spans of the load in which a replica was ready; the whole load when no replica was observed."""
    due = run.requests.scheduled_s[run.requests.due]
    end = min(run.end_s, float(due[-1])) if len(due) else run.end_s
    if not fleet.pods:
        return [(0.0, end)] if end > 0 else []
    edges = np.concatenate(([0.0], fleet.ready.t_s[(fleet.ready.t_s > 0) & (fleet.ready.t_s < end)], [end]))
    counts = fleet.ready.at(edges[:-1])
    spans: list[Interval] = []
    for start, stop, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        if not count > 0 or stop <= start:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


def sample_times(run: Observed) -> Floats:
    """The times of all ratio samples of all replicas."""
    pods = run.signals.get(SignalName.RATIO, {})
    return np.unique(np.concatenate([series.t_s for series in pods.values()])) if pods else np.empty(0)


def idle_scrapes(run: Observed) -> Floats:
    """Times of successful scrapes without compute: the ratio is undefined then, so a rule may omit it."""
    if SignalName.RAW_COMPUTE_US not in run.signals:
        return np.empty(0)
    scraped = [series.t_s[series.value > 0] for series in run.signals.get(SignalName.UP, {}).values()]
    times = np.unique(np.concatenate(scraped)) if scraped else np.empty(0)
    idle: Floats = times[np.isnan(true_ratio(run, times))]
    return idle


def longest_gap(times: Floats, spans: list[Interval]) -> Interval | None:
    """The longest interval without a sample inside one of the spans; None without spans."""
    worst: Interval | None = None
    for start, end in spans:
        edges = np.concatenate(([start], times[(times > start) & (times < end)], [end]))
        index = int(np.argmax(np.diff(edges)))
        gap = (float(edges[index]), float(edges[index + 1]))
        if worst is None or gap[1] - gap[0] > worst[1] - worst[0]:
            worst = gap
    return worst


def _ended(run: Observed) -> Finding:
    info = run.info
    if info.state == "finished":
        advice = "Every scheduled request has its outcome."
    elif info.state == "stopped":
        by = f" {info.stop_cause.label}" if info.stop_cause else ""
        advice = f"The run was stopped early{by}; requests in flight at the stop are judged by their age."
    elif info.error:
        advice = f"The load was interrupted after {rounded_duration(run.end_s)} by an error: {info.error.rstrip('.')}."
    else:
        advice = (
            f"The load was interrupted after {rounded_duration(run.end_s)}, because the tool or one of its processes "
            f"died. The data recorded until then is shown: see the logs of the run, then run it again."
        )
    return codes.INTERRUPTED.finding(measured=None, limit=None, advice=advice, passed=not run.interrupted)


def _rows(run: Observed) -> Finding:
    ids = run.requests.ids  # each is there once
    highest = int(ids.max()) + 1 if len(ids) else 0
    known = run.info.expected_rows
    expected = highest if known is None or run.interrupted else max(known, highest)
    damaged = sum(each.count for each in run.damage if each.table == "requests" and each.fault != REPEATED)
    missing = max(expected - len(ids) - damaged, 0)  # the damaged rows have a finding of their own
    advice = (
        "Every scheduled request is recorded."
        if not missing
        else f"{missing:,} of {expected:,} scheduled requests are not recorded, so their outcome is unknown: a load "
        f"process died or lost them. See the logs of the run, then run it again."
    )
    return codes.ROWS.finding(measured=float(missing), limit=0.0, advice=advice, passed=not missing)


def _send_lag(run: Observed) -> Finding:
    limit = run.info.validity.send_lag_p99_s
    lag = run.requests.send_lag_s[run.requests.due]
    late = np.where(np.isnan(lag), np.inf, lag)
    measured = quantile(late, 0.99)
    never = int(np.isinf(late).sum())
    if not len(late):
        advice, measured = "No request was due, so the load generator was not tested.", math.inf
    elif measured <= limit:
        advice = "Requests were sent when they were due."
    elif math.isinf(measured):
        advice = (
            f"{never:,} of {len(late):,} requests were never sent, because no Locust user was free: there are enough "
            f"for the load, so the load generator was too slow; use more processes (--processes), a faster machine, or "
            f"a lower rate."
        )
    else:
        advice = (
            "The load generator was late, so the latencies include its own delay: use more processes (--processes), "
            "a faster machine, or a lower rate."
        )
    known = measured if math.isfinite(measured) else None
    return codes.SEND_LAG.finding(measured=known, limit=limit, advice=advice, passed=measured <= limit)


_GENERATOR_ADVICE = {
    Cause.USER_STOPPED: "Locust stopped the users that sent them: keep the number of users and of workers during a run",
    Cause.NO_DESCRIPTOR: "the load generator may open no more files: raise the limit (ulimit -n), or use more "
    "processes (--processes)",
    Cause.NO_PORT: "all local ports were in use: use more hosts or another protocol, or lower the rate",
    Cause.NO_MEMORY: "the load generator had no memory: free memory, or use another host",
}


def _generator(run: Observed) -> list[Finding]:
    """A run in which the load generator itself failed requests; none otherwise."""
    causes = Counter(run.requests.cause[run.requests.by_generator].tolist())
    if not causes:
        return []
    parts = [
        f"{causes[cause]:,} with {cause.label}: {advice}"
        for cause, advice in _GENERATOR_ADVICE.items()
        if causes[cause]
    ]
    advice = f"The server is not to blame for these requests, and they are not judged; {'; '.join(parts)}."
    return [codes.GENERATOR.finding(measured=float(causes.total()), limit=0.0, advice=advice)]


def _samples(run: Observed) -> Finding:
    answered, limit = int((run.requests.ok & run.warm).sum()), run.info.validity.min_samples
    passed = answered >= limit
    advice = (
        f"{answered:,} answered requests are enough to judge."
        if passed
        else f"{answered:,} answered requests are too few for percentiles: run longer or at a higher rate."
    )
    return codes.SAMPLES.finding(measured=float(answered), limit=float(limit), advice=advice, passed=passed)


def _timestamps(run: Observed) -> Finding:
    requests = run.requests
    steps = [requests.scheduled_s, requests.sent_s, requests.first_s, requests.last_s, requests.ended_s]
    wrong = np.zeros(len(requests), dtype=np.bool_)
    for number, earlier in enumerate(steps):
        for later in steps[number + 1 :]:
            wrong |= later < earlier - CLOCK_S
    reversed_tokens = sum(each.count for each in run.damage if each.fault == REVERSED)
    count = int(wrong.sum()) + reversed_tokens
    advice = (
        "The timestamps of every request are in order."
        if not count
        else f"{count:,} requests have inconsistent timestamps, such as a token before the request was sent: the clock "
        f"of a load process is wrong. Run all load processes on one host."
    )
    return codes.CLOCK.finding(measured=float(count), limit=0.0, advice=advice, passed=not count)


def _signal(run: Observed, fleet: Fleet) -> list[Finding]:
    times = sample_times(run)
    during = int(((times >= 0) & (times <= run.end_s)).sum())
    if not during:
        return [codes.SIGNAL.finding(measured=0.0, limit=1.0, advice=no_sample_advice(run))]
    sampled = codes.SIGNAL.finding(measured=float(during), limit=1.0, advice="The ratio was recorded.", passed=True)
    limit = run.info.validity.scrape_gap_s
    known, spans = np.union1d(times, idle_scrapes(run)), ready_spans(run, fleet)
    gap = longest_gap(known, spans)
    if gap is None:
        advice = "No replica was ready during the load, so there was nothing to sample: see the logs of the replicas."
        return [sampled, codes.SCRAPE_GAP.finding(measured=None, limit=limit, advice=advice)]
    length = gap[1] - gap[0]
    passed = length <= limit
    advice = gaps_sentence(signal_gaps(run, fleet, spans, known)) if passed else gap_advice(run, gap)
    window = Window(*gap)
    return [
        sampled,
        codes.SCRAPE_GAP.finding(measured=length, limit=limit, advice=advice, window=window, passed=passed),
    ]
