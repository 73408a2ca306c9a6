"""Which requests found a free slot: those that were sent while few others were in flight."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.demand.services import modelled, others_in_flight

SPANS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1, max_size=12)


@given(SPANS)
def test_the_others_are_those_that_were_sent_and_had_not_ended(spans: list[tuple[int, int]]) -> None:
    """Counted one by one; whole seconds make many of them start, or end, at the same moment."""
    sent = np.array([start for start, _ in spans], dtype=float)
    ended = sent + np.array([length for _, length in spans])
    counted = [sum(sent[j] <= sent[i] < ended[j] for j in range(len(spans)) if j != i) for i in range(len(spans))]
    assert others_in_flight(sent, ended).tolist() == counted


def test_requests_that_are_sent_at_the_same_moment_are_not_alone() -> None:
    """Three at once have two others each; one that was never sent counts nowhere, and has no number."""
    sent = np.array([1.0, 1.0, 1.0, math.nan, 5.0])
    found = others_in_flight(sent, np.array([2.0, 3.0, math.nan, 4.0, 6.0]))
    assert found[:3].tolist() == [2.0, 2.0, 2.0]
    assert math.isnan(found[3])
    assert found[4] == 1.0  # the third one never ended


def test_a_burst_does_not_make_the_prefill_longer() -> None:
    """30 pairs on one slot, of which the second waits for the 0.5 s of the first, and 30 requests that are alone.

    These show the prefill of 0.1 s. Both of a pair were sent while none that was sent before was in flight.
    """
    pairs = np.repeat(np.arange(30) * 10.0, 2)
    alone = 300.0 + np.arange(30) * 10.0
    sent = np.concatenate((pairs, alone))
    start = np.concatenate((pairs + np.tile([0.0, 0.5], 30), alone))
    made = modelled(sent, start + 0.1, start + 0.5, start + 0.5)
    assert made.service_s == pytest.approx(0.5)
    assert made.start_s == pytest.approx(start)
