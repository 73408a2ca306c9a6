"""Arrivals: open loop, seeded, and distributed as the rate says."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.base.errors import SettingsError
from loadgen.load import arrivals
from loadgen.load.arrivals import due_times, max_in_any_window
from loadgen.scenario.rates import Constant, Spike, Wave

WAVE = Wave(trough_per_s=0, peak_per_s=40, period_s=100, cycles=2)


def test_even_spacing() -> None:
    """Evenly spaced arrivals of 2/s come at ¼, ¾, 1¼ … seconds."""
    due = due_times(Constant(per_s=2, duration_s=3), "even", seed=0)
    assert due == pytest.approx([0.25, 0.75, 1.25, 1.75, 2.25, 2.75])


@pytest.mark.parametrize(
    ("per_s", "due_s"),
    [
        (0.26, [1.923, 5.769, 9.615]),  # Λ(10) = 2.6 reaches ½, 1½ and 2½: at 0.5/0.26, 1.5/0.26, 2.5/0.26
        (0.24, [2.083, 6.25]),  # Λ(10) = 2.4 reaches ½ and 1½
    ],
)
def test_even_spacing_fills_the_end(per_s: float, due_s: list[float]) -> None:
    """Every level k + ½ that the rate reaches has its arrival."""
    assert due_times(Constant(per_s=per_s, duration_s=10), "even", seed=0) == pytest.approx(due_s, abs=0.001)


@example(0, 1, 25, 1)  # the sum of 25 comes out as 24.999…
@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 60), st.integers(1, 3))
def test_even_waves_of_whole_totals(trough: int, extra: int, half_period: int, cycles: int) -> None:
    """A wave whose area is a whole number sends just that many requests, however the integral is rounded."""
    wave = Wave(trough_per_s=trough, peak_per_s=trough + extra, period_s=2 * half_period, cycles=cycles)
    # mean of trough and peak over a period of 2·h: (2·trough + extra)·h
    assert len(due_times(wave, "even", seed=0)) == (2 * trough + extra) * half_period * cycles


def test_no_arrival_by_chance() -> None:
    """If few arrivals are expected and none is drawn, the scenario is refused."""
    # e⁻¹ = 37 % of all seeds draw none where one is expected: 1 is such a seed
    with pytest.raises(SettingsError, match="1 are expected in total, and poisson arrivals with seed 1 give none"):
        due_times(Constant(per_s=0.1, duration_s=10), "poisson", seed=1)


def test_same_seed_same_times() -> None:
    """The due times depend on nothing but rate, spacing and seed."""
    assert np.array_equal(due_times(WAVE, "poisson", 7), due_times(WAVE, "poisson", 7))
    assert not np.array_equal(due_times(WAVE, "poisson", 7)[:50], due_times(WAVE, "poisson", 8)[:50])


def test_poisson_counts_follow_the_rate() -> None:
    """Counts in twenty bins have the mean and the variance that the rate's integral gives, over 200 seeds."""
    edges = np.linspace(0, WAVE.length_s, 21)
    expected = np.diff(WAVE.expected(edges))
    counts = np.array([np.histogram(due_times(WAVE, "poisson", seed), edges)[0] for seed in range(200)])
    # the mean of 200 Poisson counts of mean m has standard error sqrt(m/200): five of them never miss by chance
    assert np.all(np.abs(counts.mean(axis=0) - expected) < 5 * np.sqrt(expected / 200) + 1e-9)
    # index of dispersion of a Poisson count is 1; its standard error over 200 draws is sqrt(2/199) = 0.1
    dispersion = counts.var(axis=0, ddof=1)[expected > 1] / expected[expected > 1]
    assert np.all(np.abs(dispersion - 1) < 0.5)


def test_gaps_are_exponential() -> None:
    """At a constant rate the gaps have the mean and the standard deviation of an exponential."""
    gaps = np.diff(due_times(Constant(per_s=50, duration_s=2000), "poisson", 3))
    assert gaps.mean() == pytest.approx(0.02, rel=0.02)
    assert gaps.std() == pytest.approx(0.02, rel=0.02)


def test_no_arrivals_where_the_rate_is_zero() -> None:
    """Where the rate is zero nothing is due."""
    due = due_times(Spike(base_per_s=0, peak_per_s=100, start_s=10, width_s=1, duration_s=30), "poisson", 1)
    assert len(due) > 50
    assert due.min() >= 10
    assert due.max() <= 11 + 1e-9


@given(st.integers(0, 2**32 - 1), st.sampled_from(["poisson", "even"]))
def test_sorted_and_inside(seed: int, spacing: str) -> None:
    """Due times are sorted and lie inside the rate."""
    due = due_times(WAVE * 0.1, spacing, seed)  # type: ignore[arg-type]
    assert np.all(np.diff(due) >= 0)
    assert np.all((due >= 0) & (due <= WAVE.length_s))


def test_max_in_any_window() -> None:
    """[0, 1, 1.5, 1.9, 8] holds four arrivals within two seconds, and a single one within none."""
    due = np.array([0.0, 1.0, 1.5, 1.9, 8.0])
    assert max_in_any_window(due, 2.0) == 4
    assert max_in_any_window(due, 0.0) == 1
    assert max_in_any_window(np.empty(0), 2.0) == 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60).map(sorted), st.floats(0.1, 50))
def test_max_in_any_window_is_a_bound(times: list[float], window_s: float) -> None:
    """No window, wherever it starts, holds more than the bound says."""
    due = np.array(times)
    bound = max_in_any_window(due, window_s)
    for start in [*times, *(t - window_s for t in times)]:
        assert np.sum((due >= start) & (due <= start + window_s)) <= bound + 0


@pytest.mark.parametrize("per_s", [10_000, 1e300])
@pytest.mark.parametrize("spacing", ["poisson", "even"])
def test_more_arrivals_than_one_run_can_plan(per_s: float, spacing: str) -> None:
    """36 million requests are refused before any memory is used, with what to do."""
    with pytest.raises(SettingsError, match=r"sends about [\d,]+ requests, and one run can plan [\d,]+: reduce"):
        due_times(Constant(per_s=per_s, duration_s=3600), spacing, 1)  # type: ignore[arg-type]


def test_arrivals_do_not_depend_on_how_many_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inverse of the rate is computed in chunks, which bounds its memory."""
    whole = due_times(WAVE, "poisson", 1)
    monkeypatch.setattr(arrivals, "_CHUNK", 7)
    assert np.array_equal(due_times(WAVE, "poisson", 1), whole)
