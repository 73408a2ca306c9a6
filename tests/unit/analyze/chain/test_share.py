"""What each replica answered, and when a new one had its fair share."""

import numpy as np
import pytest

from loadgen.analyze.chain.share import Answered, answered, fair_share_s
from support.runs.tables import observed, request, series


def answers(who, every_s=0.1):
    times = np.arange(len(who)) * every_s
    return Answered(times, np.array(list(who), dtype=object), "requests.pod", 0.0)


def test_the_share_is_fair_from_the_first_window_in_which_it_is():
    """100 answers of the old replica, then in turn: of the answers 89 … 108 the new one has five, 100, 102, … 108."""
    found = answers("a" * 100 + "ba" * 100)
    assert fair_share_s(found, ("b",), 2, 0.0, 100.0) == pytest.approx(8.9)
    assert fair_share_s(found, ("b",), 2, 12.0, 100.0) == pytest.approx(12.0)


def test_a_replica_with_a_small_share_never_has_its_fair_one():
    """Connections that stay with the old replica leave one in ten to the new one."""
    assert fair_share_s(answers("aaaaaaaaab" * 40), ("b",), 2, 0.0, 100.0) is None


def test_every_new_replica_must_have_its_share():
    """b has a third from the start and c from the 60th answer on."""
    found = answers("aab" * 20 + "abc" * 40)
    alone = fair_share_s(found, ("b",), 3, 0.0, 100.0)
    both = fair_share_s(found, ("b", "c"), 3, 0.0, 100.0)
    assert alone == 0.0
    assert both == pytest.approx(4.5)  # of answers 45 … 74, c has the 63rd, 66th, 69th, 72nd and 75th


def test_too_few_answers_tell_nothing():
    """Twenty answers of two replicas are needed, before the replicas change again."""
    assert fair_share_s(answers("ab" * 9), ("b",), 2, 0.0, 100.0) is None
    assert fair_share_s(answers("ab" * 30), ("b",), 2, 0.0, 1.5) is None


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
