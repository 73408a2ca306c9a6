"""The verdict of the signal, and what the autoscaler read."""

import math

import numpy as np
import pytest

from loadgen.analyze.findings.warnings import warnings
from loadgen.analyze.queueing import autoscaler_reads, mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.signal.breaches import breaches
from loadgen.analyze.signal.deviation import deviation
from loadgen.analyze.signal.summary import judge
from support.runs.needs import demand
from support.runs.tables import by_code, event, info, life, observed, request, series

TTFT = (("ttft", "p95", 2.0),)
READY = life("a", -9, -5)


def run_of(ttft_s, ratio, *, limits=TTFT, **parts):
    """Four requests a second for a minute; `ttft_s` and `ratio` are functions of the time."""
    requests = [request(n, n / 4, ttft_s(n / 4), ttft_s(n / 4) + 0.5) for n in range(240)]
    samples = series("ratio", "a", {float(t): ratio(t) for t in range(-5, 70)}) + parts.pop("samples", [])
    return observed(info(limits=limits), requests=requests, samples=samples, events=[*READY, *parts.pop("events", [])])


def verdict(run):
    replicas = fleet(run)
    return judge(run, replicas, mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))).truth


def slow_from_30(t):
    return 5.0 if 30 <= t < 55 else 0.5


def found(run):
    replicas = fleet(run)
    return warnings(run, replicas, mean_over_pods(ratio_by_pod(run, replicas), stale_s(run)), (), demand(run, None))


def test_a_breach_begins_when_the_first_request_is_too_late():
    """Due at 30 s with a limit of 2 s: 32 s. The last slow one is due at 54.75 s and ends 5.5 s later."""
    (breach,) = breaches(run_of(slow_from_30, lambda t: 0.0))
    assert (breach.start_s, breach.end_s, breach.broke_s, breach.until_s) == (30.0, 55.0, 32.0, 60.25)


def test_one_slow_window_is_no_breach():
    """Five seconds of slow requests, twice, with two good windows between them."""
    assert breaches(run_of(lambda t: 5.0 if 10 <= t < 15 or 25 <= t < 30 else 0.5, lambda t: 0.0)) == ()


def test_a_failure_that_did_not_wait_breaks_nothing():
    """Every request is refused at once: no latency exceeds its limit."""
    refused = [request(n, n / 4, None, None, "rejected", "full", ended_s=n / 4 + 0.01) for n in range(240)]
    assert breaches(observed(info(limits=TTFT), requests=refused, events=READY)) == ()


@pytest.mark.parametrize(
    ("ratio", "expected", "lead_s"),
    [
        (lambda t: 0.01, "blind", None),
        (lambda t: 0.01 + 0.05 * (t % 2), "blind", None),  # within a tenth of the target
        (lambda t: 3.0 if 42 <= t < 65 else 0.01, "late", -10.0),
        (lambda t: 3.0 if 22 <= t < 65 else 0.01, "not known", 10.0),  # in time, but its noise is not known
    ],
)
def test_the_verdict_follows_from_when_the_ratio_leaves_its_noise(ratio, expected, lead_s):
    """Requests exceed their limit from 32 s on."""
    made = verdict(run_of(slow_from_30, ratio))
    assert (made.verdict, made.lead_s) == (expected, lead_s)


def test_a_signal_without_completions_says_so():
    """The counter of successes stands still during the breach."""
    counter = series("raw_success", "a", {float(t): 5.0 for t in range(-5, 70)})
    run = run_of(slow_from_30, lambda t: 0.0, samples=counter)
    assert "no request completed, so the counters did not move" in verdict(run).reason
    each = by_code(found(run), "signal.blind")
    assert each.measured == 60.25 - 32.0
    assert "no reason to scale" not in " ".join(finding.advice for finding in found(run))


def test_a_signal_that_was_not_tested_is_not_known():
    """No limit was broken and the ratio never crossed its target."""
    made = verdict(run_of(lambda t: 0.5, lambda t: 0.3))
    assert made.verdict == "not known"
    assert "never exceeded its target" in made.reason


def test_without_an_autoscaler_nothing_is_judged():
    """A URL has no signal."""
    run = observed(info(autoscaler=None, limits=TTFT), requests=[request(0, 0.0)])
    assert verdict(run).reason == "The run has no autoscaler whose metric is known."


def test_the_reads_of_the_autoscaler_are_those_that_it_recorded():
    """Three syncs: 4.331, unreadable, 0.5; a sync without its value says nothing."""
    syncs = [event(t, "hpa_sync", current=1, desired=1, metric_milli=m) for t, m in ((10, 4331), (25, None), (40, 500))]
    reads = autoscaler_reads(run_of(lambda t: 0.5, lambda t: 4.962, events=syncs))
    assert reads.t_s.tolist() == [10.0, 25.0, 40.0]
    assert reads.value[0] == 4.331
    assert math.isnan(reads.value[1])
    without = run_of(lambda t: 0.5, lambda t: 1.0, events=[event(9, "hpa_sync", current=1)])
    assert len(autoscaler_reads(without).t_s) == 0


def test_a_peak_between_two_syncs_was_not_read():
    """The ratio reaches 4 for 5 s between syncs, which read 0.2: it never crossed its target as the HPA read it."""
    syncs = [event(t, "hpa_sync", current=1, desired=1, metric_milli=200) for t in (0, 15, 30, 45)]
    run = run_of(lambda t: 0.5, lambda t: 4.0 if 18 <= t < 23 else 0.2, events=syncs)
    each = by_code(found(run), "signal.never_crossed")
    assert (each.measured, each.limit) == (0.2, 1.1)
    assert "Between its evaluations the ratio reached 4.00" in each.advice


def counters(pod, ratio, start=-5):
    times = range(start, 70)
    return series("raw_compute_us", pod, {float(t): (t - start) * 1e6 * (ratio is not None) for t in times}) + series(
        "raw_queue_us", pod, {float(t): (t - start) * 1e6 * (ratio or 0.0) for t in times}
    )


@pytest.mark.parametrize("reads", [{20: 0.0}, {}], ids=["0 from the rule", "no sample"])
def test_an_idle_replica_counts_as_it_was_read(reads):
    """a has a ratio of 3; b is ready from 20 s on and completes nothing: a mean of 1.5, or of 3 without its sample."""
    idle = series("ratio", "b", {float(t): 0.0 for t in range(20, 70)}) if reads else []
    run = run_of(
        lambda t: 0.5,
        lambda t: 3.0,
        samples=[*idle, *counters("a", 3.0), *counters("b", None, 20)],
        events=life("b", 10, 20),
    )
    replicas = fleet(run)
    ratio = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    assert deviation(run, replicas, ratio)[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("value", [1.5, 3.0])
def test_one_value_of_a_fleet_may_or_may_not_count_idle_replicas(value):
    """Of a KEDA query: the mean over both replicas is 1.5, and over the busy one 3."""
    samples = series("ratio", None, {float(t): value for t in range(20, 70)})
    samples += counters("a", 3.0) + counters("b", None, 20)
    requests = [request(n, n / 4) for n in range(240)]
    run = observed(info(limits=TTFT), requests=requests, samples=samples, events=[*READY, *life("b", 10, 20)])
    replicas = fleet(run)
    ratio = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    assert deviation(run, replicas, ratio)[0] == pytest.approx(0.0, abs=1e-9)


def test_a_rule_that_is_wrong_for_the_busy_replica_deviates():
    """The idle replica is read as 0 and is 0; the busy one is read as 1.5 and is 3: half of the mean."""
    idle = series("ratio", "b", {float(t): 0.0 for t in range(20, 70)})
    run = run_of(
        lambda t: 0.5,
        lambda t: 1.5,
        samples=[*idle, *counters("a", 3.0), *counters("b", None, 20)],
        events=life("b", 10, 20),
    )
    replicas = fleet(run)
    made = deviation(run, replicas, mean_over_pods(ratio_by_pod(run, replicas), stale_s(run)))
    assert made[0] == pytest.approx(0.5, abs=0.01)
    assert not np.isnan(made[1])
