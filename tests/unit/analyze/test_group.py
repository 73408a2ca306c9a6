"""Repeated runs, judged together: expected values are computed by hand, quantiles are those of printed tables."""

import math
from typing import Literal

import numpy as np
import pytest

from loadgen.analyze.group import Judged, judge, repeats_needed, student
from loadgen.analyze.results import Analysis, Finding, Group, RepeatedLimit, Verdict
from loadgen.dataset.run_info import GroupInfo
from support.runs.synthetic import sample


def finding(measured: float | None, limit: float = 2.0, severity: Literal["fail", "invalid"] = "fail") -> Finding:
    return Finding(
        code="slo.ttft.p95",
        severity=severity,
        passed=severity == "fail" and measured is not None and measured <= limit,
        title="TTFT p95",
        measured=measured,
        limit=limit,
        unit="s",
        window=None,
        advice="",
    )


def judged(number: int, of: Finding, *, repeats: int = 3, sync_s: float | None = 1.0) -> Judged:
    verdict: Verdict = "invalid" if of.severity == "invalid" else "pass" if of.passed else "fail"
    return Judged(
        place=GroupInfo(id="g", number=number, repeats=repeats, sync_period_s=15.0, sync_s=sync_s),
        run_id=f"run-{number}",
        scenario="waves",
        target="local",
        emulated=None,
        verdict=verdict,
        limits=(of,),
        figures=tuple((str(n), "s", of.measured) for n in range(8)),
    )


def group_of(*findings: Finding, **changes: int) -> Group:
    return judge([judged(number, each, **changes) for number, each in enumerate(findings, start=1)])


def limit_of(*values: float | None) -> RepeatedLimit:
    (limit,) = group_of(*map(finding, values)).limits
    return limit


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (11, 2.201), (15, 2.131), (30, 2.042), (120, 1.980)],
)
def test_quantiles_of_students_t(freedom: int, quantile: float) -> None:
    """Those of the printed tables, to their three decimals."""
    assert student(freedom) == pytest.approx(quantile, abs=0.0006)


def test_a_limit_that_every_run_meets_by_far() -> None:
    """1.0, 1.1 and 1.2 s: mean 1.1, standard deviation 0.1, interval ± 4.303 · 0.1 / √3 = ± 0.248."""
    limit = limit_of(1.0, 1.1, 1.2)
    mean = limit.figure.mean
    assert mean is not None
    assert (mean.value, mean.low, mean.high) == pytest.approx((1.1, 0.8516, 1.3484), abs=1e-4)
    assert (limit.met, limit.close, limit.repeats) == ((True, True, True), False, None)


def test_a_limit_within_the_interval_is_too_close_to_call() -> None:
    """1.7, 1.8 and 1.9 s meet 2 s, with an interval of 1.8 ± 0.248: 4 runs would give ± 3.182 · 0.1 / 2 = ± 0.159."""
    limit = limit_of(1.7, 1.8, 1.9)
    assert (limit.met, limit.close, limit.repeats) == ((True, True, True), True, 4)
    assert group_of(*map(finding, (1.7, 1.8, 1.9))).verdict == "pass"


def test_a_limit_that_one_run_misses() -> None:
    """The group fails as its worst run; with values apart as these, more runs than practical may be needed."""
    group = group_of(*map(finding, (1.7, 1.9, 2.3)))
    (limit,) = group.limits
    assert (group.verdict, limit.met, limit.close) == ("fail", (True, True, False), True)
    assert limit.repeats == repeats_needed([1.7, 1.9, 2.3], 2.0)
    assert limit_of(1.9, 2.0, 2.1).repeats is None


def test_the_number_of_repeats_decides() -> None:
    """With one run fewer, the interval still has the limit."""
    values = [1.7, 1.9, 2.3]
    count, spread = repeats_needed(values, 2.1), float(np.std(values, ddof=1))
    assert count is not None
    half = [student(each - 1) * spread / math.sqrt(each) for each in (count - 1, count)]
    assert half[1] < abs(np.mean(values) - 2.1) <= half[0]


def test_a_percentile_without_a_value_and_an_unknown_one() -> None:
    """Neither has a mean; a run that cannot be judged leaves the whole group so."""
    never = limit_of(1.0, None, 1.0)
    assert (never.met, never.figure.values, never.figure.mean) == ((True, False, True), (1.0, math.inf, 1.0), None)
    assert (never.close, never.repeats) == (True, None)
    group = group_of(finding(1.0), finding(None, severity="invalid"))
    assert (group.verdict, group.limits[0].met, group.limits[0].close) == ("invalid", (True, None), False)
    assert group.limits[0].figure.values == (1.0, None)


def test_one_run_alone_has_no_interval() -> None:
    """As when the others ended in an error."""
    group = group_of(finding(1.9))
    (limit,) = group.limits
    assert (group.planned, len(group.runs), limit.figure.mean, limit.close) == (3, 1, None, False)


def test_the_phases_of_the_runs() -> None:
    """(number − 1) · P / N after a sync, unknown where none was observed."""
    runs = group_of(*map(finding, (1.0, 1.0, 1.0))).runs
    assert [run.phase_s for run in runs] == pytest.approx([0.0, 5.0, 10.0])
    (run,) = judge([judged(2, finding(1.0), sync_s=None)]).runs
    assert run.phase_s is None


def test_the_interval_covers_the_mean() -> None:
    """In at least 93 % of 4,000 groups of three normal values, and of three evenly spread phases of a sawtooth.

    The error of a measured coverage of 95 % is √(0.95 · 0.05 / 4,000) = 0.34 %. Random phases of a sawtooth alone would
    have 92.5 %: three of them lie close together by chance more often than normal values do.
    """
    rng, groups, of = np.random.default_rng(3), 4_000, 3
    phases = (rng.uniform(size=(groups, 1)) + np.arange(of) / of) % 1
    for values, truth in (
        (rng.normal(2.0, 0.5, (groups, of)), 2.0),
        (1.0 + 2.0 * phases + rng.normal(0.0, 0.1, phases.shape), 2.0),
    ):
        half = student(of - 1) * values.std(axis=1, ddof=1) / math.sqrt(of)
        assert (abs(values.mean(axis=1) - truth) <= half).mean() >= 0.93


def test_figures_of_a_real_analysis() -> None:
    """Each is that of the analysis; the limits are those of its findings."""
    analysis: Analysis = sample("failing")
    place = GroupInfo(id="g", number=1, repeats=1)
    group = judge([Judged.of(place, analysis)])
    values = {each.title: each.values[0] for each in group.figures}
    assert values["TTFT p95"] == analysis.whole.ttft.p95
    assert values["Longest scale-up lag"] == analysis.headline.lag_s
    assert values["Peak replicas"] == 4
    assert [each.code for each in group.limits] == ["slo.ttft.p95", "slo.itl.p95", "slo.failed.ratio"]
    assert (group.verdict, group.limits[0].met) == ("fail", (False,))
