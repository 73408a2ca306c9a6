"""Elasticity metrics, each by arithmetic on paper."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.demand.elasticity import elasticity
from loadgen.analyze.steps import Step


def step(*changes):
    return Step(np.array([t for t, _ in changes], dtype=float), np.array([n for _, n in changes], dtype=float))


NEED = step((0, 1), (40, 3), (80, 2))
SUPPLY = step((-5, 1), (50, 2), (60, 4), (100, 1))
"""Over 100 s: 0–40 equal; 40–50 1 of 3; 50–60 2 of 3; 60–80 4 for 3; 80–100 4 for 2."""


@pytest.fixture(scope="module")
def made():
    return elasticity(NEED, SUPPLY, 100.0, 10.0, slow_ratio=0.25)


def test_accuracy_is_the_mean_relative_difference(made):
    """θ_U = (2/3 · 10 + 1/3 · 10) / 100 = 0.1; θ_O = (1/3 · 20 + 2/2 · 20) / 100 = 4/15."""
    assert made.theta_under == pytest.approx(0.1)
    assert made.theta_over == pytest.approx(4 / 15)


def test_timeshares_are_the_time_with_too_few_and_too_many(made):
    """40–60 s too few, 60–100 s too many."""
    assert (made.tau_under, made.tau_over) == (pytest.approx(0.2), pytest.approx(0.4))


def test_instability_compares_the_directions_of_each_step(made):
    """Steps of 10 s, nine of them: to 40 s the need rises alone, to 50 and 60 s the supply, to 80 s the need falls.

    Need over supply: one of nine (40). Supply over need: 50, 60 and 80, three of nine.
    """
    assert made.upsilon_under == pytest.approx(1 / 9)
    assert made.upsilon_over == pytest.approx(3 / 9)


def test_jitter_reversals_overshoot_and_settling(made):
    """The supply changes twice within 100 s (at 50 and 60), the need twice; 4 for at most 3; it never settles at 2."""
    assert made.jitter_per_s == 0.0
    assert made.reversals == 0
    assert made.overshoot_ratio == pytest.approx(1 / 3)
    assert made.settling_s is None
    assert made.unneeded_s == 0.0


def test_the_deviation_is_the_distance_from_the_ideal(made):
    """(0.1⁶ + (4/15)⁶ + 0.2⁶ + 0.4⁶ + (4/9)⁶ + 0.25⁶)^(1/6)."""
    values = (0.1, 4 / 15, 0.2, 0.4, 4 / 9, 0.25)
    assert made.deviation == pytest.approx(sum(x**6 for x in values) ** (1 / 6))
    assert elasticity(NEED, SUPPLY, 100.0, 10.0).deviation is None


def test_a_supply_that_is_the_need_is_ideal():
    """Everything is 0, except that the need itself turns once."""
    made = elasticity(NEED, NEED, 100.0, 10.0, slow_ratio=0.0)
    assert made.deviation == made.theta_under == made.theta_over == made.tau_under == made.tau_over == 0
    assert made.settling_s == made.overshoot_ratio == made.jitter_per_s == 0
    assert made.reversals == 1


def test_settling_is_the_longest_time_until_the_supply_stays_near():
    """Needed 20 from 40 s; supplied 10, 25 at 50 s, 18 at 55 s (within a tenth), 22 at 70 s: settled after 15 s."""
    made = elasticity(step((0, 10), (40, 20)), step((0, 10), (50, 25), (55, 18), (70, 22)), 100.0, 10.0)
    assert made.settling_s == pytest.approx(15.0)
    assert made.reversals == 2
    assert made.jitter_per_s == pytest.approx(2 / 100)


def test_supply_without_need_is_counted_apart():
    """Nothing is needed until 50 s, while two are supplied; then two: no ratio is undefined."""
    made = elasticity(step((0, 0), (50, 2)), step((0, 2)), 100.0, 10.0)
    assert made.unneeded_s == 50.0
    assert (made.theta_over, made.tau_over) == (0.0, 0.0)
    nothing = elasticity(step((0, 0)), step((0, 2)), 100.0, 10.0)
    assert (nothing.unneeded_s, nothing.overshoot_ratio) == (100.0, math.inf)


CURVE = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 9)), max_size=8)


@given(CURVE, CURVE, st.integers(2, 5))
def test_laws_of_elasticity(need, supply, factor):
    """Stretching time changes no ratio; scaling both curves changes neither θ nor τ; the shares are at most 1."""

    def curve(changes, time=1.0, count=1.0):
        chosen = {0: 2} | dict(changes)
        return step(*sorted((t * time, n * count) for t, n in chosen.items()))

    plain = elasticity(curve(need), curve(supply), 100.0, 5.0)
    slow = elasticity(curve(need, time=factor), curve(supply, time=factor), 100.0 * factor, 5.0 * factor)
    large = elasticity(curve(need, count=factor), curve(supply, count=factor), 100.0, 5.0)
    for name in ("theta_under", "theta_over", "tau_under", "tau_over", "upsilon_under", "upsilon_over"):
        assert getattr(slow, name) == pytest.approx(getattr(plain, name))
        if not name.startswith("upsilon"):
            assert getattr(large, name) == pytest.approx(getattr(plain, name))
    assert plain.tau_under + plain.tau_over <= 1 + 1e-9
    assert plain.upsilon_under + plain.upsilon_over <= 1 + 1e-9


EXAMPLES = {
    "late by 20 of 100 s": (
        {0: 1, 40: 2},
        {0: 1, 60: 2},
        # θ_U = 1/2 · 20/100; the need rises at 40 s, the supply at 60 s: one of nine steps each
        {"theta_under": 0.1, "tau_under": 0.2, "upsilon_under": 1 / 9, "upsilon_over": 1 / 9, "jitter_per_s": 0.0},
    ),
    "one too many throughout": (
        {0: 4},
        {0: 5},
        {"theta_over": 0.25, "tau_over": 1.0, "upsilon_under": 0.0, "upsilon_over": 0.0, "jitter_per_s": 0.0},
    ),
    "flapping at a constant need": (
        {0: 2},
        {0: 2, 20: 3, 40: 1, 60: 3, 80: 2},
        # over 20–40 and 60–80 s by 1/2, under 40–60 s by 1/2; two steps up and two down; four changes against none
        {
            "theta_over": 0.2,
            "theta_under": 0.1,
            "tau_over": 0.4,
            "tau_under": 0.2,
            "upsilon_over": 2 / 9,
            "upsilon_under": 2 / 9,
            "jitter_per_s": 0.04,
            "deviation": (0.2**6 + 0.1**6 + 0.4**6 + 0.2**6 + (4 / 9) ** 6 + 0.3**6) ** (1 / 6),
        },
    ),
}


@pytest.mark.parametrize(("need", "supply", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_small_examples(need, supply, expected):
    """100 s, steps of 10 s, 30 % of the requests slow; all other shares are 0."""
    made = elasticity(step(*need.items()), step(*supply.items()), 100.0, 10.0, slow_ratio=0.3)
    shares = ("theta_under", "theta_over", "tau_under", "tau_over", "upsilon_under", "upsilon_over")
    for name, value in {**dict.fromkeys(shares, 0.0), **expected}.items():
        assert getattr(made, name) == pytest.approx(value), name


@given(CURVE, CURVE)
def test_integrals_are_the_sums_of_the_papers(need, supply):
    """The sums with Δt = 1 s over t = 1 … T, for curves that change at whole seconds."""
    curves = [dict({0: 2} | dict(changes)) for changes in (need, supply)]
    values = [[curve[max(at for at in curve if at <= t)] for t in range(100)] for curve in curves]
    pairs = list(zip(*values, strict=True))
    made = elasticity(*(step(*sorted(curve.items())) for curve in curves), 100.0, 1.0)
    assert made.theta_under == pytest.approx(sum(max(d - s, 0) / d for d, s in pairs) / 100)
    assert made.theta_over == pytest.approx(sum(max(s - d, 0) / d for d, s in pairs) / 100)
    assert made.tau_under == pytest.approx(sum(d > s for d, s in pairs) / 100)
    assert made.tau_over == pytest.approx(sum(s > d for d, s in pairs) / 100)
    signs = [[(after > before) - (after < before) for before, after in pairwise(v)] for v in values]
    both = sum(min(abs(s - d), 1) for d, s in zip(*signs, strict=True)) / 99
    assert made.upsilon_under + made.upsilon_over == pytest.approx(both)
