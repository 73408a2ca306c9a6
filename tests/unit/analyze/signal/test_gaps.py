"""Times without a value of the ratio, and the steps of the lag chain that they touch."""

import numpy as np

from loadgen.analyze.findings.missing_signal import gaps_sentence
from loadgen.analyze.findings.validity import idle_scrapes, ready_spans, sample_times
from loadgen.analyze.findings.warnings import warnings
from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.scaling.chain_gaps import with_gaps
from loadgen.analyze.scaling.events import scaling_events
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.signal.gaps import signal_gaps
from support.runs.needs import demand, needed
from support.runs.tables import by_code, life, observed, request, rescale, series

REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)


def gaps(run):
    replicas = fleet(run)
    sampled = np.union1d(sample_times(run), idle_scrapes(run))
    return signal_gaps(run, replicas, ready_spans(run, replicas), sampled)


def counters(times, pod="a", growth=1.0):
    rows = []
    for signal in ("raw_compute_us", "raw_queue_us", "raw_success"):
        rows += series(signal, pod, {float(t): growth * 1e6 * t for t in times})
    return rows


def ratio(times, value=0.5, pod="a"):
    return series("ratio", pod, {float(t): value for t in times})


def test_a_run_without_gaps_was_sampled_throughout():
    """Ratio and counters every second."""
    run = observed(requests=REQUESTS, samples=ratio(range(-5, 61)) + counters(range(-5, 61)), events=READY)
    assert gaps(run) == ()
    assert gaps_sentence(()) == "The ratio was sampled throughout."


def test_gaps_of_ratio_and_counters_have_their_length():
    """The ratio is missing from 20 to 24 s, the counters from 30 to 47.5 s: longer than a sample is valid, 3 s."""
    times = [t for t in range(-5, 61) if not 20 < t < 24]
    read = [*range(-5, 31), 47.5, *range(48, 61)]
    run = observed(requests=REQUESTS, samples=ratio(times) + counters(read), events=READY)
    found = gaps(run)
    assert [(gap.kind, gap.start_s, gap.end_s) for gap in found] == [
        ("no_ratio", 20.0, 24.0),
        ("no_counters", 30.0, 47.5),
    ]
    assert gaps_sentence(found) == (
        "The ratio was not sampled for up to 4.0 s (from 0:20 to 0:24). The counters of a ready replica were not "
        "read for up to 17.5 s (from 0:30 to 0:48)."
    )


def test_an_undefined_ratio_is_a_gap_with_its_length():
    """A request takes 29 s: after 20 s nothing completes until 48 s; the window of 10 s is empty from 30 to 48 s."""
    requests = [request(n, float(n)) for n in range(19)] + [request(19, 19.0, 1.0, 29.0)]
    flat = {signal: {float(t): 1e6 * (t if t <= 20 else 20 if t < 48 else t) for t in range(-5, 61)} for signal in
            ("raw_compute_us", "raw_queue_us", "raw_success")}  # fmt: skip
    rows = [row for signal, values in flat.items() for row in series(signal, "a", values)]
    run = observed(requests=[*requests, request(20, 59.0)], samples=ratio(range(-5, 61)) + rows, events=READY)
    (gap,) = gaps(run)
    assert (gap.kind, gap.start_s, gap.end_s, gap.in_flight) == ("undefined", 30.0, 48.0, True)
    replicas = fleet(run)
    found = warnings(run, replicas, mean_over_pods(ratio_by_pod(run, replicas), stale_s(run)), (), demand(run, None))
    each = by_code(found, "signal.undefined")
    assert (each.measured, each.limit) == (18.0, 5.0)


def test_a_gap_before_the_crossing_touches_the_step_over_target():
    """The ratio is 0 until 12 s, unknown until 20 s and 3 from then on: it crossed up to 8 s earlier."""
    samples = ratio(range(-5, 13), 0.0) + ratio(range(20, 61), 3.0)
    run = observed(requests=REQUESTS, samples=samples, events=[*READY, rescale(25, 1, 2), *life("b", 25.5, 35)])
    replicas = fleet(run)
    signal = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    (event,) = with_gaps(run, replicas, signal, scaling_events(run, replicas, signal, needed(run, None)))
    assert event.over_target_s == 20.0
    assert event.gaps == (
        "over target: the ratio was not sampled from 0:12 to 0:20, so it crossed its target up to 8.0 s earlier",
    )


def test_a_first_answer_after_a_gap_touches_the_step_serving():
    """b is ready at 30 s, its counter is 0 at 31 s and 7 at 40 s: it answered up to 9 s earlier."""
    rows = counters(range(-5, 61)) + series("raw_success", "b", {31.0: 0.0, 40.0: 7.0, 41.0: 8.0})
    events = [*READY, rescale(25, 1, 2), *life("b", 25.5, 30)]
    run = observed(requests=REQUESTS, samples=ratio(range(-5, 61)) + rows, events=events)
    replicas = fleet(run)
    signal = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    (event,) = with_gaps(run, replicas, signal, scaling_events(run, replicas, signal, needed(run, None)))
    assert event.gaps == (
        "serving: the counters of b were not read from 0:31 to 0:40, so it answered its first request up to 9.0 s "
        "earlier",
    )
