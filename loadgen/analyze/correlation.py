r"""Correlates pairs of series at lags of both signs, and tells the result from chance.

Two series that change slowly correlate at some lag even if they are unrelated: of 121 lags between two AR(1) series the
best reaches r = 0.7. Three steps prevent this conclusion:

1. Pre-whitening (Box and Jenkins). An autoregressive model is fitted to x; its prediction errors replace both series:

       a(t) = x(t) − Σ φ_k x(t − k)        b(t) = y(t) − Σ φ_k y(t − k)

   A delay between x and y is also the delay between a and b, as both pass the same filter.
2. The largest |r| of a(t) and b(t + lag) over all lags from −120 to 120 s is the result.
3. Its null distribution: blocks of a get random signs, which keeps the variance and the gaps of each time as they are
   and removes any relation to b (block wild bootstrap); the largest |r| over all lags is computed again for each draw.
   A result that does not exceed the 95th percentile of these maxima may be chance.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from loadgen.analyze.observed import Bools, Floats, Ints
from loadgen.analyze.results import Correlation, Timeline

MAX_LAG_S = 120
MIN_PAIRS = 30
MAX_ORDER = 10
"""Highest order of the autoregressive model, and at most a tenth of the known values."""
SHORT_GAP_S = 5
"""A gap up to this length is bridged by a straight line for the filter; its values form no pairs."""
CUT_WIDTHS = 3.0
_VALUES_AT_ONCE = 2_000_000
DRAWS = 200
CHANCE = 0.95
SEED = 20_261_124
"""The same series always have the same threshold."""


def correlations(timeline: Timeline, ttft_p95_s: Floats, end_s: float) -> tuple[Correlation, ...]:
    """The correlations that a working autoscaler produces, during the load.

    Args:
        timeline: The run, bin by bin.
        ttft_p95_s: TTFT p95 of the requests of each bin alone, without those of its neighbours.
        end_s: End of the load.
    """
    start = np.asarray(timeline.t_s)
    load = (start >= 0) & (start < end_s)

    def pick(values: tuple[float, ...]) -> Floats:
        return np.asarray(values, dtype=np.float64)[load]

    offered, ratio = pick(timeline.offered_per_s), pick(timeline.ratio)
    found = (
        correlate("offered rate", offered, "ratio", ratio),
        correlate("ratio", ratio, "TTFT p95", ttft_p95_s[load]),
        correlate("ratio", ratio, "ready replicas", pick(timeline.ready)),
    )
    # a lag is counted in bins, which are wider than a second in a very long run
    return tuple(each if each.lag_s is None else replace(each, lag_s=each.lag_s * timeline.bin_s) for each in found)


def correlate(leader: str, x: Floats, follower: str, y: Floats) -> Correlation:
    """Pearson's r of the pre-whitened x(t) and y(t + lag) at the lag with the greatest |r|; the shortest of equal lags.

    Pairs with a missing value are dropped. A lag may not drop more than half of the series, as short remainders
    correlate by chance.

    Args:
        leader: Name of the first series, which is expected to lead.
        x: Its values, one a second; NaN where missing.
        follower: Name of the second series.
        y: Its values at the same times.
    """
    longest = min(MAX_LAG_S, len(x) // 2)
    lags = np.arange(-longest, longest + 1)
    known_x, known_y = np.isfinite(x), np.isfinite(y)
    x, y = np.where(known_x, x, np.nan), np.where(known_y, y, np.nan)
    pairs = _products(known_x.astype(np.float64), known_y.astype(np.float64), lags)
    both = int((known_x & known_y).sum())

    def missing(why: str) -> Correlation:
        return Correlation(
            leader=leader, follower=follower, coefficient=None, lag_s=None, samples=both, why_missing=why
        )

    if not len(pairs) or pairs.max() < MIN_PAIRS - 0.5:
        return missing(f"only {both} seconds have both values, at least {MIN_PAIRS} are needed")
    gaps = _short_gaps(x) | _short_gaps(y)
    x, y = _bridged(x, gaps), _bridged(y, gaps)
    if _is_constant(x) or _is_constant(y):
        return missing("one of the two never changed")
    order, model = _autoregression(x)
    a, b = _Values.of(_filtered(x, model), known_x), _Values.of(_filtered(y, model), known_y)
    moments = _Moments.of(a, b, lags)
    usable = (pairs > MIN_PAIRS - 0.5) & (moments.count > MIN_PAIRS - 2 * order - 0.5)
    r = moments.coefficients(_products(a.value, b.value, lags), _products(a.value, b.known, lags), usable)
    if not np.isfinite(r).any():
        return missing("one of the two never changed")
    greatest = np.flatnonzero(np.abs(r) >= np.nanmax(np.abs(r)) - 1e-9)
    best = int(greatest[np.argmin(np.abs(lags[greatest]))])
    threshold = _threshold(a, b, lags, moments, usable)
    return Correlation(
        leader=leader,
        follower=follower,
        coefficient=float(r[best]),
        lag_s=float(lags[best]),
        samples=round(float(pairs[best])),
        threshold=threshold,
        significant=bool(abs(r[best]) > threshold),
    )


@dataclass(frozen=True, slots=True)
class _Values:
    """A series with its mean removed, 0 where it is missing, and 1 or 0 for each value that is known."""

    value: Floats
    known: Floats

    @classmethod
    def of(cls, series: Floats, known: Bools) -> "_Values":
        use = known & np.isfinite(series)
        mean = float(series[use].mean()) if use.any() else 0.0
        return cls(np.where(use, series - mean, 0.0), use.astype(np.float64))


def _is_constant(series: Floats) -> bool:
    values = series[np.isfinite(series)]
    # The computed spread of a constant is a rounding error and not exactly 0.
    return not len(values) or float(np.ptp(values)) <= 1e-12 * max(float(np.abs(values).max()), 1e-300)


def _products(x: Floats, y: Floats, lags: Ints) -> Floats:
    """Σ x(t) · y(t + lag) for each lag."""
    if not len(y):
        return np.zeros(0)
    size = 1 << (len(y) + int(np.abs(lags).max(initial=0))).bit_length()
    product = np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size), size)
    sums: Floats = product[lags]  # a negative lag is at the end of the circle
    return sums


@dataclass(frozen=True, slots=True)
class _Moments:
    """What Pearson's r of two series at each lag consists of, except for the sums that change with the signs of a."""

    count: Floats
    squares_a: Floats
    sum_b: Floats
    spread_b: Floats
    least_a: float
    least_b: float

    @classmethod
    def of(cls, a: _Values, b: _Values, lags: Ints) -> "_Moments":
        count, sum_b = _products(a.known, b.known, lags), _products(a.known, b.value, lags)
        return cls(
            count=count,
            squares_a=_products(a.value**2, b.known, lags),
            sum_b=sum_b,
            spread_b=_products(a.known, b.value**2, lags) - sum_b**2 / np.maximum(count, 0.5),
            least_a=1e-9 * float(a.value @ a.value),
            least_b=1e-9 * float(b.value @ b.value),
        )

    def coefficients(self, together: Floats, sum_a: Floats, usable: Bools) -> Floats:
        """Pearson's r from Σ a·b and Σ a at each lag; NaN where it is not usable, and where a series did not vary."""
        count = np.maximum(self.count, 0.5)
        spread_a = self.squares_a - sum_a**2 / count
        varied = usable & (spread_a > self.least_a) & (self.spread_b > self.least_b)
        scale = np.sqrt(np.where(varied, spread_a * self.spread_b, 1.0))
        r: Floats = np.where(varied, np.clip((together - sum_a * self.sum_b / count) / scale, -1.0, 1.0), np.nan)
        return r


def _threshold(a: _Values, b: _Values, lags: Ints, moments: _Moments, usable: Bools) -> float:
    """The 95th percentile of the greatest |r| over all lags between unrelated series."""
    length = max(2, round(len(a.value) ** (1 / 3)))
    starts = np.arange(0, len(a.value), length)
    together, sum_a = _block_products(a.value, b.value, lags, starts), _block_products(a.value, b.known, lags, starts)
    signs = np.random.default_rng(SEED).choice((-1.0, 1.0), size=(DRAWS, len(starts)))
    r = moments.coefficients(signs @ together, signs @ sum_a, usable)
    greatest = np.where(np.isfinite(r), np.abs(r), 0.0).max(axis=1)
    return float(np.quantile(greatest, CHANCE, method="higher"))


def _block_products(x: Floats, y: Floats, lags: Ints, starts: Ints) -> Floats:
    """Σ x(t) · y(t + lag) within each block (rows) for each lag (columns); the lags are consecutive."""
    outside = np.zeros(int(lags[-1]))
    shifted = sliding_window_view(np.concatenate((outside, y, outside)), len(y))
    at_once = max(1, _VALUES_AT_ONCE // len(y))
    parts = [np.add.reduceat(x * shifted[i : i + at_once], starts, axis=1) for i in range(0, len(lags), at_once)]
    return np.concatenate(parts).T


def _short_gaps(series: Floats) -> Bools:
    known = np.flatnonzero(np.isfinite(series))
    at = np.arange(len(series))
    after = known[np.minimum(np.searchsorted(known, at), len(known) - 1)]
    before = known[np.maximum(np.searchsorted(known, at, side="right") - 1, 0)]
    short: Bools = (before < at) & (at < after) & (after - before - 1 <= SHORT_GAP_S)
    return short


def _bridged(series: Floats, gaps: Bools) -> Floats:
    """The series with straight lines in these gaps: the same gaps in both series, so that both have the same error."""
    known = np.flatnonzero(np.isfinite(series) & ~gaps)
    return np.where(gaps, np.interp(np.arange(len(series)), known, series[known]), series) if len(known) else series


def _autoregression(values: Floats) -> tuple[int, Floats]:
    """Order and coefficients of the autoregressive model with the least AIC, by the equations of Yule and Walker.

    The autocovariances are those of the series with 0 in its gaps, so the equations always have a stable solution.
    """
    known = np.isfinite(values)
    count = int(known.sum())
    centred = np.where(known, values - values[known].mean(), 0.0)
    highest = min(MAX_ORDER, count // 10)
    covariance = _products(centred, centred, np.arange(highest + 1)) / count
    best: tuple[float, Floats] = (count * float(np.log(covariance[0])), np.empty(0))
    for order in range(1, highest + 1):
        at = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
        matrix = covariance[at] + 1e-9 * covariance[0] * np.eye(order)
        model = np.linalg.solve(matrix, covariance[1 : order + 1])
        error = max(float(covariance[0] - model @ covariance[1 : order + 1]), 1e-9 * float(covariance[0]))
        criterion = count * float(np.log(error)) + 2 * order
        if criterion < best[0]:
            best = (criterion, model)
    return len(best[1]), best[1]


def _filtered(values: Floats, model: Floats) -> Floats:
    """Prediction errors of the model; NaN where one of the values that it needs is missing.

    An error beyond three standard deviations (of the median absolute deviation) counts as three: the mean over replicas
    jumps when one is added, and a single jump must not decide.
    """
    errors = values.copy()
    for number, factor in enumerate(model, start=1):
        errors[number:] -= factor * values[:-number]
    errors[: len(model)] = np.nan
    known = errors[np.isfinite(errors)]
    median = float(np.median(known)) if len(known) else 0.0
    width = CUT_WIDTHS * 1.4826 * float(np.median(np.abs(known - median))) if len(known) else 0.0
    return np.clip(errors, median - width, median + width) if width > 0 else errors
