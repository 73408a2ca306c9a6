"""Spans without data become events, one for each, on a clock that is only numbers."""

from loadgen.collect.gaps import Gaps, Source

POD = Source("metrics", "a")


def watch(shortest_s: float = 3.0) -> Gaps:
    gaps = Gaps({"metrics": shortest_s, "prometheus": shortest_s})
    gaps.expect(POD, 10.0)
    return gaps


def spans(gaps: Gaps) -> list[tuple[float, float]]:
    data = [event.data or {} for event in gaps.take()]
    return [(span["from_s"], span["to_s"]) for span in data]


def test_a_gap_is_told_when_data_comes_again() -> None:
    """One event from the last data to the next, with source, pod and times; none is told twice."""
    gaps = watch()
    gaps.got(POD, [11.0])
    gaps.tried(POD, 15.0)
    assert gaps.take() == []
    gaps.got(POD, [16.5])
    [event] = gaps.take()
    assert (event.kind, event.pod, event.t_s) == ("collect_gap", "a", 11.0)
    assert event.data == {"source": "metrics", "from_s": 11.0, "to_s": 16.5}
    assert event.message == "nothing was collected from metrics of a for 5.5 s"
    assert gaps.take() == []


def test_a_short_span_is_no_gap() -> None:
    """One missed read is below the shortest gap; exactly that length is one."""
    gaps = watch()
    gaps.got(POD, [12.9, 15.8])
    assert spans(gaps) == []
    gaps.got(POD, [18.8])
    assert spans(gaps) == [(15.8, 18.8)]


def test_a_gap_that_goes_on_ends_with_the_run() -> None:
    """What never came again is told at the end, until the last moment at which it was tried."""
    gaps = watch()
    gaps.got(POD, [11.0])
    gaps.tried(POD, 20.0)
    gaps.release(POD)
    assert spans(gaps) == [(11.0, 20.0)]
    assert gaps.watched == set()


def test_a_source_that_never_answered_is_a_gap_from_when_it_was_due() -> None:
    """A replica that is ready and cannot be read at all has a gap since it became ready."""
    gaps = watch()
    gaps.expect(POD, 14.0)  # due since 10 already
    gaps.tried(POD, 15.0)
    gaps.release(POD)
    assert spans(gaps) == [(10.0, 15.0)]


def test_time_that_was_not_looked_at_is_no_gap() -> None:
    """A source that goes between two reads has no gap after the last of them."""
    gaps = watch()
    gaps.got(POD, [11.0])
    gaps.tried(POD, 11.5)
    gaps.release(POD)  # whenever that is
    assert spans(gaps) == []


def test_what_was_fetched_late_leaves_no_gap() -> None:
    """Samples that were only unreachable for a while and came with the next answer close the span."""
    gaps = watch()
    gaps.got(POD, [11.0])
    gaps.tried(POD, 30.0)
    gaps.got(POD, [float(t) for t in range(31, 11, -1)])
    assert spans(gaps) == []


def test_a_hole_inside_an_answer_is_a_gap() -> None:
    """Late samples before an outage do not hide it."""
    gaps = watch()
    gaps.got(POD, [11.0])
    gaps.got(POD, [12.0, 13.0, 40.0, 41.0])
    assert spans(gaps) == [(13.0, 40.0)]


def test_data_from_a_source_that_is_not_due_is_no_matter() -> None:
    """A replica that is not ready may be read or not: it has no gaps."""
    gaps = Gaps({"metrics": 3.0})
    gaps.got(POD, [1.0, 50.0])
    gaps.tried(POD, 60.0)
    gaps.release(POD)
    assert gaps.take() == []


def test_a_source_that_is_quiet_at_first_has_no_gap_then() -> None:
    """Prometheus that answers but has not found its first replica yet is missing nothing; later it is."""
    gaps = watch()
    for t_s in (12.0, 14.0, 16.0):
        gaps.quiet(POD, t_s)
        gaps.tried(POD, t_s)
    gaps.got(POD, [17.0])
    assert spans(gaps) == []
    gaps.quiet(POD, 22.0)
    gaps.got(POD, [22.5])
    assert spans(gaps) == [(17.0, 22.5)]


def test_a_source_that_is_quiet_to_the_end_is_a_gap_throughout() -> None:
    """Nothing at all was collected, though it always answered."""
    gaps = watch()
    gaps.quiet(POD, 16.0)
    gaps.tried(POD, 16.0)
    gaps.release(POD)
    assert spans(gaps) == [(10.0, 16.0)]
