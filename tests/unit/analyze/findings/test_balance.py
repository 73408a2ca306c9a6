"""Overload of the largest fleet, and a backlog beside idle replicas."""

from loadgen.analyze.findings.balance import old_backlog, overload_at_max
from loadgen.analyze.queueing import Capacity, mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.events import scaling_events
from loadgen.analyze.scaling.replicas import fleet
from support.runs.needs import needed
from support.runs.tables import SCALER, by_code, info, life, observed, request, rescale, series

SMALL = info(autoscaler=SCALER.model_copy(update={"max_replicas": 2}))
FEW = [request(n, float(n)) for n in range(60)]
UNKNOWN = Capacity(None, "not collected")
BOTH = [*life("a", -9, -5), *life("b", 5, 10)]


def constant(value, pod, signal="ratio", since=0, until=60):
    return series(signal, pod, {float(t): value for t in range(since, until)})


def short(run, capacity=UNKNOWN):
    replicas = fleet(run)
    return overload_at_max(run, replicas, mean_over_pods(ratio_by_pod(run, replicas), stale_s(run)), capacity)


def backlog(run):
    replicas = fleet(run)
    ratio = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    return old_backlog(run, replicas, scaling_events(run, replicas, ratio, needed(run, None)))


def test_queues_on_all_replicas_of_the_largest_fleet_are_an_overload():
    """Both of at most 2 ready from 10 s on, 2 requests waiting at each until 60 s: 50 s, more than a pass of 15 s."""
    samples = constant(3.0, "a") + constant(2.0, "a", "raw_pending") + constant(2.0, "b", "raw_pending")
    each = by_code(short(observed(SMALL, requests=FEW, samples=samples, events=BOTH)), "scaling.at_max")
    assert (each.measured, each.limit, each.window) == (50.0, 15.0, Window(10.0, 60.0))


def test_a_load_beyond_the_capacity_of_the_largest_fleet_is_an_overload():
    """4/s come from 20 s on, 2 · 1.5 are carried: as a mean of 10 s the load is above 3/s from 27 s on, until 60 s.

    In (17, 27] are 2 requests of the first part and 29 of the second: 3.1/s; in (16, 26] there are 2.8/s.
    """
    rising = [request(n, float(n)) for n in range(20)] + [request(20 + n, 20 + n / 4) for n in range(160)]
    run = observed(SMALL, requests=rising, samples=constant(3.0, "a"), events=BOTH)
    each = by_code(short(run, Capacity(1.5)), "scaling.at_max")
    assert (each.measured, each.window) == (33.0, Window(27.0, 60.0))


def test_one_long_queue_is_not_an_overload():
    """Over target with all replicas ready, but nothing waits at b and 1/s comes where 2 · 1 are carried."""
    samples = constant(3.0, "a") + constant(9.0, "a", "raw_pending") + constant(0.0, "b", "raw_pending")
    assert short(observed(SMALL, requests=FEW, samples=samples, events=BOTH), Capacity(1.0)) == []


def test_without_counters_every_ratio_must_exceed_the_target():
    """Ratios 3 and 3: short; 6 and 0 have the same mean, but one replica is idle."""
    even = observed(SMALL, requests=FEW, samples=constant(3.0, "a") + constant(3.0, "b"), events=BOTH)
    uneven = observed(SMALL, requests=FEW, samples=constant(6.0, "a") + constant(0.0, "b"), events=BOTH)
    assert [each.code for each in short(even)] == ["scaling.at_max"]
    assert short(uneven) == []


def test_the_longest_overload_is_reported():
    """Short from 10 to 27 s and from 35 to 60 s: 25 s is the longest of two, and not 50 s in one."""
    ratio = series("ratio", "a", {float(t): (0.0 if 27 <= t < 35 else 3.0) for t in range(60)})
    samples = ratio + constant(2.0, "a", "raw_pending") + constant(2.0, "b", "raw_pending")
    (each,) = short(observed(SMALL, requests=FEW, samples=samples, events=BOTH))
    assert (each.measured, each.window) == (25.0, Window(35.0, 60.0))
    assert "the longest of 2 such periods" in each.advice


def old(queue_until, new_waiting=0.0):
    pending = series("raw_pending", "a", {float(t): (9.0 if t < queue_until else 0.0) for t in range(60)})
    samples = pending + constant(new_waiting, "b", "raw_pending", 31)
    return observed(requests=FEW, samples=samples, events=[*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20.5, 30)])


def test_a_backlog_beside_an_idle_replica_is_reported():
    """b is ready at 30 s; a has requests waiting until 46 s, b none: 16 s."""
    (each,) = backlog(old(46))
    assert (each.code, each.measured, each.window) == ("balance.old_backlog", 16.0, Window(30.0, 46.0))
    assert "the old replica took 16 s to work off its queue" in each.advice
    assert "cannot move requests that a replica has queued" in each.advice


def test_a_short_backlog_is_not_reported():
    """5 s are not more than 5 s."""
    assert backlog(old(35)) == []


def test_a_new_replica_with_a_queue_of_its_own_is_not_idle():
    """b has 2 waiting from its first sample at 31 s on: a second without a sample is no evidence."""
    assert backlog(old(46, new_waiting=2.0)) == []


def test_without_counts_of_pending_requests_no_backlog_is_reported():
    """No samples of `raw_pending`."""
    events = [*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20.5, 30)]
    assert backlog(observed(requests=FEW, events=events)) == []
