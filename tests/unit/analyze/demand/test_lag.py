"""Signed lags by level and cycle."""

import numpy as np

from loadgen.analyze.demand.lag import lags, phase_s, with_phase, worst
from loadgen.analyze.results.demand import Estimate, LevelLag, NeededSpan
from loadgen.analyze.steps import Step


def around(value, spread=0.0):
    return Estimate(value=value, low=value - spread, high=value + spread)


def need(replicas, start, end=None, spread=0.0):
    return NeededSpan(replicas=replicas, start=around(start, spread), end=None if end is None else around(end, spread))


def serving(*changes):
    return Step(np.array([t for t, _ in changes], dtype=float), np.array([n for _, n in changes], dtype=float))


def test_a_replica_that_serves_before_it_is_needed_has_a_negative_lag():
    """Needed at 84 s, served at 60 s: in time by 24 s; the interval of the need is that of the lag."""
    (lag,) = lags([need(2, 84, 200, spread=3)], serving((-10, 1), (60, 2), (230, 1)), 300)
    assert lag.lag == Estimate(value=-24.0, low=-27.0, high=-21.0)
    assert lag.served_s == 60
    assert not lag.already_served


def test_a_late_replica_has_a_positive_lag():
    """Needed at 60 s, served at 89 s."""
    (lag,) = lags([need(2, 60, 120)], serving((-12, 1), (89, 2)), 180)
    assert lag.lag == around(29.0)


def test_a_cycle_pairs_with_the_replicas_of_its_own_span():
    """Two waves: 2 needed 60 … 120 and 260 … 320 s; served from 80 to 150 and from 250 s on: 20 s late, 10 s early."""
    late, early = lags([need(2, 60, 120), need(2, 260, 320)], serving((-5, 1), (80, 2), (150, 1), (250, 2)), 400)
    assert late.lag == around(20.0)
    assert early.lag == around(-10.0)


def test_replicas_that_stayed_from_the_previous_cycle_are_not_a_scale_up():
    """The second replica never left: the second need is served since the end of the first, at 120 s."""
    _, second = lags([need(2, 60, 120), need(2, 260, 320)], serving((-5, 1), (80, 2)), 400)
    assert second.already_served
    assert second.lag == around(-140.0)


def test_replicas_that_come_after_the_need_do_not_count():
    """Needed 60 … 90 s, served at 100 s: they did not serve while they were needed."""
    (lag,) = lags([need(2, 60, 90)], serving((-5, 1), (100, 2)), 180)
    assert (lag.served_s, lag.lag) == (None, None)


def test_each_level_has_its_own_lag():
    """1 → 3 at once: two replicas are needed at 50 s, three at 70 s, both serve at 80 s; four never do."""
    made = lags([need(2, 50), need(3, 70), need(4, 90)], serving((-5, 1), (80, 3)), 180)
    assert [lag.lag.value if lag.lag else None for lag in made] == [30.0, 10.0, None]


def test_no_supply_was_observed():
    """Without a serving replica no need is served."""
    (lag,) = lags([need(2, 50)], Step(np.empty(0), np.empty(0)), 180)
    assert lag.lag is None


def test_an_event_reports_the_worst_of_its_levels():
    """Decided at 45 s from 1 to 3: levels 2 and 3 of the first cycle, of which level 2 is later."""
    needs = [need(2, 50, 100), need(3, 70, 90), need(2, 250, 300)]
    made = lags(needs, serving((-5, 1), (80, 3), (120, 1), (240, 2)), 400)
    assert worst(made, needs, range(2, 4), 45.0, 120.0) is made[0]
    assert worst(made, needs, range(2, 4), 200.0, 400.0) is made[2]
    assert worst(made, needs, range(4, 5), 45.0, 120.0) is None
    assert worst(made, needs, range(2, 4), 350.0, 400.0) is None


def test_replicas_that_were_gone_when_they_were_needed_answered_nothing():
    """Decided at 10 s and gone at 40 s, needed at 50 s."""
    needs = [need(2, 50, 100)]
    made = lags(needs, serving((-5, 1), (20, 2), (40, 1)), 400)
    assert worst(made, needs, range(2, 3), 10.0, 40.0) is None


def test_replicas_that_never_served_are_at_least_as_late_as_they_were_needed():
    """Two serve 30 s late; three never do: needed for 20 s they are no worse, needed until the end they are."""
    short = [need(2, 50, 100), need(3, 70, 90)]
    made = lags(short, serving((-5, 1), (80, 2)), 400)
    assert worst(made, short, range(2, 4), 45.0, 400.0) is made[0]
    long = [need(2, 50, 100), need(3, 70)]
    made = lags(long, serving((-5, 1), (80, 2)), 400)
    assert worst(made, long, range(2, 4), 45.0, 400.0) is made[1]


def test_the_phase_of_the_hpa_is_the_wait_for_its_next_sync():
    """Over target at 67 s, syncs at 60, 75 and 90 s: 8 s of chance, 0.5 s more than on average."""
    syncs = np.array([60.0, 75.0, 90.0])
    phase = phase_s(67.0, syncs, 15.0)
    assert phase == 8.0
    lag = LevelLag(replicas=2, needed=around(60), served_s=89.0, lag=around(29))
    made = with_phase(lag, phase, 15.0)
    assert (made.phase_s, made.lag_at_mid_phase_s) == (8.0, 28.5)


def test_the_phase_is_unknown_without_a_sync_soon_after():
    """No sync after 90 s, and the next one is three periods away."""
    assert phase_s(95.0, np.array([60.0, 90.0]), 15.0) is None
    assert phase_s(45.0, np.array([95.0]), 15.0) is None
    lag = LevelLag(replicas=2, needed=around(60), served_s=89.0, lag=around(29))
    assert with_phase(lag, None, 15.0) is lag
