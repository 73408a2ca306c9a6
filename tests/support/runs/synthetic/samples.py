"""Provides analyses of synthetic runs for the tests of the reports."""

import fcntl
import os
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from loadgen.analyze.read import analyze_folder
from loadgen.analyze.results import Analysis, Correlation, Finding, Mark, OutcomeCount, Severity, Span, Window
from loadgen.dataset.run_info import Compression
from support.runs.synthetic.folder import write
from support.runs.synthetic.plan import PLANS, Plan

SAMPLES = (*PLANS, "hostile")
HOSTILE = (
    '</script><img src="http://evil.example/x" onerror=alert(1)>|`*_[a](http://b)\x00\x1b[31m\ud800&amp; $x_$ @team'
)
"""Markup, quotes, control characters and a lone surrogate."""


@cache
def sample(name: str) -> Analysis:
    """The analysis of the run folder of a plan, or of a run in which every external text is hostile.

    It is made once, and shared by the processes that run the tests ($LOADGEN_TEST_SAMPLES).
    """
    shared = os.environ.get("LOADGEN_TEST_SAMPLES")
    if shared is None:
        return _make(name)
    path = Path(shared) / f"{name}.pickle"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_bytes(pickle.dumps(_make(name)))
        made: Analysis = pickle.loads(path.read_bytes())
        return made


def _make(name: str) -> Analysis:
    if name == "hostile":
        return _hostile(sample("failing"))
    return _analyzed(PLANS[name])


@cache
def analysis(plan: Plan) -> Analysis:
    """The analysis of the run folder of a plan, made once per process; of one in `PLANS`, its sample."""
    name = next((name for name, each in PLANS.items() if each == plan), None)
    return _analyzed(plan) if name is None else sample(name)


def _analyzed(plan: Plan) -> Analysis:
    with TemporaryDirectory() as folder:
        return analyze_folder(write(Path(folder), plan))


def finding(
    code: str,
    measured: float | None,
    limit: float | None,
    *,
    severity: Severity = "fail",
    passed: bool = False,
    title: str = "TTFT p95",
    unit: str = "s",
    window: Span | Window | None = None,
    advice: str = "Lower the target or start replicas sooner.",
) -> Finding:
    """A finding with defaults for all fields that are irrelevant to a test."""
    return Finding(
        code=code,
        severity=severity,
        passed=passed,
        title=title,
        measured=measured,
        limit=limit,
        unit=unit,
        window=window,
        advice=advice,
    )


def _hostile(run: Analysis) -> Analysis:
    """Replace every external text; a run folder cannot hold it, as Parquet refuses lone surrogates."""
    bad = HOSTILE
    return replace(
        run,
        run=replace(
            run.run,
            run_id=bad,
            scenario=bad,
            target=bad,
            model=bad,
            emulated=bad,
            compressed=(Compression(what=bad, local=1.0, production=2.0, unit=bad),),
            settings={bad: {bad: [bad, {bad: None}]}},
            seeds={bad: 1},
            versions={bad: bad},
        ),
        findings=(
            *run.findings,
            finding("slo.x", 2.0004, 2.0, title=bad, window=Span(name=bad, start_s=0.0, end_s=1.0), advice=bad),
        ),
        stages=tuple(replace(group, name=bad) for group in run.stages),
        stage_spans=tuple(replace(span, name=bad) for span in run.stage_spans),
        outcomes=(*run.outcomes, OutcomeCount(outcome=bad, cause=bad, count=1, first_s=1.0, last_s=1.0)),
        scaling=tuple(replace(event, reason=bad, pods=(bad,), missing=(bad,), gaps=(bad,)) for event in run.scaling),
        marks=(*run.marks, Mark(t_s=5.0, kind=bad, label=bad, pod=bad)),
        timeline=replace(run.timeline, ratio_by_pod={bad: run.timeline.ratio}),
        signal=None if run.signal is None else replace(run.signal, reason=bad),
        engine=tuple(replace(use, replica=bad, reason=bad) for use in run.engine),
        correlations=(Correlation(leader=bad, follower=bad, coefficient=None, lag_s=None, samples=0, why_missing=bad),),
    )
