"""Whether a run can be judged."""

import numpy as np
import pytest

from loadgen.analyze import latency
from loadgen.analyze.findings.validity import longest_gap, validity
from loadgen.analyze.measure import measure
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.names import StopCause
from loadgen.dataset.run_info import ValidityLimits
from support.runs.tables import ZERO_S, by_code, event, info, life, observed, request, series


def check(run):
    return validity(run, fleet(run))


def sampled(times):
    return series("ratio", "a", {float(t): 0.5 for t in times})


REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)


def test_a_sound_run_passes_every_check_and_shows_each():
    """Each condition has a finding with its measured value and limit."""
    findings = check(observed(requests=REQUESTS, samples=sampled(range(-5, 60)), events=READY))
    assert [finding.code for finding in findings] == [
        "validity.interrupted",
        "validity.rows",
        "validity.send_lag",
        "validity.samples",
        "validity.clock",
        "validity.signal",
        "validity.scrape_gap",
    ]
    assert all(finding.passed and finding.advice and finding.severity == "invalid" for finding in findings)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, 2),
        ({"expected_rows": 60}, 2),
        ({"expected_rows": 70}, 12),
        ({"expected_rows": 70, "state": "loading"}, 2),  # nobody knows how many were due when it broke off
        ({"expected_rows": 40, "state": "stopped"}, 2),
    ],
)
def test_a_request_without_a_row_invalidates(changes, missing):
    """Of 60 rows two are missing, and of 70 arrivals that were due the last ten as well."""
    rows = [row for row in REQUESTS if row["request_id"] not in (20, 31)]
    found = by_code(check(observed(info(**changes), requests=rows)), "validity.rows")
    assert (found.passed, found.measured, found.limit) == (False, float(missing), 0.0)
    assert "scheduled requests are not recorded" in found.advice


def test_arrivals_after_a_stop_need_no_row():
    """60 rows; the 50 arrivals due until a second before the stop must have one."""
    found = by_code(check(observed(info(state="stopped", expected_rows=50), requests=REQUESTS)), "validity.rows")
    assert (found.passed, found.measured) == (True, 0.0)


def test_a_late_generator_invalidates():
    """2 of 60 were sent 0.5 s late: p99 is 0.5 s against 0.05 s."""
    late = [request(n, float(n), lag_s=0.5 if n < 2 else 0.0) for n in range(60)]
    found = by_code(check(observed(requests=late)), "validity.send_lag")
    assert (found.passed, found.measured, found.limit) == (False, 0.5, 0.05)


def test_a_request_without_a_free_user_counts_as_infinitely_late():
    """1 of 60 is more than 1 %: the generator, not the server, is short."""
    requests = [*REQUESTS[:59], request(59, 59.0, None, None, "not_sent", "no free user", lag_s=None)]
    found = by_code(check(observed(requests=requests)), "validity.send_lag")
    assert (found.passed, found.measured) == (False, None)
    assert "1 of 60 requests were never sent" in found.advice


def test_too_few_answers_invalidate():
    """59 of at least 60."""
    limits = ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=60)
    found = by_code(check(observed(info(validity=limits), requests=REQUESTS[:59])), "validity.samples")
    assert (found.passed, found.measured, found.limit) == (False, 59.0, 60.0)


def test_a_gap_in_the_ratio_invalidates_and_has_its_window():
    """No sample between 20 and 31 s."""
    samples = sampled([*range(-5, 21), *range(31, 60)])
    found = by_code(check(observed(requests=REQUESTS, samples=samples, events=READY)), "validity.scrape_gap")
    assert (found.passed, found.measured, found.limit) == (False, 11.0, 5.0)
    assert found.window == Window(20.0, 31.0)


def test_a_gap_during_an_outage_of_prometheus_says_so():
    """The collector had no data from 21 to 30 s, within the gap; an outage at another time is not the reason."""
    samples = sampled([*range(-5, 21), *range(31, 60)])
    for at, told in ((21, True), (31.5, False)):
        events = [*READY, event(at, "collect_gap", source="prometheus", from_s=at + ZERO_S, to_s=at + ZERO_S + 9)]
        found = by_code(check(observed(requests=REQUESTS, samples=samples, events=events)), "validity.scrape_gap")
        assert (found.passed, found.window) == (False, Window(20.0, 31.0))
        assert found.advice.startswith("Prometheus did not answer during this time") is told


def test_time_without_a_ready_replica_is_not_a_gap():
    """a is down from 20 to 31 s: there was nothing to scrape."""
    events = [*READY, event(20.5, "replica_crashed", "a"), event(30.5, "replica_ready", "a")]
    samples = sampled([*range(-5, 21), *range(31, 60)])
    found = by_code(check(observed(requests=REQUESTS, samples=samples, events=events)), "validity.scrape_gap")
    assert (found.passed, found.measured) == (True, 1.0)


def test_a_ratio_that_is_undefined_while_idle_is_no_gap():
    """From 20 to 31 s nothing was computed and the rule gives nothing, but the scrapes worked."""
    computed = {float(t): (t * 1e6 if t <= 9 else 9e6 if t <= 31 else (t - 22) * 1e6) for t in range(60)}
    idle = series("raw_queue_us", "a", dict.fromkeys(computed, 0.0)) + series("raw_compute_us", "a", computed)
    scrapes = series("up", "a", {float(t): 1.0 for t in range(60)})
    samples = sampled([*range(-5, 21), *range(31, 60)]) + idle + scrapes
    found = by_code(check(observed(requests=REQUESTS, samples=samples, events=READY)), "validity.scrape_gap")
    assert found.passed


def test_an_autoscaler_without_any_signal_invalidates():
    """Scaling cannot be judged when nobody saw what it read; without an autoscaler nobody asks."""
    found = by_code(check(observed(requests=REQUESTS, events=READY)), "validity.signal")
    assert (found.passed, found.measured) == (False, 0.0)
    plain = check(observed(info(autoscaler=None), requests=REQUESTS))
    assert {finding.code for finding in plain if not finding.passed} == set()


def test_a_signal_before_the_load_is_no_signal_of_the_load():
    """Samples until the load starts, none while it runs."""
    found = by_code(check(observed(requests=REQUESTS, samples=sampled(range(-9, 0)), events=READY)), "validity.signal")
    assert not found.passed


@pytest.mark.parametrize(
    ("state", "passed"), [("finished", True), ("stopped", True), ("loading", False), ("starting", False)]
)
def test_only_a_run_that_ended_in_order_can_be_judged(state, passed):
    """Stopped on purpose is in order; a tool that died is not."""
    found = by_code(check(observed(info(state=state), requests=REQUESTS)), "validity.interrupted")
    assert found.passed is passed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        *(
            ({"state": "stopped", "stop_cause": cause}, f"The run was stopped early {cause.label}; requests in flight")
            for cause in StopCause
        ),
        ({"state": "stopped"}, "The run was stopped early; requests in flight"),
        (
            {"state": "loading", "error": "worker w-1 was lost: free memory"},
            "by an error: worker w-1 was lost",
        ),
        ({"state": "loading"}, "because the tool or one of its processes died. The data recorded until then is shown"),
    ],
)
def test_how_a_run_ended(changes, says):
    """The cause as it is: who or what stopped the run, the error that ended it, or a death without a word."""
    found = by_code(check(observed(info(**changes), requests=REQUESTS)), "validity.interrupted")
    assert says in found.advice


def test_a_load_that_never_started_is_said_first():
    """Nothing else explains the empty page."""
    first = check(observed(info(zero_s=None, length_s=None, state="starting")))[0]
    assert (first.code, first.passed) == ("validity.load", False)


def test_times_that_contradict_each_other_invalidate():
    """A first token 0.5 s before the request was sent: some clock is wrong. A microsecond is no contradiction."""
    rows = [request(0, 1.0, -0.5), request(1, 2.0), request(2, 3.0, lag_s=-1e-6)]
    found = by_code(check(observed(requests=rows)), "validity.clock")
    assert (found.passed, found.measured) == (False, 1.0)


def test_no_replica_ever_ready_leaves_nothing_to_sample():
    """Samples exist, from a replica that never became ready."""
    events = [e for e in READY if e["kind"] != "replica_ready"]
    found = by_code(
        check(observed(requests=REQUESTS, samples=sampled(range(60)), events=events)), "validity.scrape_gap"
    )
    assert (found.passed, found.measured) == (False, None)


def test_the_longest_gap_is_looked_for_inside_the_spans_only():
    """Samples at 1 and 2 s; spans 0 … 3 and 10 … 14 s: the second has no sample at all."""
    assert longest_gap(np.array([1.0, 2.0]), [(0.0, 3.0), (10.0, 14.0)]) == (10.0, 14.0)
    assert longest_gap(np.array([1.0]), []) is None


def test_requests_that_the_load_generator_ended_are_not_judged():
    """They make the run invalid, with the cause and what to do, and count as no failure of the server."""
    rows = [
        *REQUESTS[:57],
        request(57, 57.0, None, None, "error", "Too many open files on the load generator"),
        request(58, 58.0, None, None, "error", "Too many open files on the load generator"),
        request(59, 59.0, 0.5, None, "cut_off", "user stopped"),
    ]
    run = observed(info(limits=[("failed", "ratio", 0.0)]), requests=rows)
    found = by_code(check(run), "validity.generator")
    assert (found.passed, found.severity, found.measured, found.limit) == (False, "invalid", 3.0, 0.0)
    assert "2 with no file descriptor: the load generator may open no more files: raise the limit" in found.advice
    assert "1 with user stopped: Locust stopped the users" in found.advice
    assert int(run.requests.judged.sum()) == 57
    whole = latency.whole(run, measure(run))
    assert whole.failed == 0
