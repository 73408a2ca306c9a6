"""Rates: values at known times, exact integrals, combinations, spans and validation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from loadgen.base.errors import SettingsError
from loadgen.scenario.rates import Constant, Rate, RateBase, Spike, Step, Wave

WAVE = Wave(trough_per_s=1, peak_per_s=9, period_s=100, cycles=2)
TRAPEZOID = Wave(trough_per_s=1, peak_per_s=9, period_s=100, cycles=2, shape="trapezoid", ramp_ratio=0.2)


@pytest.mark.parametrize(
    ("rate", "t_s", "per_s"),
    [
        (WAVE, 0, 1),  # trough at the start
        (WAVE, 25, 5),  # middle: 1 + 8·(1 − cos(π/2))/2
        (WAVE, 50, 9),  # peak
        (WAVE, 150, 9),  # peak of the second wave
        (WAVE, 200, 0),  # over
        (WAVE, -1, 0),  # not begun
        (TRAPEZOID, 10, 1),  # hold/2 = (1 − 0.4)/2·100/2 = 15 s of trough
        (TRAPEZOID, 25, 5),  # middle of the ramp from 15 to 35 s
        (TRAPEZOID, 40, 9),  # peak from 35 to 65 s
        (TRAPEZOID, 75, 5),  # middle of the ramp down from 65 to 85 s
        (TRAPEZOID, 140, 9),
        (Step(levels_per_s=(1, 4, 2), hold_s=10), 10, 4),  # a level starts at its edge
        (Step(levels_per_s=(1, 4, 2), hold_s=10), 29.99, 2),
        (Spike(base_per_s=1, peak_per_s=7, start_s=5, width_s=2, duration_s=20), 5, 7),
        (Spike(base_per_s=1, peak_per_s=7, start_s=5, width_s=2, duration_s=20), 7, 1),
        (Constant(per_s=3, duration_s=5) + Constant(per_s=1, duration_s=10), 4, 4),
        (Constant(per_s=3, duration_s=5) + Constant(per_s=1, duration_s=10), 6, 1),
        (Constant(per_s=3, duration_s=5) * 2, 1, 6),
        (Constant(per_s=3, duration_s=5).then(Constant(per_s=1, duration_s=10)), 5, 1),
    ],
)
def test_value(rate: RateBase, t_s: float, per_s: float) -> None:
    """`at` returns the rate of the equation."""
    assert rate.at(float(t_s)) == pytest.approx(per_s)


@pytest.mark.parametrize(
    ("rate", "total"),
    [
        (WAVE, 1000),  # mean of trough and peak (5/s) × 200 s
        (TRAPEZOID, 1000),  # symmetric about the middle as well
        (Step(levels_per_s=(1, 4, 2), hold_s=10), 70),
        (Spike(base_per_s=1, peak_per_s=7, start_s=5, width_s=2, duration_s=20), 32),  # 20 + 6·2
        ((WAVE * 0.5).then(Constant(per_s=2, duration_s=5)), 510),
    ],
)
def test_total(rate: RateBase, total: float) -> None:
    """`expected` over the whole length is the area under the curve."""
    assert rate.expected(rate.length_s) == pytest.approx(total)
    assert rate.expected(rate.length_s + 1000) == pytest.approx(total)


positive = st.floats(0.1, 50)
rates = st.recursive(
    st.one_of(
        st.builds(Constant, per_s=st.floats(0, 50), duration_s=positive),
        st.builds(Step, levels_per_s=st.lists(st.floats(0, 50), min_size=1, max_size=4).map(tuple), hold_s=positive),
        st.builds(
            lambda base, extra, start, width, rest: Spike(
                base_per_s=base,
                peak_per_s=base + extra,
                start_s=start,
                width_s=width,
                duration_s=start + width + rest,
            ),
            st.floats(0, 10),
            st.floats(0, 40),
            positive,
            st.floats(1, 10),  # wide enough to be seen by the sampling below
            positive,
        ),
        st.builds(
            lambda low, extra, period, cycles, shape, names: Wave(
                trough_per_s=low,
                peak_per_s=low + extra,
                period_s=period,
                cycles=cycles,
                shape=shape,
                phase_names=names,
            ),
            st.floats(0, 10),
            st.floats(0, 40),
            positive,
            st.integers(1, 3),
            st.sampled_from(["sine", "trapezoid"]),
            st.lists(st.sampled_from(["a", "b", "a 1", "off-peak"]), min_size=2, max_size=2, unique=True).map(tuple),
        ),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a.then(b), inner, inner),
        st.builds(lambda a, f: a * f, inner, st.floats(0, 3)),
    ),
    max_leaves=4,
)


@given(rates, st.floats(0, 1), st.floats(0, 1))
def test_integral_is_exact(rate: RateBase, a: float, b: float) -> None:
    """expected(b) − expected(a) is the area under `at`, for every rate and every combination of rates."""
    low, high = sorted((a * rate.length_s, b * rate.length_s))
    edges = np.linspace(low, high, 20_001)
    middles = (edges[1:] + edges[:-1]) / 2
    area = float(np.sum(rate.at(middles)) * (high - low) / 20_000)
    exact = rate.expected(high) - rate.expected(low)
    top = float(np.max(rate.at(np.linspace(0, rate.length_s, 2_000))))
    # a jump inside a cell of the midpoint sum costs at most half a cell's height; allow eight jumps
    assert math.isclose(exact, area, rel_tol=1e-4, abs_tol=8 * (top + 1) * (high - low) / 20_000 + 1e-9)


@given(rates)
def test_spans_cover_the_rate(rate: RateBase) -> None:
    """Spans cover the rate without gaps or overlaps, and their names are unique."""
    spans = rate.spans()
    assert spans[0].start_s == 0
    assert spans[-1].end_s == pytest.approx(rate.length_s)
    for before, after in itertools.pairwise(spans):
        assert before.end_s == pytest.approx(after.start_s)
    assert len({span.name for span in spans}) == len(spans)


@given(rates)
def test_survives_json(rate: RateBase) -> None:
    """A rate written to run.json reads back as the same value."""
    adapter: TypeAdapter[RateBase] = TypeAdapter(Rate)
    assert adapter.validate_json(rate.model_dump_json()) == rate


def test_wave_spans_are_named_phases() -> None:
    """Each peak and off-peak phase has its name and number; they change where the rate crosses the middle."""
    assert [(span.name, span.start_s) for span in WAVE.spans()] == [
        ("off-peak 1", 0),
        ("peak 1", 25),
        ("off-peak 2", 75),
        ("peak 2", 125),
        ("off-peak 3", 175),
    ]


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Constant(per_s=-1, duration_s=1), "Constant.per_s: input should be greater than or equal to 0"),
        (lambda: Wave(trough_per_s=9, peak_per_s=8, period_s=10), "peak_per_s 8 is below trough_per_s 9: swap them"),
        (lambda: Wave(trough_per_s=1, peak_per_s=8, period_s=0), "Wave.period_s: input should be greater than 0"),
        (lambda: Wave(trough_per_s=1, peak_per_s=8, periods=3), "no such setting; check its spelling"),
        (lambda: Constant(per_s=float("nan"), duration_s=1), "Constant.per_s"),
        (lambda: Constant(per_s=1, duration_s=float("inf")), "Constant.duration_s"),
        (lambda: WAVE * -1, "Scaled.factor"),
        (
            lambda: Wave(trough_per_s=1, peak_per_s=8, period_s=10, phase_names=("a", "a")),
            "phase_names are both 'a': give trough and peak different names",
        ),
        (
            lambda: Spike(base_per_s=1, peak_per_s=2, start_s=5, width_s=6, duration_s=10),
            "increase duration_s",
        ),
    ],
)
def test_invalid_rates(build: object, says: str) -> None:
    """An inconsistent rate is refused with a message that names the setting."""
    with pytest.raises(SettingsError) as caught:
        build()  # type: ignore[operator]
    assert says in str(caught.value)
