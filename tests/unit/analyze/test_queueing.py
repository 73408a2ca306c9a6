"""The ratio as read, and the true ratio of the counters."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.observed import Series
from loadgen.analyze.queueing import increments, mean_over_pods, mean_true_ratio, ratio_by_pod, true_ratio
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import life, observed, series


def counters(pod, queue, compute):
    return series("raw_queue_us", pod, queue) + series("raw_compute_us", pod, compute)


def test_the_fleet_ratio_is_the_mean_over_replicas_at_every_sample():
    """a: 3 then 5; b joins at 2 s with 1: 3, then (3+1)/2 until a is sampled again, then (5+1)/2."""
    pods = {"a": Series(np.array([1.0, 3.0]), np.array([3.0, 5.0])), "b": Series(np.array([2.0, 4.0]), np.ones(2))}
    mean = mean_over_pods(pods, stale=3.0)
    assert mean.t_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert mean.value.tolist() == [3.0, 2.0, 3.0, 1.0]  # at 4 s a has ended: it is not averaged on


def test_a_stale_sample_is_ignored():
    """a is not sampled between 1 and 9 s: at 8 s only b counts."""
    pods = {
        "a": Series(np.array([1.0, 9.0]), np.array([4.0, 4.0])),
        "b": Series(np.array([1.0, 8.0, 9.0]), np.array([0.0, 0.0, 0.0])),
    }
    assert mean_over_pods(pods, stale=3.0).value.tolist() == [2.0, 0.0, 2.0]


def test_an_undefined_ratio_is_skipped_and_not_zero():
    """One replica without compute: the mean is that of the other; both without: undefined."""
    at = np.array([1.0, 2.0])
    pods = {"a": Series(at, np.array([4.0, math.nan])), "b": Series(at, np.array([math.nan, math.nan]))}
    mean = mean_over_pods(pods, stale=3.0)
    assert mean.value[0] == 4.0
    assert math.isnan(mean.value[1])


def test_a_ratio_of_the_whole_fleet_is_used_as_it_is():
    """A sample without a replica is what an Object metric gives."""
    pods = {"": Series(np.array([1.0]), np.array([7.0])), "a": Series(np.array([1.0]), np.array([1.0]))}
    assert mean_over_pods(pods, stale=3.0).value.tolist() == [7.0]


def test_a_terminating_replica_is_not_averaged():
    """The HPA leaves out pods with a deletion time stamp: samples from 5 s on do not count."""
    run = observed(
        samples=series("ratio", "a", {4.0: 1.0, 5.0: 9.0, 6.0: 9.0}),
        events=life("a", -9.0, -5.0, draining=5.0),
    )
    assert ratio_by_pod(run, fleet(run))["a"].t_s.tolist() == [4.0]


def test_the_increment_after_a_counter_reset_is_the_new_value():
    """5, 8, 2, 6: growth 3, then 2 since the restart, then 4."""
    grown = increments(Series(np.arange(4.0), np.array([5.0, 8.0, 2.0, 6.0])), np.empty(0))
    assert grown.t_s.tolist() == [1.0, 2.0, 3.0]
    assert grown.value.tolist() == [3.0, 2.0, 4.0]


def test_the_true_ratio_is_a_ratio_of_sums_over_replicas_and_window():
    """a: queue 30 s, compute 10 s; b: queue 0, compute 20 s: 30/30 = 1, while the mean of ratios is 1.5."""
    run = observed(
        samples=counters("a", {0.0: 0.0, 5.0: 30e6}, {0.0: 0.0, 5.0: 10e6})
        + counters("b", {0.0: 0.0, 5.0: 0.0}, {0.0: 0.0, 5.0: 20e6}),
    )
    assert true_ratio(run, np.array([6.0])).tolist() == [1.0]
    assert mean_true_ratio(run, fleet(run), np.array([6.0])).tolist() == [1.5]


def test_the_true_ratio_covers_the_window_only():
    """Window 10 s: growth at 5 s counts until just before 15 s, then nothing was computed: undefined."""
    run = observed(samples=counters("a", {0.0: 0.0, 5.0: 4e6}, {0.0: 0.0, 5.0: 2e6}))
    values = true_ratio(run, np.array([4.0, 5.0, 14.9, 15.0]))
    assert math.isnan(values[0])
    assert values[1:3].tolist() == [2.0, 2.0]
    assert math.isnan(values[3])


def test_the_true_ratio_survives_a_restart_of_a_replica():
    """Queue 4 → 1 s and compute 2 → 2 s: the one fell, so both began again: (4 + 1) / (2 + 2) = 5/4."""
    run = observed(samples=counters("a", {0.0: 0.0, 1.0: 4e6, 2.0: 1e6}, {0.0: 0.0, 1.0: 2e6, 2.0: 2e6}))
    assert true_ratio(run, np.array([2.0])).tolist() == [5 / 4]


def test_without_counters_the_truth_is_unknown():
    """The ratio is missing and not 0."""
    assert np.isnan(true_ratio(observed(), np.array([1.0, 2.0]))).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=3, max_size=30), st.integers(2, 29))
def test_a_restart_does_not_change_the_true_ratio(steps, restart):
    """Counters that begin again at zero mean what counters that go on would have meant."""
    at = np.arange(len(steps), dtype=float)
    totals = np.cumsum(np.array(steps, dtype=float), axis=0) * 1e6
    finished = at + 1
    base = np.where(at >= restart, totals[min(restart, len(steps)) - 1, :][:, None], 0.0).T

    def run(values, success):
        queue, compute = (dict(zip(at.tolist(), column.tolist(), strict=True)) for column in values.T)
        done = series("raw_success", "a", dict(zip(at.tolist(), success.tolist(), strict=True)))
        return observed(samples=counters("a", queue, compute) + done)

    plain = true_ratio(run(totals, finished), at)
    again = true_ratio(run(totals - base, np.where(at >= restart, finished - restart, finished)), at)
    np.testing.assert_allclose(again, plain)
