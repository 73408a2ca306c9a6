"""Whether the fleet was in time: the answer for every kind of lag, and where the need is unknown."""

import numpy as np
import pytest

from loadgen.analyze.demand.in_time import in_time
from loadgen.analyze.observed import Series
from loadgen.analyze.results import Attribution, ClockOffset, Demand, Estimate, LevelLag, NeededSpan, SignalTruth
from support.runs.tables import info, observed, rescale

TRUE = SignalTruth(verdict="trustworthy", reason="")
BLIND = SignalTruth(verdict="blind", reason="")
NO_OFFSET = ClockOffset(offset_s=0.0, error_s=1.0)


def around(value, half=0.0):
    return Estimate(value=value, low=value - half, high=value + half)


def lag(replicas, value, *, half=0.0, start=20.0, end=50.0, already=False):
    """A need from `start` to `end` and its lag; None if the replicas never served in it."""
    span = NeededSpan(replicas=replicas, start=around(start, half), end=None if end is None else around(end, half))
    served = None if value is None else start + value
    found = LevelLag(
        replicas=replicas,
        needed=span.start,
        served_s=served,
        lag=None if value is None else around(value, half),
        already_served=already,
    )
    return span, found


def cause(by_lag=0, slow=10, unexplained=0):
    return Attribution(
        slow=slow,
        by_lag=by_lag,
        otherwise=slow - by_lag - unexplained,
        unexplained=unexplained,
        conclusive=unexplained <= 0.1 * slow,
    )


def answer(lags, attribution=None, *, clock=NO_OFFSET, run=None, scaling=(), ratio=None, truth=TRUE, why=None):
    demand = Demand(
        rates=() if why else (around(5.0),),
        needed=tuple(span for span, _ in lags),
        lags=tuple(found for _, found in lags),
        attribution=attribution,
        why_missing=why,
    )
    series = Series(np.arange(0.0, 60.0), np.full(60, 0.0 if ratio is None else ratio))
    return in_time(run or observed(), series, demand, scaling, truth, clock)


@pytest.mark.parametrize(
    ("lags", "attribution", "expected"),
    [
        ([lag(2, -5.0)], None, "in_time"),
        ([lag(2, -5.0, half=6.0)], None, "not_known"),
        ([lag(2, -5.0, half=6.0)], cause(), "in_time"),
        ([lag(2, 12.0)], None, "late"),
        ([lag(2, 12.0)], cause(by_lag=3), "late"),
        ([lag(2, 12.0)], cause(), "in_time"),
        ([lag(2, 12.0)], cause(unexplained=2), "not_known"),
        ([lag(2, -5.0), lag(3, 8.0)], cause(by_lag=1), "late"),
        ([lag(2, None)], None, "late"),
        ([lag(2, -5.0, already=True)], cause(), "not_tested"),
        ([], cause(), "not_tested"),
        ([lag(5, None)], cause(), "not_tested"),
        ([lag(5, None), lag(4, -2.0)], cause(), "in_time"),
    ],
)
def test_the_answer(lags, attribution, expected):
    """Early, late, harmless, unexplained, already there, and beyond the maximum of four replicas."""
    assert answer(lags, attribution).answer == expected


def test_the_worst_lag_counts():
    """Of 4 s and 12 s it is the second; replicas that were needed for 30 s and never served are worse."""
    found = answer([lag(2, 4.0), lag(3, 12.0)])
    assert (found.lag.value, found.replicas, found.at_least) == (12.0, 3, False)
    found = answer([lag(2, 4.0), lag(3, 12.0), lag(4, None, half=1.0)])
    assert (found.lag, found.replicas, found.at_least) == (Estimate(value=30.0, low=28.0, high=32.0), 4, True)
    assert not found.until_load_end
    assert answer([lag(2, None, end=None)]).until_load_end


def test_clocks_that_differ_make_the_lag_unknown():
    """10 s between the clocks make a lag of 12 s one of 2 s or of 22 s."""
    found = answer([lag(2, 12.0)], cause(by_lag=3), clock=ClockOffset(offset_s=10.0, error_s=0.5))
    assert (found.answer, found.clocks_differ) == ("not_known", True)
    assert answer([], clock=ClockOffset(offset_s=10.0, error_s=0.5)).answer == "not_tested"


@pytest.mark.parametrize(
    ("ratio", "truth", "expected"), [(0.5, TRUE, "not_tested"), (0.5, BLIND, "not_known"), (1.2, TRUE, "not_known")]
)
def test_without_a_known_need_only_a_quiet_ratio_tells(ratio, truth, expected):
    """A ratio that stayed below its target of 1.1 asked for nothing, unless it is blind."""
    assert answer([], ratio=ratio, truth=truth, why="requests hardly ever waited").answer == expected


def test_a_scale_up_without_a_known_need_is_not_known():
    """Whether the replicas were needed is not known, and the reason says why."""
    from loadgen.analyze.analysis import analyze
    from support.runs.tables import tables

    events = analyze(info(), tables(events=[rescale(20, 1, 2)])).scaling
    found = answer([], scaling=events, why="requests hardly ever waited")
    assert (found.answer, found.reason) == ("not_known", "requests hardly ever waited")
    assert answer([], run=observed(info(autoscaler=None)), why="it was not observed").answer == "not_known"
