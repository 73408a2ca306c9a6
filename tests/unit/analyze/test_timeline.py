"""Series on a grid of one second."""

import numpy as np
import pytest

from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.timeline import bin_width_s, marks, timeline
from support.runs.tables import event, info, life, observed, request, rescale, series


def line(run):
    replicas = fleet(run)
    pods = ratio_by_pod(run, replicas)
    return timeline(run, replicas, pods, mean_over_pods(pods, stale_s(run)))


def at(made, field, second):
    return getattr(made, field)[made.t_s.index(second)]


def test_requests_are_counted_where_they_were_due_and_where_they_ended():
    """Due 1.2, 1.7 and 2.5; answered 2.2 and 2.7; refused 2.6."""
    run = observed(
        info(length_s=4.0),
        requests=[
            request(0, 1.2),
            request(1, 1.7),
            request(2, 2.5, None, None, "rejected", "full", ended_s=2.6),
        ],
    )
    made = line(run)
    assert [at(made, "offered_per_s", t) for t in (0.0, 1.0, 2.0, 3.0)] == [0, 2, 1, 0]
    assert [at(made, "completed_per_s", t) for t in (1.0, 2.0)] == [0, 2]
    assert [at(made, "failed_per_s", t) for t in (1.0, 2.0)] == [0, 1]
    assert [at(made, "in_flight", t) for t in (0.0, 1.0, 2.0)] == [0, 2, 0]


def test_the_grid_covers_the_first_to_the_last_record():
    """A replica was created 8.5 s before the load; the last sample came at 70.2 s."""
    run = observed(samples=series("up", "a", {70.2: 1.0}), events=life("a", -8.5, -5))
    made = line(run)
    assert (made.t_s[0], made.t_s[-1], made.bin_s) == (-9.0, 70.0, 1.0)
    lengths = {len(getattr(made, name)) for name in ("offered_per_s", "ttft_p95_s", "ratio", "ratio_truth", "ready")}
    assert lengths == {80}


def test_a_long_start_up_of_the_stack_is_cut():
    """The first replica was created ten minutes before: the grid begins 60 s before the load."""
    assert line(observed(events=life("a", -600, -5))).t_s[0] == -60.0


@pytest.mark.parametrize(
    ("length_s", "series", "width_s"),
    [(60.0, 20, 1.0), (86_400.0, 20, 1.0), (86_401.0, 20, 2.0), (30 * 86_400.0, 20, 30.0), (20 * 3600.0, 1015, 37.0)],
)
def test_a_long_run_has_wider_bins(length_s, series, width_s):
    """At most 86,400 bins, and 2,000,000 values of all series: 1,970 bins of 1015 series."""
    assert bin_width_s(length_s, series) == width_s


def test_wider_bins_lose_nothing(monkeypatch):
    """60 s in at most 20 bins are 3 s each: rates are means, latencies are of the requests due in them."""
    monkeypatch.setattr("loadgen.analyze.timeline.MAX_BINS", 20)
    made = line(observed(requests=[request(n, n / 2, ttft_s=float(n)) for n in range(118)]))
    assert (made.bin_s, len(made.t_s), made.t_s[:3]) == (3.0, 20, (0.0, 3.0, 6.0))
    assert sum(made.offered_per_s) * 3.0 == 118
    assert at(made, "offered_per_s", 3.0) == 2.0
    assert at(made, "ttft_p50_s", 30.0) == 62.0


def test_a_sparse_bin_borrows_the_five_seconds_around_it():
    """One request a second with TTFT 0, 1, 2 … s: the bin at 10 s sees 8 … 12: median 10, p95 12."""
    run = observed(requests=[request(n, n + 0.5, float(n), float(n)) for n in range(30)])
    made = line(run)
    assert at(made, "ttft_p50_s", 10.0) == 10.0
    assert at(made, "ttft_p95_s", 10.0) == 12.0


def test_a_full_bin_has_its_own_percentiles():
    """20 requests in one second, TTFT 1 … 20: p50 10, p95 19, whatever is around."""
    rows = [request(n, 10 + n / 20, n + 1.0, 30.0) for n in range(20)] + [request(20, 11.5, 99.0, 99.0)]
    made = line(observed(requests=rows))
    assert (at(made, "ttft_p50_s", 10.0), at(made, "ttft_p95_s", 10.0)) == (10.0, 19.0)


def test_a_bin_without_an_answer_has_no_latency():
    """NaN, not 0, and not the last value."""
    assert np.isnan(at(line(observed(requests=[request(0, 1.0)])), "ttft_p95_s", 30.0))


def test_a_ratio_ends_when_it_is_no_longer_sampled():
    """Sampled until 10 s: held for three scrapes, then missing."""
    made = line(observed(samples=series("ratio", "a", {float(t): 2.0 for t in range(11)})))
    assert at(made, "ratio", 10.0) == 2.0
    assert np.isnan(at(made, "ratio", 15.0))
    assert made.ratio_by_pod["a"][made.t_s.index(10.0)] == 2.0


def test_desired_ready_and_serving_are_three_series():
    """Wanted from 10.5 s, ready at 15.5, answered at 18: at the ends of bins."""
    run = observed(
        samples=series("raw_success", "b", {16.0: 0.0, 18.0: 1.0}) + series("raw_success", "a", {-4.0: 1.0}),
        events=[*life("a", -9, -5), rescale(10.5, 1, 2), *life("b", 11, 15.5)],
    )
    made = line(run)
    assert [at(made, "desired", t) for t in (9.0, 10.0)] == [1, 2]
    assert [at(made, "ready", t) for t in (14.0, 15.0)] == [1, 2]
    assert [at(made, "serving", t) for t in (16.0, 17.0)] == [1, 2]


def test_data_lost_in_a_crash_is_missing_and_not_zero():
    """The tool died at 5 s, the collector went on: no rate is known after that."""
    run = observed(
        info(length_s=None, state="loading"),
        requests=[request(n, float(n)) for n in range(5)],
        samples=series("up", "a", {float(t): 1.0 for t in range(20)}),
    )
    made = line(run)
    assert at(made, "offered_per_s", 3.0) == 1
    for name in ("offered_per_s", "completed_per_s", "failed_per_s", "in_flight"):
        assert np.isnan(at(made, name, 10.0))


def test_marks_name_the_events_until_the_shutdown_of_the_stack():
    """Syncs have no mark, and neither has the termination of replicas at the shutdown."""
    run = observed(
        events=[
            *life("a", -9, -5, 70, 71),
            event(0, "load_started"),
            event(5, "hpa_sync", current=1, desired=1),
            rescale(10, 1, 2),
            event(20, "replica_crashed", "a", exit_code=1),
            event(25, "collect_gap", source="prometheus", from_s=20, to_s=25),
            event(30, "part_died", part="gateway", exit_code=1),
        ]
    )
    assert [(mark.t_s, mark.label) for mark in marks(run, fleet(run)) if mark.t_s >= 0] == [
        (0.0, "load started"),
        (10.0, "1 → 2 replicas"),
        (20.0, "replica crashed"),
        (25.0, "no data from prometheus"),
        (30.0, "gateway exited"),
        (70.0, "replica terminating"),
    ]


def test_overlapping_gaps_of_one_source_are_one_mark():
    """Three watches of one API break together; Prometheus has a line of its own."""
    gaps = [("kubernetes", 20, 30), ("kubernetes", 22, 31), ("prometheus", 23, 25), ("kubernetes", 40, 41)]
    run = observed(
        events=[
            *life("a", -9, -5),
            *(event(at, "collect_gap", source=name, from_s=at + 64, to_s=end + 64) for name, at, end in gaps),
        ]
    )
    found = [(mark.t_s, mark.label) for mark in marks(run, fleet(run)) if mark.kind == "collect_gap"]
    assert found == [
        (20.0, "no data from kubernetes"),
        (23.0, "no data from prometheus"),
        (40.0, "no data from kubernetes"),
    ]
