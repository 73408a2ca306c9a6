"""Defines request rates as values: `at(t)` and its exact integral `expected(t)`.

The integral determines the open-loop arrivals: arrival number k is due where it reaches k (see
`loadgen.load.arrivals`). Rates are combined by `+` (at the same time), `*` (scaled) and `.then()` (one after the
other). Times are seconds from the start of the rate, rates are requests per second.
"""

import math
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from loadgen.base.checked import Settings

Floats = npt.NDArray[np.float64]
T = TypeVar("T", float, Floats)


class Span(Settings):
    """A named span of a rate: [start_s, end_s), seconds from the start of the rate."""

    name: str
    start_s: float
    end_s: float


class RateBase(Settings):
    """Base of all rates; a rate is zero outside [0, length_s)."""

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        raise NotImplementedError

    def spans(self) -> tuple[Span, ...]:
        """Return the rate's named spans in order, without gaps, from 0 to `length_s`."""
        raise NotImplementedError

    def _at(self, t_s: Floats) -> Floats:
        """Return the rate at times inside [0, length_s)."""
        raise NotImplementedError

    def _expected(self, t_s: Floats) -> Floats:
        """Return the integral from 0 to times inside [0, length_s]."""
        raise NotImplementedError

    def at(self, t_s: T) -> T:
        """Return the rate at `t_s`, requests per second; `t_s` is a float or an array of any shape."""
        t = np.asarray(t_s, dtype=np.float64)
        inside = (t >= 0) & (t < self.length_s)
        value = np.where(inside, self._at(np.clip(t, 0.0, self.length_s)), 0.0)
        return value if isinstance(t_s, np.ndarray) else float(value)

    def expected(self, t_s: T) -> T:
        """Return the expected number of arrivals in [0, t_s], the exact integral of `at`."""
        t = np.clip(np.asarray(t_s, dtype=np.float64), 0.0, self.length_s)
        value = self._expected(t)
        return value if isinstance(t_s, np.ndarray) else float(value)

    def then(self, following: "Rate") -> "Sequence":
        """Return this rate followed by `following`."""
        first = self.parts if isinstance(self, Sequence) else (_known(self),)
        rest = following.parts if isinstance(following, Sequence) else (following,)
        return Sequence(parts=(*first, *rest))

    def __add__(self, other: "Rate") -> "Sum":
        return Sum(parts=(_known(self), other))

    def __mul__(self, factor: float) -> "Scaled":
        return Scaled(rate=_known(self), factor=factor)

    __rmul__ = __mul__


class Constant(RateBase):
    """The same rate throughout.

    Equation: r(t) = per_s.

        per_s |------------------
              |
            0 +------------------> t
              0         duration_s

    Attributes:
        per_s: The rate.
        duration_s: Length of the load.
        name: Name of the stage in reports.
    """

    kind: Literal["constant"] = "constant"
    per_s: NonNegativeFloat
    duration_s: PositiveFloat
    name: str = "constant"

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        return self.duration_s

    def spans(self) -> tuple[Span, ...]:
        """Return one span, named `name`."""
        return (Span(name=self.name, start_s=0.0, end_s=self.duration_s),)

    def _at(self, t_s: Floats) -> Floats:
        return np.full_like(t_s, self.per_s)

    def _expected(self, t_s: Floats) -> Floats:
        return self.per_s * t_s


class Step(RateBase):
    """A staircase: each level lasts for the same time.

    Equation: r(t) = levels_per_s[floor(t / hold_s)].

        levels[2] |          ------
        levels[1] |     -----
        levels[0] |-----
                0 +----------------> t
                  0 hold_s  …

    Attributes:
        levels_per_s: The rates, one after the other.
        hold_s: How long each of them lasts.
    """

    kind: Literal["step"] = "step"
    levels_per_s: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)]
    hold_s: PositiveFloat

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        return self.hold_s * len(self.levels_per_s)

    def spans(self) -> tuple[Span, ...]:
        """Return one span per level, named by number and rate."""
        return tuple(
            Span(name=f"step {i + 1} ({level:g}/s)", start_s=i * self.hold_s, end_s=(i + 1) * self.hold_s)
            for i, level in enumerate(self.levels_per_s)
        )

    def _at(self, t_s: Floats) -> Floats:
        levels = np.asarray(self.levels_per_s)
        index = np.minimum((t_s / self.hold_s).astype(np.int64), len(levels) - 1)
        return np.asarray(levels[index], dtype=np.float64)

    def _expected(self, t_s: Floats) -> Floats:
        knots = np.arange(len(self.levels_per_s) + 1) * self.hold_s
        sums = np.concatenate(([0.0], np.cumsum(np.asarray(self.levels_per_s) * self.hold_s)))
        return np.interp(t_s, knots, sums)


class Spike(RateBase):
    """A base rate with one sudden, rectangular spike.

    Equation: r(t) = peak_per_s for start_s ≤ t < start_s + width_s, else base_per_s.

        peak_per_s |      ----
                   |
        base_per_s |------    ------
                 0 +------+---+-----> t
                   0  start_s     duration_s

    Attributes:
        base_per_s: Rate before and after the spike.
        peak_per_s: Rate during the spike.
        start_s: Start of the spike.
        width_s: Length of the spike.
        duration_s: Length of the load, which includes time after the spike.
    """

    kind: Literal["spike"] = "spike"
    base_per_s: NonNegativeFloat
    peak_per_s: NonNegativeFloat
    start_s: PositiveFloat
    width_s: PositiveFloat
    duration_s: PositiveFloat

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.peak_per_s < self.base_per_s:
            raise ValueError(f"peak_per_s {self.peak_per_s:g} is below base_per_s {self.base_per_s:g}: swap them")
        if self.start_s + self.width_s >= self.duration_s:
            raise ValueError(
                f"the spike ends at {self.start_s + self.width_s:g} s, not before duration_s "
                f"{self.duration_s:g}: increase duration_s to observe the recovery"
            )
        return self

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        return self.duration_s

    def spans(self) -> tuple[Span, ...]:
        """Return three spans: before, spike, after."""
        end = self.start_s + self.width_s
        return (
            Span(name="before", start_s=0.0, end_s=self.start_s),
            Span(name="spike", start_s=self.start_s, end_s=end),
            Span(name="after", start_s=end, end_s=self.duration_s),
        )

    def _at(self, t_s: Floats) -> Floats:
        inside = (t_s >= self.start_s) & (t_s < self.start_s + self.width_s)
        return np.where(inside, self.peak_per_s, self.base_per_s)

    def _expected(self, t_s: Floats) -> Floats:
        extra = np.clip(t_s - self.start_s, 0.0, self.width_s)
        return self.base_per_s * t_s + (self.peak_per_s - self.base_per_s) * extra


class Wave(RateBase):
    r"""Periodic peaks and troughs; starts and ends in the trough.

    Equation (sine), T = period_s:

        r(t) = trough + (peak − trough) · (1 − cos(2πt/T)) / 2

        peak   |      .-.         .-.
               |    .'   '.     .'   '.
        trough |_.-'       '-_-'       '-_
             0 +-----------+-----------+--> t
               0           T          2T

    Equation (trapezoid), with u = t mod T, h = (1 − 2·ramp_ratio)/2·T and q = ramp_ratio·T: the trough for
    h/2, a linear ramp of q, the peak for h, a ramp down of q, the trough for h/2.

        peak   |     ____         ____
               |    /    \       /    \
        trough |___/      \_____/      \___
             0 +-----------+------------+--> t
               0           T           2T

    A span is named "peak k" while the rate is above the middle, else "off-peak k" (k counts from 1);
    the names are `phase_names`. Both shapes cross the middle at T/4 and 3T/4.

    Attributes:
        trough_per_s: Lowest rate.
        peak_per_s: Highest rate.
        period_s: Length of one wave.
        cycles: Number of waves.
        shape: Sine or trapezoid.
        ramp_ratio: Share of the period that each ramp of a trapezoid takes.
        phase_names: Names of the stages below and above the middle.
    """

    kind: Literal["wave"] = "wave"
    trough_per_s: NonNegativeFloat
    peak_per_s: NonNegativeFloat
    period_s: PositiveFloat
    cycles: PositiveInt = 1
    shape: Literal["sine", "trapezoid"] = "sine"
    ramp_ratio: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.2
    phase_names: tuple[str, str] = ("off-peak", "peak")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.peak_per_s < self.trough_per_s:
            raise ValueError(f"peak_per_s {self.peak_per_s:g} is below trough_per_s {self.trough_per_s:g}: swap them")
        if self.phase_names[0] == self.phase_names[1]:
            raise ValueError(f"phase_names are both {self.phase_names[0]!r}: give trough and peak different names")
        return self

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        return self.period_s * self.cycles

    def spans(self) -> tuple[Span, ...]:
        """Return alternating off-peak and peak spans, 2·cycles + 1 in total."""
        off, peak = self.phase_names
        edges = [0.0]
        for cycle in range(self.cycles):
            edges += [(cycle + 0.25) * self.period_s, (cycle + 0.75) * self.period_s]
        edges.append(self.length_s)
        return tuple(
            Span(
                name=f"{peak if i % 2 else off} {i // 2 + 1}",
                start_s=edges[i],
                end_s=edges[i + 1],
            )
            for i in range(len(edges) - 1)
        )

    def _knots(self) -> tuple[Floats, Floats]:
        hold = (1 - 2 * self.ramp_ratio) / 2 * self.period_s
        ramp = self.ramp_ratio * self.period_s
        lengths = [0.0, hold / 2, ramp, hold, ramp, hold / 2]
        times = np.cumsum(lengths)
        low, high = self.trough_per_s, self.peak_per_s
        return times, np.array([low, low, high, high, low, low])

    def _at(self, t_s: Floats) -> Floats:
        if self.shape == "sine":
            half = (self.peak_per_s - self.trough_per_s) / 2
            return self.trough_per_s + half * (1 - np.cos(2 * math.pi * t_s / self.period_s))
        times, rates = self._knots()
        return np.interp(np.mod(t_s, self.period_s), times, rates)

    def _expected(self, t_s: Floats) -> Floats:
        if self.shape == "sine":
            half = (self.peak_per_s - self.trough_per_s) / 2
            turn = 2 * math.pi / self.period_s
            return np.asarray((self.trough_per_s + half) * t_s - half / turn * np.sin(turn * t_s))
        times, rates = self._knots()
        areas = np.concatenate(([0.0], np.cumsum(np.diff(times) * (rates[1:] + rates[:-1]) / 2)))
        whole = np.floor(t_s / self.period_s)
        rest = t_s - whole * self.period_s
        i = np.clip(np.searchsorted(times, rest, side="right") - 1, 0, len(times) - 2)
        into = rest - times[i]
        slope = (rates[i + 1] - rates[i]) / (times[i + 1] - times[i])
        return np.asarray(whole * areas[-1] + areas[i] + rates[i] * into + slope * into**2 / 2)


class Scaled(RateBase):
    """A rate multiplied by a factor: r(t) = factor · rate(t). Created by `rate * factor`."""

    kind: Literal["scaled"] = "scaled"
    rate: "Rate"
    factor: NonNegativeFloat

    @property
    def length_s(self) -> float:
        """Length of the rate, seconds."""
        return self.rate.length_s

    def spans(self) -> tuple[Span, ...]:
        """Return the spans of the scaled rate."""
        return self.rate.spans()

    def _at(self, t_s: Floats) -> Floats:
        return self.factor * self.rate.at(t_s)

    def _expected(self, t_s: Floats) -> Floats:
        return self.factor * self.rate.expected(t_s)


class Sum(RateBase):
    """Rates at the same time: r(t) = Σ parts(t). Created by `a + b`; the spans are those of the longest part."""

    kind: Literal["sum"] = "sum"
    parts: Annotated[tuple["Rate", ...], Field(min_length=1)]

    @property
    def length_s(self) -> float:
        """Length of the longest part, seconds."""
        return max(part.length_s for part in self.parts)

    def spans(self) -> tuple[Span, ...]:
        """Return the spans of the longest part, of the first one if several are equally long."""
        return max(self.parts, key=lambda part: part.length_s).spans()

    def _at(self, t_s: Floats) -> Floats:
        return _total([part.at(t_s) for part in self.parts])

    def _expected(self, t_s: Floats) -> Floats:
        return _total([part.expected(t_s) for part in self.parts])


class Sequence(RateBase):
    """Consecutive rates: part k starts where part k − 1 ends. Created by `a.then(b)`."""

    kind: Literal["sequence"] = "sequence"
    parts: Annotated[tuple["Rate", ...], Field(min_length=1)]

    @property
    def length_s(self) -> float:
        """Sum of the parts' lengths, seconds."""
        return sum(part.length_s for part in self.parts)

    def _starts(self) -> list[float]:
        starts = [0.0]
        for part in self.parts[:-1]:
            starts.append(starts[-1] + part.length_s)
        return starts

    def spans(self) -> tuple[Span, ...]:
        """Return the spans of all parts; repeated names get a number."""
        spans: list[Span] = []
        for start, part in zip(self._starts(), self.parts, strict=True):
            for span in part.spans():
                used = {other.name for other in spans}
                names = (span.name, *(f"{span.name} ({again})" for again in range(2, len(used) + 3)))
                name = next(name for name in names if name not in used)
                spans.append(Span(name=name, start_s=start + span.start_s, end_s=start + span.end_s))
        return tuple(spans)

    def _at(self, t_s: Floats) -> Floats:
        shifted: list[Floats] = [part.at(t_s - start) for start, part in zip(self._starts(), self.parts, strict=True)]
        return _total(shifted)

    def _expected(self, t_s: Floats) -> Floats:
        shifted: list[Floats] = [
            part.expected(t_s - start) for start, part in zip(self._starts(), self.parts, strict=True)
        ]
        return _total(shifted)


_AnyRate = Constant | Step | Spike | Wave | Scaled | Sum | Sequence
Rate = Annotated[_AnyRate, Field(discriminator="kind")]

for _model in (Scaled, Sum, Sequence):
    _model.model_rebuild()


def _total(parts: list[Floats]) -> Floats:
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def _known(rate: RateBase) -> "Rate":
    """Narrow to the closed set of rates, for the type checker."""
    assert isinstance(rate, _AnyRate)
    return rate
