"""What each replica answered."""

from loadgen.analyze.chain.share import answered
from support.runs.tables import observed, request, series


def test_names_in_the_answers_are_used_where_most_have_one():
    """Half of the answers name their replica: the counters are not needed."""
    rows = [request(n, float(n)) | {"pod": "a" if n % 2 else None} for n in range(10)]
    found = answered(observed(requests=rows))
    assert (found.source, list(found.pod), found.resolution_s) == ("requests.pod", ["a"] * 5, 0.0)
    assert list(found.t_s) == [n + 1.0 for n in range(1, 10, 2)]


def test_counters_are_used_where_answers_name_no_replica():
    """Increments of the counters at their samples; one that falls was reset."""
    samples = series("raw_success", "a", {0.0: 5.0, 2.0: 6.0, 4.0: 8.0, 6.0: 1.0})
    found = answered(observed(requests=[request(0, 0.0)], samples=samples))
    assert (found.source, list(found.t_s), found.resolution_s) == ("raw_success", [2.0, 4.0, 4.0, 6.0], 2.0)
    assert answered(observed(requests=[request(0, 0.0)])) is None


def test_counters_that_cannot_be_followed_are_left():
    """A counter of another age of the universe costs no memory."""
    samples = series("raw_success", "a", {0.0: 0.0, 2.0: 1e18, 4.0: 2e18})
    assert answered(observed(requests=[request(0, 0.0)], samples=samples)) is None
