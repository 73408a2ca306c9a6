"""Judges repeated runs together: each limit in every run, and how sure their spread leaves the answer."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.results import Analysis, Estimate, Finding, Stats, Verdict
from loadgen.analyze.results.group import Group, Repeat, RepeatedFigure, RepeatedLimit
from loadgen.dataset.run_info import GroupInfo

MOST_REPEATS = 1_000
"""More repeats than this would hardly be run."""
_ORDER: tuple[Verdict, ...] = ("invalid", "fail", "pass")
# two-sided 95 % quantiles of Student's t for 1 … 10 degrees of freedom
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_NORMAL = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a group needs of the analysis of one of its runs, which itself may be large."""

    place: GroupInfo
    run_id: str
    scenario: str
    target: str
    emulated: str | None
    verdict: Verdict
    limits: tuple[Finding, ...]
    figures: tuple[tuple[str, str, float | None], ...]

    @classmethod
    def of(cls, place: GroupInfo, analysis: Analysis) -> Self:
        """Take it from an analysis."""
        run = analysis.run
        return cls(
            place=place,
            run_id=run.run_id,
            scenario=run.scenario,
            target=run.target,
            emulated=run.emulated,
            verdict=analysis.verdict,
            limits=tuple(each for each in analysis.findings if each.code in codes.SLO_METRICS),
            figures=tuple((title, unit, value(analysis)) for title, unit, value in _FIGURES),
        )


def judge(runs: Sequence[Judged]) -> Group:
    """Judge at least one run; the first of them tells the scenario.

    Args:
        runs: The runs, in the order of their numbers.
    """
    first = runs[0]
    return Group(
        group_id=first.place.id,
        scenario=first.scenario,
        target=first.target,
        emulated=first.emulated,
        planned=max(run.place.repeats for run in runs),
        verdict=min((run.verdict for run in runs), key=_ORDER.index),
        sync_period_s=first.place.sync_period_s,
        runs=tuple(map(_repeat, runs)),
        limits=tuple(_limits(runs)),
        figures=tuple(
            _figure(title, unit, [run.figures[number][2] for run in runs])
            for number, (title, unit, _) in enumerate(_FIGURES)
        ),
    )


def student(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t.

    From 11 degrees of freedom on, it is the first terms of its expansion around the normal distribution (Abramowitz and
    Stegun, 26.7.5), which are within 0.0001 of it.
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def repeats_needed(values: Sequence[float], limit: float) -> int | None:
    """The fewest runs at which the interval of the mean would not contain the limit, with mean and spread as they are.

    Returns:
        None if more than `MOST_REPEATS` would be needed, as when the mean is at the limit.
    """
    distance, spread = abs(float(np.mean(values)) - limit), float(np.std(values, ddof=1))
    for count in range(2, MOST_REPEATS + 1):
        if student(count - 1) * spread / math.sqrt(count) < distance:
            return count
    return None


def _repeat(run: Judged) -> Repeat:
    place = run.place
    known = place.sync_s is not None and place.sync_period_s is not None
    return Repeat(
        run_id=run.run_id,
        number=place.number,
        verdict=run.verdict,
        phase_s=place.phase_ratio * place.sync_period_s if known and place.sync_period_s is not None else None,
    )


def _limits(runs: Sequence[Judged]) -> Iterator[RepeatedLimit]:
    for found in runs[0].limits:
        if found.limit is None:
            continue
        same = [next((each for each in run.limits if each.code == found.code), None) for run in runs]
        met = tuple(None if each is None or each.severity == "invalid" else each.passed for each in same)
        figure = _figure(found.title, found.unit, [_measured(each) for each in same])
        mean = figure.mean
        inside = mean is not None and mean.low < mean.high and mean.low <= found.limit <= mean.high
        close = inside or (mean is None and True in met and False in met)
        values = [value for value in figure.values if value is not None]
        yield RepeatedLimit(
            code=found.code,
            figure=figure,
            limit=found.limit,
            met=met,
            close=close,
            repeats=repeats_needed(values, found.limit) if inside else None,
        )


def _measured(finding: Finding | None) -> float | None:
    """The measured value; a percentile that was missed for want of a value is that of requests without an answer."""
    if finding is None or finding.severity == "invalid":
        return None
    if finding.measured is None and not finding.passed and finding.unit == "s":
        return math.inf
    return finding.measured


def _figure(title: str, unit: str, values: Sequence[float | None]) -> RepeatedFigure:
    return RepeatedFigure(title=title, unit=unit, values=tuple(values), mean=_mean(values))


def _mean(values: Sequence[float | None]) -> Estimate | None:
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if len(numbers) < max(len(values), 2):
        return None
    mean = float(np.mean(numbers))
    half = student(len(numbers) - 1) * float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def _percentile(metric: str, name: str) -> Callable[[Analysis], float | None]:
    """A percentile over all due requests; None where a stop left it unknown."""

    def value(analysis: Analysis) -> float | None:
        stats: Stats = getattr(analysis.whole, metric)
        lower, upper = (getattr(bound or stats, name) for bound in (stats.lower, stats.upper))
        return lower if lower == upper else None

    return value


_FIGURES: tuple[tuple[str, str, Callable[[Analysis], float | None]], ...] = (
    ("TTFT p50", "s", _percentile("ttft", "p50")),
    ("TTFT p95", "s", _percentile("ttft", "p95")),
    ("TTFT p99", "s", _percentile("ttft", "p99")),
    ("E2E p95", "s", _percentile("e2e", "p95")),
    ("ITL p95", "s", _percentile("itl", "p95")),
    ("Longest scale-up lag", "s", lambda analysis: analysis.headline.lag_s),
    ("Peak replicas", "count", lambda analysis: analysis.headline.peak_replicas),
    ("Replica-seconds", "count", lambda analysis: analysis.cost.replica_seconds),
)
"""Figures of each run: title, unit and how they are taken from its analysis."""
