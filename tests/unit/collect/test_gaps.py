"""Every span without data becomes one event."""

from loadgen.collect.gaps import Gaps, Source

POD = Source("metrics", "a")


def watch(shortest_s: float = 3.0) -> Gaps:
    gaps = Gaps({"metrics": shortest_s, "prometheus": shortest_s})
    gaps.expect(POD, 10.0)
    return gaps


def spans(gaps: Gaps) -> list[tuple[float, float]]:
    data = [event.data or {} for event in gaps.take()]
    return [(span["from_s"], span["to_s"]) for span in data]


def test_a_gap_is_reported_when_data_arrives_again() -> None:
    """One event from the last data to the next, with source, pod and times; no gap is reported twice."""
    gaps = watch()
    gaps.add_data(POD, [11.0])
    gaps.add_attempt(POD, 15.0)
    assert gaps.take() == []
    gaps.add_data(POD, [16.5])
    [event] = gaps.take()
    assert (event.kind, event.pod, event.t_s) == ("collect_gap", "a", 11.0)
    assert event.data == {"source": "metrics", "from_s": 11.0, "to_s": 16.5}
    assert event.message == "no data was collected from metrics of a for 5.5 s"
    assert gaps.take() == []


def test_a_short_span_is_not_a_gap() -> None:
    """One missed read is below the shortest gap; exactly that length is one."""
    gaps = watch()
    gaps.add_data(POD, [12.9, 15.8])
    assert spans(gaps) == []
    gaps.add_data(POD, [18.8])
    assert spans(gaps) == [(15.8, 18.8)]


def test_an_open_gap_ends_with_the_run() -> None:
    """A gap without later data is reported at the end, until the last attempt."""
    gaps = watch()
    gaps.add_data(POD, [11.0])
    gaps.add_attempt(POD, 20.0)
    gaps.forget(POD)
    assert spans(gaps) == [(11.0, 20.0)]
    assert gaps.watched == set()


def test_a_source_that_never_answered_has_a_gap_from_the_start() -> None:
    """A replica that is ready and cannot be read at all has a gap since it became ready."""
    gaps = watch()
    gaps.expect(POD, 14.0)  # due since 10 already
    gaps.add_attempt(POD, 15.0)
    gaps.forget(POD)
    assert spans(gaps) == [(10.0, 15.0)]


def test_time_without_an_attempt_is_not_a_gap() -> None:
    """A source that disappears between two reads has no gap after the last of them."""
    gaps = watch()
    gaps.add_data(POD, [11.0])
    gaps.add_attempt(POD, 11.5)
    gaps.forget(POD)
    assert spans(gaps) == []


def test_data_that_is_fetched_late_leaves_no_gap() -> None:
    """Samples that arrive with the next response close the span."""
    gaps = watch()
    gaps.add_data(POD, [11.0])
    gaps.add_attempt(POD, 30.0)
    gaps.add_data(POD, [float(t) for t in range(31, 11, -1)])
    assert spans(gaps) == []


def test_a_gap_inside_a_response_is_reported() -> None:
    """Late samples before an outage do not hide it."""
    gaps = watch()
    gaps.add_data(POD, [11.0])
    gaps.add_data(POD, [12.0, 13.0, 40.0, 41.0])
    assert spans(gaps) == [(13.0, 40.0)]


def test_a_source_without_expected_data_has_no_gaps() -> None:
    """A replica that is not ready may answer or not."""
    gaps = Gaps({"metrics": 3.0})
    gaps.add_data(POD, [1.0, 50.0])
    gaps.add_attempt(POD, 60.0)
    gaps.forget(POD)
    assert gaps.take() == []


def test_empty_responses_before_the_first_data_are_not_a_gap() -> None:
    """Prometheus may not have discovered its first replica yet; later, empty responses are a gap."""
    gaps = watch()
    for t_s in (12.0, 14.0, 16.0):
        gaps.add_empty(POD, t_s)
        gaps.add_attempt(POD, t_s)
    gaps.add_data(POD, [17.0])
    assert spans(gaps) == []
    gaps.add_empty(POD, 22.0)
    gaps.add_data(POD, [22.5])
    assert spans(gaps) == [(17.0, 22.5)]


def test_a_source_with_only_empty_responses_has_a_gap_throughout() -> None:
    """No data was collected although the source always answered."""
    gaps = watch()
    gaps.add_empty(POD, 16.0)
    gaps.add_attempt(POD, 16.0)
    gaps.forget(POD)
    assert spans(gaps) == [(10.0, 16.0)]
