"""Formats the distribution of a latency: its percentiles over all values that were due, and what they stand for."""

import math
from collections.abc import Sequence

from loadgen.analyze.results import FEWEST_VALUES, Stats
from loadgen_reports import format as fmt

_NEVER = {
    "ttft": "got no first token",
    "itl": "never ended, because the stream broke off",
    "tpot": "were not answered",
    "e2e": "were not answered",
}
_MAX_GROUPS = 6
"""Groups that a note lists."""


def bounds(stat: Stats, name: str) -> tuple[float | None, float | None]:
    """Lower and upper bound of a percentile or of the maximum; of the mean only if every value is known."""
    if name == "mean":
        return (stat.mean, stat.mean) if stat.covers == "all" else (None, None)
    return getattr(stat.lower or stat, name), getattr(stat.upper or stat, name)


def percentile(stat: Stats, name: str) -> str:
    """A percentile with its unit: `2.1 s`, `≥ 12.3 s` or `no value`."""
    return fmt.bounded(*bounds(stat, name), fmt.seconds)


def with_bound(text: str, lower: float | None, upper: float | None) -> str:
    """The text of a lower bound as what is known of the value: `12.3`, `≥ 12.3` or `no value`."""
    return text if lower == upper != math.inf else fmt.bounded(lower, math.inf, lambda _: text)


def values(stat: Stats) -> str:
    """The number of values: `480`, or `480 of 1,000` where others never arrived or were open at a stop."""
    return fmt.count(stat.count) if stat.covers == "all" else f"{fmt.count(stat.count)} of {fmt.count(_due(stat))}"


def is_maximum(stat: Stats, name: str) -> bool:
    """Whether a percentile that has a value is the maximum for lack of values."""
    has_value = bounds(stat, name)[0] != math.inf
    return has_value and 0 < _due(stat) < FEWEST_VALUES.get(name, 0)


def notes(metric: str, groups: Sequence[tuple[str, Stats]]) -> list[str]:
    """What `no value`, `≥` and `max` mean in a table of a metric.

    Args:
        metric: The metric.
        groups: Names and distributions of the groups of requests; the last is the whole run.
    """
    noun = "gaps" if metric == "itl" else "requests"
    places = [*(f"in {name}" for name, _ in groups[:-1]), "of all"]
    never = [
        f"{fmt.percent(stat.never / _due(stat))} {place}"
        for place, (_, stat) in zip(places, groups, strict=True)
        if stat.never
    ]
    found = []
    if never:
        listed = fmt.join_list(never if len(never) <= _MAX_GROUPS else [*never[: _MAX_GROUPS - 1], never[-1]])
        found.append(
            f"Percentiles count {noun} that {_NEVER.get(metric, 'have no value')} as slower than any value ({listed}); "
            f"no value: the percentile is one of them. A mean is only shown where all have a value."
        )
    if any(stat.unknown for _, stat in groups):
        found.append(f"≥: {noun} that were open when the run was stopped count with the time until then.")
    if any(is_maximum(stat, name) for _, stat in groups for name in FEWEST_VALUES):
        fewest = fmt.join_list(f"{fmt.count(number)} for {name}" for name, number in FEWEST_VALUES.items())
        found.append(f"max: a percentile of too few values, which is their maximum (it needs {fewest}).")
    return found


def in_bins(error_ratio: float) -> str:
    """Says that percentiles of gaps come from bins, and how exact they are."""
    return (
        f"The gaps are too many to keep each, so they are counted in bins: percentiles are within "
        f"{100 * error_ratio:.1g} % of the measured value, and means and maxima are exact."
    )


def _due(stat: Stats) -> int:
    """The number of values that a percentile covers."""
    return stat.due or stat.count
